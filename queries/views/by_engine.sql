-- One row is: a package whose latest version says which engines it runs on.
-- For the ranges of node and npm alone, versions.engines_node and engines_npm are much quicker.
-- Reads: packuments
-- Columns: name, engines_json
-- Key: name
-- Example: all-docs query --view by_engine --key lodash
with latest as (
  select name, json_get_json(latest_version_json(json), 'engines') as engines_json
  from packuments
)
select name, engines_json
from latest
where engines_json not in ('null', 'false', '0', '""')
