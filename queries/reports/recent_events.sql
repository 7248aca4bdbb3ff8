-- One row is: something that happened to a package, the last first.
-- Reads: events
-- Columns: seen_at, name, event, version, subject, before, after
-- Parameter: event text = any: the kind of event, such as install_script_added
-- Parameter: since time = 1970-01-01: the first time
-- Parameter: limit number = 100: most rows
-- Example: all-docs query --view recent_events --param event=publisher_new
select seen_at, name, event, version, subject, before, after
from events
where ($event = 'any' or event = $event) and seen_at >= cast($since as timestamp with time zone)
order by seen_at desc, name, event, version, subject
limit $limit
