-- One row is: a version under another licence than the version before it.
-- Reads: versions
-- Columns: name, version, published_at, previous_version, previous_license, license
-- Parameter: since time = 1970-01-01: the first day
-- Parameter: limit number = 100: most rows
-- Example: all-docs query --view license_changes --param since=2024-01-01
with told as (
  select
    name,
    version,
    published_at,
    license,
    lag(version) over before as previous_version,
    lag(license) over before as previous_license
  from versions
  window before as (partition by name order by version_index)
)
select name, version, published_at, previous_version, previous_license, license
from told
where license is distinct from previous_license and previous_version is not null
  and published_at >= cast($since as timestamp with time zone)
order by published_at desc, name
limit $limit
