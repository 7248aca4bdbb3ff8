-- One row is: a star of a live package, also one that was taken back.
-- Live is a package whose latest version exists and is not deprecated.
-- Reads: stars, versions, packages
-- Columns: name, description, user
-- Example: all-docs query --view browse_star_package --key lodash --group-level 1
select
  stars.name,
  coalesce(nullif(packages.description, ''), nullif(versions.description, ''), '') as description,
  stars."user"
from stars
join versions on versions.name = stars.name
join packages on packages.name = stars.name
where versions.is_latest and versions.deprecated is null
