-- One row is: a package that the given one depends on, also through others.
-- Reads: dependencies_of(), packages
-- Columns: depth, name, via, latest, license, deprecated
-- Parameter: name text: the package that depends
-- Parameter: depth number = 100: most steps away
-- Example: all-docs query --view transitive_dependencies --param name=express
select reached.depth, reached.name, reached.via, packages.latest, packages.license, packages.deprecated
from dependencies_of($name, $depth) as reached
left join packages on packages.name = reached.name
order by reached.depth, reached.name
