-- One row is: a package, by the time when its latest version was published.
-- The time is cut to whole seconds and counted in milliseconds since 1970.
-- Reads: versions
-- Columns: name, modified_ms
-- Example: all-docs query --view modified_package --key lodash
select name, 1000 * (cast(date_trunc('second', published_at) as bigint) / 1000000) as modified_ms
from versions
where is_latest and published_at is not null
