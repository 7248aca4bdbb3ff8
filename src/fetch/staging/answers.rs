//! Reads the responses that earlier runs staged.

use std::collections::HashMap;

use super::segment::{Header, Kind, Segment};
use crate::error::{Error, Result};
use crate::fetch::FetchItem;
use crate::lake::{OriginLayout, Partition};
use crate::npm::Representation;
use crate::registry::Response;
use crate::store::Store;

/// The responses that earlier runs staged for a partition.
#[derive(Default)]
pub struct StagedAnswers {
    segments: Vec<Known>,
    next_run: u32,
    /// The staged responses by name, the latest of each.
    index: HashMap<String, Staged>,
    /// The open segments, by their numbers: those with names on both sides of the last one taken. Segments hold
    /// responses in the order of arrival, so few are open.
    open: Vec<(usize, Segment)>,
    store: Option<Store>,
}

/// The index entry of a staged response.
struct Staged {
    /// The announced revision.
    rev: String,
    abbreviated: bool,
    kind: Kind,
    fetched_at_us: i64,
    /// The number of its segment in [`StagedAnswers::segments`], and its place there.
    at: (usize, usize),
}

/// An undamaged segment.
struct Known {
    path: String,
    last_name: String,
}

impl StagedAnswers {
    /// Reads all staged segments once to index them; names and one segment bound the memory. Blocks.
    pub fn open(store: &Store, layout: &OriginLayout, partition: &Partition) -> Result<StagedAnswers> {
        let mut paths = Vec::new();
        for path in store.blocking().list(&layout.partition_staging(partition))? {
            if let Some(place) = layout.parse_staged_answers(&path) {
                paths.push((place, path));
            }
        }
        // Later runs replace earlier ones.
        paths.sort_unstable();
        let mut staged = StagedAnswers { store: Some(store.clone()), ..StagedAnswers::default() };
        for ((run, _), path) in paths {
            staged.next_run = run + 1;
            // A damaged response is requested again.
            let Some(segment) = read(store, &path)? else { continue };
            let number = staged.segments.len();
            let mut last_name = String::new();
            for (place, header) in segment.headers() {
                let Header { name, announced_rev: rev, abbreviated, kind, fetched_at_us, .. } = header;
                last_name = last_name.max(name.clone());
                staged.index.insert(name, Staged { rev, abbreviated, kind, fetched_at_us, at: (number, place) });
            }
            staged.segments.push(Known { path, last_name });
        }
        Ok(staged)
    }

    /// Returns the number of the next run.
    pub(super) fn next_run(&self) -> u32 {
        self.next_run
    }

    /// Returns whether a usable response for exactly this revision and form is staged. It is usable only if it is newer
    /// than the lake's own. A "not modified" is usable only while the lake holds the document and `item` sends its tag.
    pub fn has(&self, item: &FetchItem, representation: Representation) -> bool {
        let abbreviated = representation == Representation::Abbreviated;
        self.index.get(item.name.as_str()).is_some_and(|staged| {
            staged.rev == item.announced_rev.as_str()
                && staged.abbreviated == abbreviated
                && match staged.kind {
                    Kind::Fresh => true,
                    Kind::NotModified => item.validators.is_some(),
                    Kind::Gone => false,
                }
                && item.last_answer_us.is_none_or(|last_us| staged.fetched_at_us > last_us)
        })
    }

    /// Takes the staged response for `item`, for which [`StagedAnswers::has`] is true, and its time, µs since 1970.
    /// Calls come in the order of names. Blocks.
    pub fn take(&mut self, item: &FetchItem) -> Result<(Response, i64)> {
        let name = item.name.as_str();
        let at = self.index.get(name).map(|staged| staged.at);
        let found = match at {
            Some((segment, place)) => self.segment(segment, name)?.and_then(|segment| segment.response(place)),
            None => None,
        };
        found.ok_or_else(|| Error::lake(format!("the staged response for {name} vanished")))
    }

    /// Opens a segment, and closes those that end before `name`; `None` if it was damaged after it was indexed.
    fn segment(&mut self, number: usize, name: &str) -> Result<Option<&Segment>> {
        let segments = &self.segments;
        self.open.retain(|(open, _)| segments.get(*open).is_some_and(|known| known.last_name.as_str() >= name));
        if !self.open.iter().any(|(open, _)| *open == number) {
            let (Some(store), Some(known)) = (&self.store, segments.get(number)) else { return Ok(None) };
            let Some(segment) = read(store, &known.path)? else { return Ok(None) };
            self.open.push((number, segment));
        }
        Ok(self.open.iter().find(|(open, _)| *open == number).map(|(_, segment)| segment))
    }

    /// Returns whether every staged response is for one of these items, which ascend by name.
    pub fn is_covered_by(&self, items: &[FetchItem]) -> bool {
        self.index.keys().all(|name| items.binary_search_by(|item| item.name.as_str().cmp(name)).is_ok())
    }
}

fn read(store: &Store, path: &str) -> Result<Option<Segment>> {
    Ok(store.blocking().get(path)?.and_then(Segment::open))
}
