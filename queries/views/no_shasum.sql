-- One row is: a version without the digest of its archive.
-- has_shasum says whether the version's own object has one, where old clients left it.
-- Reads: versions
-- Columns: name, version, has_version, has_dist, has_shasum
-- Example: all-docs query --view no_shasum
select
  name,
  version,
  true as has_version,
  array_has(fields, 'dist') as has_dist,
  array_has(fields, 'shasum') as has_shasum
from versions
where coalesce(shasum, '') = ''
