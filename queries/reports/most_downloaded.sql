-- One row is: a package, by its downloads in the last days that are known.
-- Reads: downloads
-- Columns: name, downloads, known_days
-- Parameter: days number = 30: how many days
-- Parameter: until time = 2200-01-01: the last day, if not the last known one
-- Parameter: limit number = 100: most rows
-- Example: all-docs query --view most_downloaded --param days=365
select name, sum(downloads) as downloads, count(*) as known_days
from downloads
where day <= (select max(day) from downloads where day <= cast(cast($until as timestamp) as date))
  and day > (
    select max(day) - cast(concat($days, ' days') as interval)
    from downloads
    where day <= cast(cast($until as timestamp) as date)
  )
group by name
order by downloads desc, name
limit $limit
