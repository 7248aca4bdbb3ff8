-- One row is: a version without provenance where the version before it had one.
-- Reads: versions
-- Columns: name, version, published_at, published_by, previous_version, previous_provenance
-- Parameter: limit number = 100: most rows
-- Example: all-docs query --view provenance_lost --param limit=20
with told as (
  select
    name,
    version,
    published_at,
    published_by,
    provenance_predicate_type as provenance,
    lag(version) over before as previous_version,
    lag(provenance_predicate_type) over before as previous_provenance
  from versions
  window before as (partition by name order by version_index)
)
select name, version, published_at, published_by, previous_version, previous_provenance
from told
where provenance is null and previous_provenance is not null
order by published_at desc, name
limit $limit
