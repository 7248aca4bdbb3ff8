-- One row is: something that happened to the package, the first first.
-- Reads: events
-- Columns: seen_at, rev, event, version, subject, before, after
-- Parameter: name text: the package
-- Parameter: limit number = 1000: most rows
-- Example: all-docs query --view history_of --param name=react
select seen_at, rev, event, version, subject, before, after
from events
where name = $name
order by seen_at, event, version, subject
limit $limit
