-- One row is: a star that holds.
-- Reads: stars, quirks
-- Columns: user, name
-- Key: user
-- Example: all-docs query --view starred_by_user --key isaacs
select stars."user", stars.name
from stars
left anti join quirks
  on quirks.name = stars.name and quirks.code = 'falsy_star' and quirks.field = 'users.' || stars."user"
