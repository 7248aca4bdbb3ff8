-- One row is: a patch release that runs a script on install where the version before it did not.
-- Reads: versions, scripts
-- Columns: name, version, previous_version, published_at, published_by, script, command
-- Parameter: limit number = 100: most rows
-- Example: all-docs query --view install_scripts_in_patches --param limit=20
with told as (
  select
    name,
    version,
    published_at,
    published_by,
    major,
    minor,
    patch,
    prerelease,
    has_install_script,
    lag(version) over before as previous_version,
    lag(major) over before as previous_major,
    lag(minor) over before as previous_minor,
    lag(patch) over before as previous_patch,
    lag(has_install_script) over before as previous_has_install_script
  from versions
  where prerelease is null
  window before as (partition by name order by version_index)
)
select
  told.name,
  told.version,
  told.previous_version,
  told.published_at,
  told.published_by,
  scripts.script,
  scripts.command
from told
join scripts on scripts.name = told.name and scripts.version = told.version
where told.has_install_script and not told.previous_has_install_script
  and told.major = told.previous_major and told.minor = told.previous_minor and told.patch > told.previous_patch
  and scripts.script in ('preinstall', 'install', 'postinstall')
order by told.published_at desc, told.name, scripts.script
limit $limit
