-- One row is: a package, by the second in which its latest version was published.
-- Reads: versions
-- Columns: updated_at, name, description
-- Example: all-docs query --view browse_updated --descending --limit 20
select date_trunc('second', published_at) as updated_at, name, description
from versions
where is_latest and published_at is not null
