-- One row is: a member of a latest version; of scripts and directories also the members within.
-- Reads: versions, scripts
-- Columns: field
-- Example: all-docs query --view fields_in_use --group-level 1
select unnest(fields) as field
from versions
where is_latest
union all
select 'scripts.' || script as field
from scripts
where is_latest
