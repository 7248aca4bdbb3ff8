//! The drain: puts the events of the feed into the files of their days.
//!
//! A new file of a day is made beside the old one, and replaces it by one put. Only then the files of the feed are deleted.
//! A process that dies in between leaves events in both: the file of the day names the files of the feed that it has, so the
//! next drain only deletes them.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::file::{EventsReader, EventsWriter};
use crate::error::{Context, Doing, Error, ErrorKind, Result};
use crate::lake::OriginLayout;
use crate::store::{Store, blocking};

/// The files of the feed that are put into a day at once: each is open.
const FILES_AT_ONCE: usize = 64;

/// The events of one commit, in the feed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedFile {
    /// When they were seen, in microseconds since 1970.
    pub seen_at_us: i64,
    /// The path of the file.
    pub path: String,
}

impl FeedFile {
    /// Returns the file with this name in the feed of an origin; `None` for a name that none has.
    pub fn of_name(layout: &OriginLayout, name: &str) -> Option<FeedFile> {
        let path = layout.feed_file(name);
        layout.parse_feed_file(&path).map(|seen_at_us| FeedFile { seen_at_us, path })
    }

    /// Returns the day on which they were seen, in UTC.
    pub fn day(&self) -> Date {
        let time = jiff::Timestamp::from_microsecond(self.seen_at_us).unwrap_or_default();
        time.to_zoned(TimeZone::UTC).date()
    }

    /// Returns the name of the file.
    pub fn name(&self) -> String {
        self.path.rsplit('/').next().unwrap_or_default().to_owned()
    }
}

/// The result of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drained {
    /// The files of the feed that are in the files of their days now.
    pub files: u64,
    /// The events that these got.
    pub events: u64,
}

/// Lists the feed of an origin, by time. Other files in its folder do not count.
pub async fn feed_files(store: &Store, layout: &OriginLayout) -> Result<Vec<FeedFile>> {
    Ok(feed_files_among(layout, store.list(&layout.feed()).await?))
}

/// Returns the files of the feed among these paths, by time.
pub fn feed_files_among(layout: &OriginLayout, paths: Vec<String>) -> Vec<FeedFile> {
    let of_path = |path: String| layout.parse_feed_file(&path).map(|seen_at_us| FeedFile { seen_at_us, path });
    let mut files: Vec<FeedFile> = paths.into_iter().filter_map(of_path).collect();
    files.sort();
    files
}

/// Puts these files of the feed into the files of their days. `check` fails when this process may no longer do so.
///
/// Fails with [`ErrorKind::Lake`] if a file is damaged. The other days are drained before.
pub async fn drain(
    store: &Store,
    layout: &OriginLayout,
    files: Vec<FeedFile>,
    check: impl Fn() -> Result<()>,
) -> Result<Drained> {
    let mut days: BTreeMap<Date, Vec<FeedFile>> = BTreeMap::new();
    for file in files {
        days.entry(file.day()).or_default().push(file);
    }
    let (mut drained, mut failure) = (Drained::default(), None);
    for (day, files) in days {
        for files in files.chunks(FILES_AT_ONCE) {
            check()?;
            match drain_into(store, layout, day, files, &check).await.doing(|| format!("keeping the events of {day}")) {
                Ok(events) => {
                    drained.files += files.len() as u64;
                    drained.events += events;
                }
                Err(error) => {
                    failure.get_or_insert(error);
                    break;
                }
            }
        }
    }
    failure.map_or(Ok(drained), Err)
}

async fn drain_into(
    store: &Store,
    layout: &OriginLayout,
    day: Date,
    files: &[FeedFile],
    check: &impl Fn() -> Result<()>,
) -> Result<u64> {
    let (path, staged) = (layout.events_of_day(day), layout.staged_events_of_day());
    let (of_store, of_files, of_path, of_staged) = (store.clone(), files.to_vec(), path.clone(), staged.clone());
    let merged = blocking("the merge of events", move || merge(&of_store, &of_path, &of_files, &of_staged)).await?;
    check()?;
    if let Some(events) = merged {
        if !store.promote(&staged, &path).await? {
            return Err(Error::lake(format!("the staged file {staged} vanished")).hint("run the same command again"));
        }
        delete(store, files).await?;
        return Ok(events);
    }
    // A process may have died after it put the day and before it removed the staged file.
    store.delete(&staged).await?;
    delete(store, files).await?;
    Ok(0)
}

async fn delete(store: &Store, files: &[FeedFile]) -> Result<()> {
    for file in files {
        store.delete(&file.path).await?;
    }
    Ok(())
}

/// Stages the file of a day with the events of `files`. Returns how many are new; `None`, and stages nothing, if the day
/// has all of these files.
fn merge(store: &Store, path: &str, files: &[FeedFile], staged: &str) -> Result<Option<u64>> {
    let day = EventsReader::open(store, path, true)?;
    let has: HashSet<String> = day.as_ref().map(EventsReader::drained).unwrap_or_default().into_iter().collect();
    let mut opened = Vec::new();
    for file in files.iter().filter(|file| !has.contains(&file.name())) {
        // A file that is gone was drained by a process that is dead now.
        opened.extend(EventsReader::open(store, &file.path, true)?.map(|reader| (file.seen_at_us, reader)));
    }
    if opened.is_empty() {
        return Ok(None);
    }
    let mut wanted: HashSet<String> = HashSet::new();
    for (_, file) in &opened {
        each_id(file, |id| {
            wanted.insert(id.to_owned());
        })?;
    }
    let mut taken: HashSet<String> = HashSet::new();
    if let Some(day) = &day {
        each_id(day, |id| {
            if wanted.contains(id) {
                taken.insert(id.to_owned());
            }
        })?;
    }
    drop(wanted);
    let mut writer = EventsWriter::new(store.stage(staged)?)?;
    let mut pending = opened.into_iter().peekable();
    let mut added = 0;
    for batch in day.as_ref().map(|day| day.batches(None)).transpose()?.into_iter().flatten() {
        let batch = batch?;
        let mut start = 0;
        let times =
            batch.column_by_name("seen_at").and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
        let times = times.ok_or_else(|| Error::internal("events without a time"))?.values();
        let last_us = times.last().copied().unwrap_or(i64::MIN);
        while let Some((seen_at_us, file)) = pending.next_if(|(seen_at_us, _)| *seen_at_us < last_us) {
            let end = start + times.get(start..).unwrap_or_default().partition_point(|time| *time <= seen_at_us);
            writer.write(&batch.slice(start, end - start))?;
            added += append(&mut writer, &file, &mut taken)?;
            start = end;
        }
        writer.write(&batch.slice(start, batch.num_rows() - start))?;
    }
    for (_, file) in pending {
        added += append(&mut writer, &file, &mut taken)?;
    }
    let names: Vec<String> = files.iter().map(FeedFile::name).collect();
    writer.finish(&names)?.finish()?;
    Ok(Some(added))
}

/// Writes the events of a file that are not taken yet. Returns how many.
fn append<W: Write + Send>(
    writer: &mut EventsWriter<W>,
    file: &EventsReader,
    taken: &mut HashSet<String>,
) -> Result<u64> {
    let mut added = 0;
    for batch in file.batches(None)? {
        let batch = batch?;
        let is_new: Vec<bool> = ids(&batch)?.iter().map(|id| taken.insert(id.unwrap_or_default().to_owned())).collect();
        let kept = filter_record_batch(&batch, &BooleanArray::from(is_new))
            .or_error(ErrorKind::Internal, || "cannot filter events".to_owned())?;
        writer.write(&kept)?;
        added += kept.num_rows() as u64;
    }
    Ok(added)
}

fn each_id(file: &EventsReader, mut each: impl FnMut(&str)) -> Result<()> {
    for batch in file.batches(Some(&["id"]))? {
        ids(&batch?)?.iter().for_each(|id| each(id.unwrap_or_default()));
    }
    Ok(())
}

fn ids(batch: &RecordBatch) -> Result<&arrow::array::StringArray> {
    let column = batch.column_by_name("id").and_then(|column| column.as_string_opt::<i32>());
    column.ok_or_else(|| Error::internal("events without an id"))
}
