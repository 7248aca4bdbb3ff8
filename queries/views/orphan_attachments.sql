-- One row is: a package with archives among its attachments that are of no version.
-- Reads: packuments, versions
-- Columns: name, orphans, size_bytes
-- Key: name
-- Example: all-docs query --view orphan_attachments
with documents as (
  select name, json_get_json(json, '_attachments') as attachments
  from packuments
  where json_contains(json, '_attachments')
),
archives as (
  select name, attachments, unnest(json_object_keys(attachments)) as file
  from documents
),
orphans as (
  select
    archives.name,
    archives.file,
    json_get_int(json_get_json(archives.attachments, archives.file), 'length') as size_bytes
  from archives
  left anti join versions
    on versions.name = archives.name and archives.file = versions.name || '-' || versions.version || '.tgz'
  where archives.file like '%.tgz'
)
select name, array_agg(file order by file) as orphans, coalesce(sum(size_bytes), 0) as size_bytes
from orphans
group by name
