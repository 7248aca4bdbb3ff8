-- One row is: a dependency of a latest version on a package that is gone or held by the registry.
-- Reads: dependencies, packages, docs
-- Columns: name, version, dependency, requirement, state
-- Parameter: limit number = 100: most rows
-- Example: all-docs query --view broken_dependencies --param limit=1000
select
  dependencies.name,
  dependencies.version,
  dependencies.dependency,
  dependencies.requirement,
  case
    when docs.name is null then 'not listed'
    when target.security_holding then 'held for security'
    else 'unpublished'
  end as state
from dependencies
left join packages as target on target.name = dependencies.dependency
left join docs on docs.name = dependencies.dependency
where dependencies.is_latest and dependencies.kind = 'prod'
  and (docs.name is null or target.security_holding or target.version_count = 0)
order by dependencies.name, dependencies.dependency
limit $limit
