-- One row is: a package that depends on the given one, also through others.
-- Reads: dependents(), packages
-- Columns: depth, name, via, description
-- Parameter: name text: the package that is depended upon
-- Parameter: depth number = 100: most steps away
-- Parameter: limit number = 100: most rows
-- Example: all-docs query --view transitive_dependents --param name=left-pad
select reached.depth, reached.name, reached.via, packages.description
from dependents($name, $depth) as reached
left join packages on packages.name = reached.name
order by reached.depth, reached.name
limit $limit
