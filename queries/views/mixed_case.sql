-- One row is: a package whose name is not in lower case.
-- Reads: packages
-- Columns: name
-- Example: all-docs query --view mixed_case
select name
from packages
where name <> lower(name)
