-- One row is: a version that its package no longer has.
-- unpublished_at is known where the whole package went at once.
-- Reads: unpublished, packages
-- Columns: name, version, published_at, unpublished_at
-- Parameter: limit number = 100: most rows
-- Example: all-docs query --view unpublished_versions --param limit=1000
select unpublished.name, unpublished.version, unpublished.published_at, packages.unpublished_at
from unpublished
left join packages on packages.name = unpublished.name
order by unpublished.name, unpublished.published_at, unpublished.version
limit $limit
