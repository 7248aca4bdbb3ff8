-- One row is: a version whose archive is not on the registry's own host.
-- $registry_url is the address of the documents, which every view may name.
-- Reads: versions
-- Columns: name, version, tarball_url
-- Example: all-docs query --view odd_host --limit 20
select name, version, tarball_url
from versions
where split_part(tarball_url, '/', 3) <> split_part($registry_url, '/', 3)
