-- One row is: a package that the user maintains.
-- Reads: maintainers, packages
-- Columns: name, description, latest, modified_at
-- Parameter: maintainer text: the user name
-- Example: all-docs query --view packages_of_maintainer --param maintainer=sindresorhus
select packages.name, packages.description, packages.latest, packages.modified_at
from maintainers
join packages on packages.name = maintainers.name
where maintainers.maintainer = $maintainer
order by packages.name
