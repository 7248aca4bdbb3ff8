-- One row is: a package, by how its daily downloads of the last week have grown against the weeks before.
-- Packages with few downloads are left out, because chance makes them grow and shrink.
-- Reads: downloads
-- Columns: name, downloads_a_day, before_a_day, growth
-- Parameter: weeks number = 4: how many weeks before the last one are compared
-- Parameter: floor number = 100: fewest downloads a day in the weeks before
-- Parameter: until time = 2200-01-01: the last day, if not the last known one
-- Parameter: limit number = 100: most rows
-- Example: all-docs query --view trending --param floor=1000
with newest as (
  select max(day) as day from downloads where day <= cast(cast($until as timestamp) as date)
),
compared as (
  select
    name,
    avg(downloads) filter (where day > (select day - interval '7 days' from newest)) as downloads_a_day,
    avg(downloads) filter (where day <= (select day - interval '7 days' from newest)) as before_a_day
  from downloads
  where day <= (select day from newest)
    and day > (select day - cast(concat(7 * ($weeks + 1), ' days') as interval) from newest)
  group by name
)
select name, downloads_a_day, before_a_day, downloads_a_day / before_a_day as growth
from compared
where before_a_day >= $floor and before_a_day > 0 and downloads_a_day is not null
order by growth desc, name
limit $limit
