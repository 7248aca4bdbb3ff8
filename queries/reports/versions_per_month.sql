-- One row is: a month (UTC), with how many versions were published in it.
-- Reads: versions
-- Columns: month, versions, packages
-- Parameter: since time = 1970-01-01: the first day
-- Example: all-docs query --view versions_per_month --param since=2020-01-01
select cast(date_trunc('month', published_at) as date) as month, count(*) as versions, count(distinct name) as packages
from versions
where published_at >= cast($since as timestamp with time zone)
group by month
order by month
