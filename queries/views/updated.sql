-- One row is: the time of publication of a latest version.
-- The version that the tag latest points to need not exist any more: a time that the document still has counts too.
-- Reads: versions, dist_tags, unpublished
-- Columns: updated_at
-- Example: all-docs query --view updated --startkey 2026-01-01 --reduce
select published_at as updated_at
from versions
where is_latest and published_at is not null
union all
select unpublished.published_at as updated_at
from unpublished
join dist_tags on dist_tags.name = unpublished.name and dist_tags.version = unpublished.version
where dist_tags.tag = 'latest' and unpublished.published_at is not null
