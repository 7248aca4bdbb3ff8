-- One row is: a package with the keyword.
-- By the keywords of the document; the view by_keyword has those of the latest version.
-- Reads: packages
-- Columns: name, description, star_count
-- Parameter: keyword text: the keyword, in small letters
-- Parameter: limit number = 100: most rows
-- Example: all-docs query --view packages_by_keyword --param keyword=react
with tagged as (
  select name, description, star_count, unnest(keywords) as keyword
  from packages
)
select distinct name, description, star_count
from tagged
where lower(keyword) = $keyword
order by star_count desc nulls last, name
limit $limit
