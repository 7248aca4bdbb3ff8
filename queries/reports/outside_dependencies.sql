-- One row is: a dependency of a latest version on something that is not in the registry: git, an address, a file.
-- Reads: dependencies
-- Columns: name, version, kind, dependency, requirement
-- Parameter: limit number = 100: most rows
-- Example: all-docs query --view outside_dependencies --param limit=1000
select name, version, kind, dependency, requirement
from dependencies
where is_latest
  and (
    regexp_like(requirement, '^(git|github|gitlab|bitbucket|gist|http|https|file|link|ssh)[+:]')
    or regexp_like(requirement, '^git@')
    or regexp_like(requirement, '^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+(#.*)?$')
  )
order by name, kind, dependency
limit $limit
