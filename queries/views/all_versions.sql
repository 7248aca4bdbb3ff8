-- One row is: a published version.
-- Reads: versions
-- Columns: version, name
-- Example: all-docs query --view all_versions --group-level 1 --limit 20
select version, name
from versions
