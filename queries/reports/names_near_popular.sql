-- One row is: a package whose name is one edit away from that of a popular one.
-- Names one edit apart have the same rest when each, or one of them, loses one letter; place 0 loses none.
-- Reads: packages, dependencies
-- Columns: name, popular_name, dependents, created_at, version_count
-- Parameter: popular number = 1000: how many of the most depended-upon packages are popular
-- Parameter: limit number = 100: most rows
-- Example: all-docs query --view names_near_popular --param popular=200
with popular as (
  select dependency as popular_name, count(*) as dependents
  from dependencies
  where is_latest and kind = 'prod'
  group by dependency
  order by dependents desc, dependency
  limit $popular
),
popular_letters as (
  select popular_name, dependents, unnest(range(0, character_length(popular_name) + 1)) as place
  from popular
),
popular_shortened as (
  select distinct popular_name, dependents, substr(popular_name, 1, place - 1) || substr(popular_name, place + 1) as rest
  from popular_letters
),
letters as (
  select name, unnest(range(0, character_length(name) + 1)) as place
  from packages
),
shortened as (
  select name, substr(name, 1, place - 1) || substr(name, place + 1) as rest
  from letters
),
candidates as (
  select distinct shortened.name, popular_shortened.popular_name, popular_shortened.dependents
  from shortened
  join popular_shortened on popular_shortened.rest = shortened.rest
  where levenshtein(shortened.name, popular_shortened.popular_name) = 1
)
select candidates.name, candidates.popular_name, candidates.dependents, packages.created_at, packages.version_count
from candidates
join packages on packages.name = candidates.name
order by candidates.dependents desc, candidates.popular_name, candidates.name
limit $limit
