-- One row is: a package that a live package depends on.
-- Live is a package whose latest version exists and is not deprecated.
-- Reads: dependencies, versions, packages
-- Columns: dependency, name, description
-- Example: all-docs query --view depended_upon --key react --group-level 1 --limit 20
select
  dependencies.dependency,
  dependencies.name,
  coalesce(nullif(packages.description, ''), nullif(versions.description, ''), '') as description
from dependencies
join versions on versions.name = dependencies.name and versions.version = dependencies.version
join packages on packages.name = dependencies.name
where dependencies.is_latest and dependencies.kind = 'prod'
  and versions.is_latest and versions.deprecated is null
