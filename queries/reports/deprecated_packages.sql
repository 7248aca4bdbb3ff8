-- One row is: a package whose latest version is deprecated.
-- Reads: packages
-- Columns: name, latest, deprecated
-- Parameter: limit number = 100: most rows
-- Example: all-docs query --view deprecated_packages --param limit=1000
select name, latest, deprecated
from packages
where deprecated is not null
order by name
limit $limit
