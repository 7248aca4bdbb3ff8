-- One row is: something that happened to a package on a day: created, latest (its last change) or update (a version).
-- Versions that were unpublished count too. Days are those of UTC.
-- Reads: packages, versions, unpublished
-- Columns: type, year, month, day, name
-- Example: all-docs query --view analytics --key '["update"]' --group-level 3
with happened as (
  select 'created' as type, created_at as at, name from packages
  union all
  select 'latest' as type, modified_at as at, name from packages
  union all
  select 'update' as type, published_at as at, name from versions
  union all
  select 'update' as type, published_at as at, name from unpublished
)
select
  type,
  cast(date_part('year', at) as bigint) as year,
  cast(date_part('month', at) as bigint) as month,
  cast(date_part('day', at) as bigint) as day,
  name
from happened
where at is not null
