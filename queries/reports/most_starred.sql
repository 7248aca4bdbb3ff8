-- One row is: a package, by its stars.
-- Reads: packages
-- Columns: name, star_count, description
-- Parameter: limit number = 20: most rows
-- Example: all-docs query --view most_starred --param limit=10
select name, star_count, description
from packages
where star_count > 0
order by star_count desc, name
limit $limit
