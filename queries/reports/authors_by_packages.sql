-- One row is: a maintainer, by the number of packages.
-- Reads: maintainers
-- Columns: maintainer, packages
-- Parameter: limit number = 20: most rows
-- Example: all-docs query --view authors_by_packages --param limit=10
select maintainer, count(*) as packages
from maintainers
where maintainer is not null
group by maintainer
order by packages desc, maintainer
limit $limit
