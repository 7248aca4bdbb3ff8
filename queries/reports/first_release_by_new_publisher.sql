-- One row is: a version whose publisher had published none of the package before, soon after another did.
-- A document lists who maintains a package now, and not since when: a first publication is what it keeps of a new maintainer.
-- Reads: versions
-- Columns: name, version, published_at, published_by, previous_version, previous_published_by, days_between
-- Parameter: days number = 30: most days since the version before
-- Parameter: least_versions number = 5: versions that the package had before
-- Parameter: limit number = 100: most rows
-- Example: all-docs query --view first_release_by_new_publisher --param days=7
with told as (
  select
    name,
    version,
    version_index,
    published_at,
    published_by,
    lag(version) over (partition by name order by version_index) as previous_version,
    lag(published_by) over (partition by name order by version_index) as previous_published_by,
    lag(published_at) over (partition by name order by version_index) as previous_published_at,
    row_number() over (partition by name, published_by order by version_index) as turn
  from versions
  where published_by is not null
),
first as (
  select *, (cast(published_at as bigint) - cast(previous_published_at as bigint)) / 86400000000.0 as days_between
  from told
  where turn = 1 and version_index >= $least_versions and previous_published_by <> published_by
)
select name, version, published_at, published_by, previous_version, previous_published_by, days_between
from first
where days_between <= $days
order by published_at desc, name
limit $limit
