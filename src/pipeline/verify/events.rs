//! Checks the files of events: each row has the id of its values, each file its order, and each day only its own events,
//! each once.

use std::collections::HashSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::proof::{Fault, OriginProof, finding};
use crate::error::{Error, Result};
use crate::event::EventsReader;
use crate::lake::OriginLayout;
use crate::store::{Store, blocking};
use crate::table::events::{Event, events_of};

/// Checks the events of an origin, and adds their faults to the proof.
pub(super) async fn check(store: &Store, layout: &OriginLayout, proof: &mut OriginProof) -> Result<()> {
    for folder in [layout.feed(), layout.events()] {
        for path in store.list(&folder).await? {
            let day = layout.parse_events_of_day(&path);
            if day.is_none() && layout.parse_feed_file(&path).is_none() {
                continue;
            }
            let (of_store, of_path) = (store.clone(), path.clone());
            let checked = blocking("the check of events", move || Ok(check_file(&of_store, &of_path, day))).await?;
            match checked {
                Ok(events) => proof.events += events,
                Err(error) => {
                    let told = (path, Fault::of(&error), error.report());
                    proof.findings.push(finding(layout, told, None));
                }
            }
        }
    }
    Ok(())
}

/// Returns the number of events in a file. A file that a drain has taken meanwhile has none.
fn check_file(store: &Store, path: &str, day: Option<Date>) -> Result<u64> {
    let Some(file) = EventsReader::open(store, path, true)? else { return Ok(0) };
    let wrong = |what: String| Error::lake(format!("the events in {path} are damaged: {what}"));
    let mut ids = HashSet::new();
    let mut last_us = i64::MIN;
    for batch in file.batches(None)? {
        for event in events_of(&batch?)? {
            if !event.has_its_id() {
                return Err(wrong(format!("a row of {} has another id than its values make", event.name)));
            }
            if event.seen_at_us < last_us {
                return Err(wrong(format!("a row of {} is not in the order of time", event.name)));
            }
            last_us = event.seen_at_us;
            if day.is_some_and(|day| day_of(&event) != day) {
                return Err(wrong(format!("a row of {} belongs to {}", event.name, day_of(&event))));
            }
            // It is that many digits.
            if !ids.insert(u128::from_str_radix(&event.id, 16).unwrap_or_default()) {
                return Err(wrong(format!("an event of {} is there twice", event.name)));
            }
        }
    }
    match ids.len() as u64 == file.rows() {
        true => Ok(file.rows()),
        false => Err(wrong("it has another number of rows than it says".to_owned())),
    }
}

fn day_of(event: &Event) -> Date {
    jiff::Timestamp::from_microsecond(event.seen_at_us).unwrap_or_default().to_zoned(TimeZone::UTC).date()
}
