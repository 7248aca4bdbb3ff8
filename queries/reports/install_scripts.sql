-- One row is: a script that the latest version of a package runs when it is installed.
-- Reads: scripts
-- Columns: name, version, script, command
-- Parameter: limit number = 100: most rows
-- Example: all-docs query --view install_scripts --param limit=1000
select name, version, script, command
from scripts
where is_latest and script in ('preinstall', 'install', 'postinstall') and command <> ''
order by name, script
limit $limit
