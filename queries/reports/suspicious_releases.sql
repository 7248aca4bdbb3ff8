-- One row is: a release, or a new package, that looks suspicious, once for each reason.
-- The reasons: a new publisher in the same version as a new install script; provenance or trusted publishing lost; many
-- packages by one publisher within an hour; a new package whose name is one edit away from that of a popular one. Popular
-- are the most depended-upon packages, and the most downloaded ones if downloads are known.
-- Reads: events, versions, dependencies, downloads
-- Columns: seen_at, name, version, reason, detail
-- Parameter: days number = 7: how many days back from the last event
-- Parameter: burst number = 20: fewest packages of one publisher within an hour
-- Parameter: popular number = 1000: how many packages are popular
-- Parameter: limit number = 100: most rows
-- Example: all-docs query --view suspicious_releases --param days=1
with recent as (
  select *
  from events
  where seen_at > (select max(seen_at) from events) - cast(concat($days, ' days') as interval)
),
with_script as (
  select
    by_user.seen_at,
    by_user.name,
    by_user.version,
    'new publisher and new install script' as reason,
    concat(by_user.subject, ': ', script.subject, ' runs ', script.after) as detail
  from recent as by_user
  join recent as script on script.name = by_user.name and script.version = by_user.version
  where by_user.event = 'publisher_new' and script.event in ('install_script_added', 'install_script_changed')
),
without_proof as (
  select
    seen_at,
    name,
    version,
    case when event = 'provenance_lost' then 'provenance lost' else 'trusted publishing lost' end as reason,
    concat('the version before had ', before) as detail
  from recent
  where event in ('provenance_lost', 'trusted_publishing_lost')
),
published as (
  select
    recent.seen_at,
    recent.name,
    versions.version,
    versions.published_by,
    date_trunc('hour', versions.published_at) as hour
  from recent
  join versions on versions.name = recent.name
    and (versions.version = recent.version or (recent.version is null and versions.is_latest))
  where recent.event in ('package_added', 'version_published', 'version_republished')
    and versions.published_by is not null
),
bursts as (
  select published_by, hour, count(distinct name) as packages
  from published
  group by published_by, hour
  having count(distinct name) >= $burst
),
of_bursts as (
  select
    published.seen_at,
    published.name,
    published.version,
    'burst of packages by one publisher' as reason,
    concat(bursts.published_by, ' published ', bursts.packages, ' packages within an hour') as detail
  from published
  join bursts on bursts.published_by = published.published_by and bursts.hour = published.hour
),
depended_upon as (
  select dependency as popular_name
  from dependencies
  where is_latest and kind = 'prod'
  group by dependency
  order by count(*) desc, dependency
  limit $popular
),
downloaded as (
  select name as popular_name
  from downloads
  where day > (select max(day) from downloads) - interval '28 days'
  group by name
  order by sum(downloads) desc, name
  limit $popular
),
popular as (
  select popular_name from depended_upon
  union
  select popular_name from downloaded
),
popular_letters as (
  select popular_name, unnest(range(0, character_length(popular_name) + 1)) as place
  from popular
),
popular_shortened as (
  select distinct popular_name, substr(popular_name, 1, greatest(place - 1, 0)) || substr(popular_name, place + 1) as rest
  from popular_letters
),
added as (
  select seen_at, name
  from recent
  where event = 'package_added'
),
letters as (
  select seen_at, name, unnest(range(0, character_length(name) + 1)) as place
  from added
),
shortened as (
  select seen_at, name, substr(name, 1, greatest(place - 1, 0)) || substr(name, place + 1) as rest
  from letters
),
near_popular as (
  select
    shortened.seen_at,
    shortened.name,
    cast(null as varchar) as version,
    'name near a popular one' as reason,
    min(popular_shortened.popular_name) as detail
  from shortened
  join popular_shortened on popular_shortened.rest = shortened.rest
  where levenshtein(shortened.name, popular_shortened.popular_name) = 1
  group by shortened.seen_at, shortened.name
)
select distinct seen_at, name, version, reason, detail
from (
  select * from with_script
  union all
  select * from without_proof
  union all
  select * from of_bursts
  union all
  select * from near_popular
)
order by seen_at desc, name, version, reason, detail
limit $limit
