-- One row is: a package, by its last publication.
-- Reads: versions, packages
-- Columns: published_at, name, version, published_by, description
-- Parameter: limit number = 20: most rows
-- Example: all-docs query --view recently_updated --param limit=50
select versions.published_at, versions.name, versions.version, versions.published_by, packages.description
from versions
join packages on packages.name = versions.name
where versions.is_latest and versions.published_at is not null
order by versions.published_at desc, versions.name
limit $limit
