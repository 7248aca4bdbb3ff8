-- One row is: a day, with the downloads of the package on it.
-- Days whose downloads are not known have no row.
-- Reads: downloads
-- Columns: day, downloads
-- Parameter: name text: the package
-- Parameter: since time = 1970-01-01: the first day
-- Example: all-docs query --view downloads_of --param name=react --param since=2026-01-01
select day, downloads
from downloads
where name = $name and day >= cast(cast($since as timestamp) as date)
order by day
