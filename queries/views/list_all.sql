-- One row is: a document as it was served.
-- Reads: packuments
-- Columns: name, json
-- Key: name
-- Example: all-docs query --view list_all --key lodash
select name, json
from packuments
