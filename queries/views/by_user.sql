-- One row is: a maintainer of a package.
-- Reads: maintainers
-- Columns: maintainer, name
-- Key: maintainer
-- Example: all-docs query --view by_user --key sindresorhus --limit 20
select maintainer, name
from maintainers
