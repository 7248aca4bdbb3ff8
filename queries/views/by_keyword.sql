-- One row is: a keyword of the latest version of a package, in small letters.
-- Only where the version's keywords are a list. packages.keywords has those of the document and is much quicker.
-- Reads: packuments, packages
-- Columns: keyword, name, description
-- Example: all-docs query --view by_keyword --key react --limit 20
with latest as (
  select name, unnest(json_get_array(latest_version_json(json), 'keywords')) as keyword_json
  from packuments
)
select lower(json_get_str(latest.keyword_json)) as keyword, latest.name, packages.description
from latest
join packages on packages.name = latest.name
where json_get_str(latest.keyword_json) is not null
