-- One row is: a repository that packages of several scopes name.
-- Reads: packages
-- Columns: repository, scopes, packages, some_packages
-- Parameter: limit number = 100: most rows
-- Example: all-docs query --view shared_repositories --param limit=20
with named as (
  select
    name,
    coalesce('@' || scope, '') as scope,
    lower(regexp_replace(
      regexp_replace(repository_url, '^(git\+)?[a-z+]+://(git@)?|^git@|^github:', ''),
      '(\.git)?/*(#.*)?$',
      ''
    )) as repository
  from packages
  where repository_url <> ''
)
select
  repository,
  count(distinct scope) as scopes,
  count(*) as packages,
  array_agg(distinct scope || case when scope = '' then name else '' end order by scope || case when scope = '' then name else '' end) as some_packages
from named
group by repository
having count(distinct scope) > 1
order by packages desc, repository
limit $limit
