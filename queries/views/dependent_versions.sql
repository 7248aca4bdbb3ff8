-- One row is: a package that a live package depends on, with the range.
-- Live is a package whose latest version exists and is not deprecated.
-- Reads: dependencies, packages
-- Columns: dependency, requirement, name
-- Example: all-docs query --view dependent_versions --key react --group-level 2
select dependencies.dependency, dependencies.requirement, dependencies.name
from dependencies
join packages on packages.name = dependencies.name
where dependencies.is_latest and dependencies.kind = 'prod' and packages.deprecated is null
