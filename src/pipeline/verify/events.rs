//! Checks the files of events: each row has the id of its values, each file its order, and each day only its own events,
//! each once.

use std::collections::{BTreeSet, HashSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::proof::{Fault, OriginProof, finding};
use crate::error::{Error, Result};
use crate::event::EventsReader;
use crate::lake::OriginLayout;
use crate::store::{Listed, Store, blocking};
use crate::table::events::{Event, events_of};

/// The newest files of days, into which events are drained: a damaged one holds them up.
const OPEN_DAYS: usize = 2;

/// Checks the events of an origin, and adds their faults to the proof.
pub(super) async fn check(store: &Store, layout: &OriginLayout, proof: &mut OriginProof) -> Result<()> {
    for folder in [layout.feed(), layout.events()] {
        let paths = store.list(&folder).await?.into_iter().filter(|path| layout.is_of_events(path));
        check_files(store, layout, paths, check_file, proof).await?;
    }
    Ok(())
}

/// Reads only the ends of the newest files of days among those that were listed.
pub(super) async fn check_quickly(
    store: &Store,
    layout: &OriginLayout,
    listed: &[Listed],
    proof: &mut OriginProof,
) -> Result<()> {
    let days = listed.iter().map(|listed| &listed.path).filter(|path| layout.parse_events_of_day(path).is_some());
    let days: BTreeSet<String> = days.cloned().collect();
    let newest = days.into_iter().rev().take(OPEN_DAYS);
    let read_end = |store: &Store, path: &str, _: Option<Date>| {
        EventsReader::open(store, path, false)?;
        Ok(0)
    };
    check_files(store, layout, newest, read_end, proof).await
}

async fn check_files(
    store: &Store,
    layout: &OriginLayout,
    paths: impl Iterator<Item = String>,
    check: impl Fn(&Store, &str, Option<Date>) -> Result<u64> + Copy + Send + 'static,
    proof: &mut OriginProof,
) -> Result<()> {
    for path in paths {
        let day = layout.parse_events_of_day(&path);
        let (of_store, of_path) = (store.clone(), path.clone());
        match blocking("the check of events", move || Ok(check(&of_store, &of_path, day))).await? {
            Ok(events) => proof.events += events,
            Err(error) => {
                let told = (path, Fault::of(&error), error.report());
                proof.findings.push(finding(layout, told, None));
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
