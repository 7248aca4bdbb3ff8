-- One row is: a maintainer of a package that is live.
-- Live is a package whose latest version exists and is not deprecated.
-- Reads: maintainers, versions, packages
-- Columns: maintainer, name, description, updated_at
-- Example: all-docs query --view browse_authors --key sindresorhus --limit 20
select
  maintainers.maintainer,
  maintainers.name,
  coalesce(nullif(packages.description, ''), nullif(versions.description, ''), '') as description,
  versions.published_at as updated_at
from versions
join packages on packages.name = versions.name
join maintainers on maintainers.name = versions.name
where versions.is_latest and versions.deprecated is null and versions.published_at is not null
