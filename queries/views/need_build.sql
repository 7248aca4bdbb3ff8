-- One row is: a package whose latest version runs a script when it is installed.
-- Reads: packages, packuments
-- Columns: id, bin_json
-- Key: id
-- Example: all-docs query --view need_build --limit 20
with latest as (
  select
    packages.name || '@' || packages.latest as id,
    json_get_json(latest_version_json(packuments.json), 'bin') as bin_json
  from packages
  join packuments on packuments.name = packages.name
  where packages.has_install_script
)
select
  id,
  case when bin_json is null or bin_json in ('null', 'false', '0', '""') then '{}' else bin_json end as bin_json
from latest
