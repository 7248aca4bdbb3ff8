-- One row is: an hour in which one user published many packages.
-- Reads: versions
-- Columns: hour, published_by, packages, versions
-- Parameter: least number = 10: fewest packages of a burst
-- Parameter: since time = 1970-01-01: the first day
-- Parameter: limit number = 100: most rows
-- Example: all-docs query --view publish_bursts --param least=50
select
  date_trunc('hour', published_at) as hour,
  published_by,
  count(distinct name) as packages,
  count(*) as versions
from versions
where published_by is not null and published_at >= cast($since as timestamp with time zone)
group by hour, published_by
having count(distinct name) >= $least
order by packages desc, hour, published_by
limit $limit
