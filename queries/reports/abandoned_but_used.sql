-- One row is: a package that is deprecated, or that has published nothing for years, by its downloads.
-- Reads: downloads, packages, versions
-- Columns: name, downloads, last_release, deprecated
-- Parameter: years number = 2: how long it has published nothing
-- Parameter: days number = 30: how many days of downloads
-- Parameter: floor number = 1: fewest downloads in these days
-- Parameter: until time = 2200-01-01: the last day, if not the last known one
-- Parameter: limit number = 100: most rows
-- Example: all-docs query --view abandoned_but_used --param floor=1000000
with newest as (
  select max(day) as day from downloads where day <= cast(cast($until as timestamp) as date)
),
used as (
  select name, sum(downloads) as downloads
  from downloads
  where day <= (select day from newest)
    and day > (select day - cast(concat($days, ' days') as interval) from newest)
  group by name
  having sum(downloads) >= $floor
),
released as (
  select name, max(published_at) as last_release from versions group by name
)
select used.name, used.downloads, released.last_release, packages.deprecated
from used
join packages on packages.name = used.name
left join released on released.name = used.name
where packages.deprecated is not null
  or released.last_release < (select day - cast(concat(12 * $years, ' months') as interval) from newest)
order by used.downloads desc, used.name
limit $limit
