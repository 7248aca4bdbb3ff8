-- One row is: a version whose archive is not among its document's attachments.
-- Reads: versions, packuments
-- Columns: name, version, tarball_url
-- Example: all-docs query --view no_attachment --key lodash
with attached as (
  select name, json_get_json(json, '_attachments') as attachments
  from packuments
  where json_contains(json, '_attachments')
)
select versions.name, versions.version, versions.tarball_url
from versions
left join attached on attached.name = versions.name
where versions.tarball_url is not null
  and not coalesce(json_contains(attached.attachments, split_part(versions.tarball_url, '/', -1)), false)
