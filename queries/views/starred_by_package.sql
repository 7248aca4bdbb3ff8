-- One row is: a star that holds.
-- Reads: stars, quirks
-- Columns: name, user
-- Key: name
-- Example: all-docs query --view starred_by_package --key lodash --group-level 1
select stars.name, stars."user"
from stars
left anti join quirks
  on quirks.name = stars.name and quirks.code = 'falsy_star' and quirks.field = 'users.' || stars."user"
