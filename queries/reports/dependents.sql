-- One row is: a package whose latest version depends on the given one.
-- Reads: dependencies, packages
-- Columns: name, requirement, description
-- Parameter: name text: the package that is depended upon
-- Parameter: limit number = 100: most rows
-- Example: all-docs query --view dependents --param name=react
select dependencies.name, dependencies.requirement, packages.description
from dependencies
join packages on packages.name = dependencies.name
where dependencies.is_latest and dependencies.kind = 'prod' and dependencies.dependency = $name
order by dependencies.name
limit $limit
