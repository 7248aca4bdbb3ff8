-- One row is: a package whose latest version has a script.
-- The table scripts has them as rows.
-- Reads: packuments
-- Columns: name, scripts_json
-- Key: name
-- Example: all-docs query --view scripts_of_latest --key lodash
with latest as (
  select name, json_get_json(latest_version_json(json), 'scripts') as scripts_json
  from packuments
)
select name, scripts_json
from latest
where json_length(scripts_json) > 0
