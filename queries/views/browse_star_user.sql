-- One row is: a star of a live package, also one that was taken back.
-- Live is a package whose latest version exists and is not deprecated.
-- Reads: stars, versions, packages
-- Columns: user, name, description
-- Example: all-docs query --view browse_star_user --key isaacs
select
  stars."user",
  stars.name,
  coalesce(nullif(packages.description, ''), nullif(versions.description, ''), '') as description
from stars
join versions on versions.name = stars.name
join packages on packages.name = stars.name
where versions.is_latest and versions.deprecated is null
