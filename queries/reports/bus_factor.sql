-- One row is: a user, with the packages that nobody else maintains and the downloads that rest on them.
-- The share is of the downloads of all packages, in percent.
-- Reads: downloads, packages, maintainers
-- Columns: maintainer, packages, downloads, share
-- Parameter: days number = 30: how many days of downloads
-- Parameter: until time = 2200-01-01: the last day, if not the last known one
-- Parameter: limit number = 100: most rows
-- Example: all-docs query --view bus_factor --param days=7
with newest as (
  select max(day) as day from downloads where day <= cast(cast($until as timestamp) as date)
),
used as (
  select name, sum(downloads) as downloads
  from downloads
  where day <= (select day from newest)
    and day > (select day - cast(concat($days, ' days') as interval) from newest)
  group by name
)
select
  maintainers.maintainer,
  count(*) as packages,
  sum(used.downloads) as downloads,
  100.0 * sum(used.downloads) / (select sum(downloads) from used) as share
from used
join packages on packages.name = used.name
join maintainers on maintainers.name = used.name
where packages.maintainer_count = 1 and maintainers.maintainer is not null
group by maintainers.maintainer
order by downloads desc, maintainers.maintainer
limit $limit
