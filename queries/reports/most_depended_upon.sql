-- One row is: a package, by how many latest versions depend on it.
-- Reads: dependencies
-- Columns: dependency, dependents
-- Parameter: kind text = prod: prod, dev, peer, optional or bundled
-- Parameter: limit number = 20: most rows
-- Example: all-docs query --view most_depended_upon --param limit=10
select dependency, count(*) as dependents
from dependencies
where is_latest and kind = $kind
group by dependency
order by dependents desc, dependency
limit $limit
