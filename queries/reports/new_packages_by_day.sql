-- One row is: a day (UTC), with how many packages were made on it.
-- Reads: packages
-- Columns: day, packages
-- Parameter: since time = 1970-01-01: the first day
-- Example: all-docs query --view new_packages_by_day --param since=2026-01-01
select cast(date_trunc('day', created_at) as date) as day, count(*) as packages
from packages
where created_at >= cast($since as timestamp with time zone)
group by day
order by day
