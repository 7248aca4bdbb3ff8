-- One row is: a requirement for a package, with the version that npm installs for it today.
-- npm takes the version of the tag latest where it fits, else the highest that fits, deprecated ones last;
-- a requirement that is no range is a tag. The version is null where nothing fits.
-- Reads: dependencies, versions, dist_tags
-- Columns: requirement, version, dependents
-- Parameter: name text: the package that is depended upon
-- Parameter: limit number = 100: most rows
-- Example: all-docs query --view who_gets --param name=react
with asked as (
  select coalesce(requirement, '') as requirement, count(*) as dependents
  from dependencies
  where is_latest and kind = 'prod' and dependency = $name
  group by 1
),
offered as (
  select version, is_latest, deprecated is not null as is_deprecated, semver_sort_key(version) as place
  from versions
  where name = $name
),
fitting as (
  select
    asked.requirement,
    offered.version,
    row_number() over (
      partition by asked.requirement
      order by offered.is_latest desc, offered.is_deprecated, offered.place desc
    ) as choice
  from asked
  join offered on semver_satisfies(offered.version, asked.requirement)
)
select asked.requirement, coalesce(fitting.version, tags.version) as version, asked.dependents
from asked
left join fitting on fitting.requirement = asked.requirement and fitting.choice = 1
left join dist_tags as tags on tags.name = $name and tags.tag = asked.requirement
order by asked.dependents desc, asked.requirement
limit $limit
