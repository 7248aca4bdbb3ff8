-- One row is: a package with a script in its latest version that calls node-waf or make.
-- Reads: scripts
-- Columns: name, id
-- Key: name
-- Example: all-docs query --view node_waf_install --limit 20
select name, name || '@' || version as id
from scripts
where is_latest and (command like '%node-waf%' or command like '%make%')
group by name, version
