//! The events that outputs have not received yet: those of the feed, and those that a drain has put into the files of
//! their days meanwhile. A record names the latter, so no output holds up the files of days.
//!
//! The holder of the lease of events writes the record, and before it drains.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use crate::error::Result;
use crate::event::{EventsReader, FeedFile, feed_files};
use crate::lake::{OriginLayout, Undelivered};
use crate::store::{Store, blocking};
use crate::table::events::{Event, events_of};

/// How long the events of the days wait for outputs that do not take them.
const WAIT_FOR_OUTPUTS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Begins to record what outputs have not received. Keeps the record of a process that has died.
pub(super) async fn begin(store: &Store, layout: &OriginLayout) -> Result<()> {
    match store.read_record::<Undelivered>(&layout.event_outputs()).await? {
        Some(_) => Ok(()),
        None => store.put_record(&layout.event_outputs(), &Undelivered::default()).await,
    }
}

/// Records, before `files` are drained, which of them outputs have not received. `have` tells what the outputs of this
/// process have.
pub(super) async fn note(
    store: &Store,
    layout: &OriginLayout,
    files: &[FeedFile],
    have: impl Fn(&FeedFile) -> bool,
) -> Result<()> {
    let before = store.read_record::<Undelivered>(&layout.event_outputs()).await?;
    let mut waiting = files_of(layout, before.as_ref());
    waiting.extend(files.iter().cloned());
    waiting.retain(|file| !have(file) && !is_too_old(file));
    write(store, layout, before, &waiting).await
}

/// Does the same in a process without outputs. If nobody has taken an event for so long, nobody is waited for any more.
pub(super) async fn note_for_others(store: &Store, layout: &OriginLayout, files: &[FeedFile]) -> Result<()> {
    let before = store.read_record::<Undelivered>(&layout.event_outputs()).await?;
    let mut waiting = files_of(layout, before.as_ref());
    if waiting.iter().any(is_too_old) {
        return store.delete(&layout.event_outputs()).await;
    }
    waiting.extend(files.iter().cloned());
    write(store, layout, before, &waiting).await
}

async fn write(
    store: &Store,
    layout: &OriginLayout,
    before: Option<Undelivered>,
    waiting: &BTreeSet<FeedFile>,
) -> Result<()> {
    let now = Undelivered { files: waiting.iter().map(FeedFile::name).collect() };
    if before.as_ref() == Some(&now) {
        return Ok(());
    }
    store.put_record(&layout.event_outputs(), &now).await
}

/// Returns the files whose events an output may not have received yet, by time. Those of a drain that runs meanwhile are
/// among them: it writes the record before it takes files out of the feed.
pub(super) async fn waiting(store: &Store, layout: &OriginLayout) -> Result<Vec<FeedFile>> {
    let mut files: BTreeSet<FeedFile> = feed_files(store, layout).await?.into_iter().collect();
    let record = store.read_record::<Undelivered>(&layout.event_outputs()).await?;
    files.extend(files_of(layout, record.as_ref()));
    Ok(files.into_iter().collect())
}

fn files_of(layout: &OriginLayout, record: Option<&Undelivered>) -> BTreeSet<FeedFile> {
    record.into_iter().flat_map(|record| &record.files).filter_map(|name| FeedFile::of_name(layout, name)).collect()
}

fn is_too_old(file: &FeedFile) -> bool {
    jiff::Timestamp::now().as_microsecond().saturating_sub(file.seen_at_us) > WAIT_FOR_OUTPUTS.as_micros() as i64
}

/// Reads the events of files of one day, by time: from the feed, and from the file of the day if a drain has taken them.
/// Events of a day whose file was removed are passed over.
pub(super) async fn read(store: &Store, layout: &OriginLayout, files: &[FeedFile]) -> Result<Vec<Event>> {
    let (store, layout, files) = (store.clone(), layout.clone(), files.to_vec());
    let read = move || {
        let (mut events, mut drained) = (Vec::new(), HashSet::new());
        for file in &files {
            match EventsReader::open(&store, &file.path, true)? {
                Some(reader) => each_event(&reader, |event| events.push(event))?,
                None => {
                    drained.insert(file.seen_at_us);
                }
            }
        }
        let day = files.first().filter(|_| !drained.is_empty()).map(|file| layout.events_of_day(file.day()));
        if let Some(day) = day.map(|path| EventsReader::open(&store, &path, true)).transpose()?.flatten() {
            each_event(&day, |event| events.extend(drained.contains(&event.seen_at_us).then_some(event)))?;
        }
        events.sort_by_key(|event| event.seen_at_us);
        Ok(events)
    };
    blocking("a reader of events", read).await
}

fn each_event(file: &EventsReader, mut each: impl FnMut(Event)) -> Result<()> {
    for batch in file.batches(None)? {
        events_of(&batch?)?.into_iter().for_each(&mut each);
    }
    Ok(())
}
