-- One row is: a package that has a latest version.
-- Reads: packuments
-- Columns: name, latest_json
-- Key: name
-- Example: all-docs query --view by_field --key lodash
with latest as (
  select name, latest_version_json(json) as latest_json
  from packuments
)
select name, latest_json
from latest
where latest_json is not null
