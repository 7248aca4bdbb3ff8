-- One row is: a live package and who published its latest version; where nobody did, each maintainer.
-- Live is a package whose latest version exists and is not deprecated.
-- Reads: versions, packages, maintainers
-- Columns: updated_at, publisher, name, description
-- Example: all-docs query --view browse_authors_recent --descending --limit 20
select
  versions.published_at as updated_at,
  coalesce(versions.published_by, maintainers.maintainer) as publisher,
  versions.name,
  coalesce(nullif(packages.description, ''), nullif(versions.description, ''), '') as description
from versions
join packages on packages.name = versions.name
left join maintainers on maintainers.name = versions.name and versions.published_by is null
where versions.is_latest and versions.deprecated is null and versions.published_at is not null
  and coalesce(versions.published_by, maintainers.maintainer) is not null
