-- One row is: a live package.
-- Live is a package whose latest version exists and is not deprecated.
-- Reads: versions, packages
-- Columns: name, description
-- Example: all-docs query --view browse_all --key react
select
  versions.name,
  coalesce(nullif(packages.description, ''), nullif(versions.description, ''), '') as description
from versions
join packages on packages.name = versions.name
where versions.is_latest and versions.deprecated is null
