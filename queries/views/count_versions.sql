-- One row is: a package.
-- Reads: packages
-- Columns: version_count, name
-- Example: all-docs query --view count_versions --descending --limit 20
select version_count, name
from packages
