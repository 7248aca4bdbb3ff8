//! Reading what earlier runs staged.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::{Header, Kind, SegmentReader, headers_of, open_segment, read_answer};
use crate::error::{Error, Result};
use crate::fetch::FetchItem;
use crate::lake::{OriginLayout, Partition};
use crate::npm::Representation;
use crate::registry::Response;
use crate::store::Store;

/// The answers that earlier runs staged for a partition.
#[derive(Default)]
pub struct StagedAnswers {
    segments: Vec<Segment>,
    next_run: u32,
    /// What is staged, by name: of several answers the latest.
    index: HashMap<String, Staged>,
    /// The segments that are being read: those that hold names on both sides of the last one taken, and the next.
    open: Vec<(usize, OpenSegment)>,
    store: Option<Store>,
}

/// What is known of a staged answer.
struct Staged {
    /// The announced revision.
    rev: String,
    abbreviated: bool,
    kind: Kind,
    fetched_at_us: i64,
    /// Its place in [`StagedAnswers::segments`].
    segment: usize,
}

/// A sound segment.
struct Segment {
    path: String,
    last_name: String,
}

/// A segment on its way to its end. Answers lie in it as they came, so some are passed before their turn: as many, and as
/// large, as were in memory together when they were fetched.
struct OpenSegment {
    reader: SegmentReader,
    passed: BTreeMap<String, (Header, Bytes)>,
}

impl StagedAnswers {
    /// Reads what is staged once through, to know it; memory is bounded by the names. Blocks.
    pub fn open(store: &Store, layout: &OriginLayout, partition: &Partition) -> Result<StagedAnswers> {
        let mut paths = Vec::new();
        for path in store.blocking().list(&layout.partition_staging(partition))? {
            if let Some(place) = layout.parse_staged_answers(&path) {
                paths.push((place, path));
            }
        }
        // Later runs know better.
        paths.sort_unstable();
        let mut staged = StagedAnswers { store: Some(store.clone()), ..StagedAnswers::default() };
        for ((run, _), path) in paths {
            staged.next_run = run + 1;
            // What is damaged is asked for again.
            let Some(headers) = headers_of(store, &path)? else { continue };
            let segment = staged.segments.len();
            let Some(last_name) = headers.iter().map(|header| header.name.clone()).max() else { continue };
            staged.segments.push(Segment { path, last_name });
            for header in headers {
                let Header { name, announced_rev: rev, abbreviated, kind, fetched_at_us, .. } = header;
                staged.index.insert(name, Staged { rev, abbreviated, kind, fetched_at_us, segment });
            }
        }
        Ok(staged)
    }

    /// The number of the next run.
    pub(super) fn next_run(&self) -> u32 {
        self.next_run
    }

    /// Whether an answer for just this revision and form is staged, that means something: it came after the one that the
    /// lake has; and that a document has not changed means something only while the lake holds it, and `item` asks by its
    /// tag.
    pub fn has(&self, item: &FetchItem, representation: Representation) -> bool {
        let abbreviated = representation == Representation::Abbreviated;
        self.index.get(item.name.as_str()).is_some_and(|staged| {
            staged.rev == item.announced_rev.as_str()
                && staged.abbreviated == abbreviated
                && (staged.kind != Kind::NotModified || item.validators.is_some())
                && item.last_answer_us.is_none_or(|last_us| staged.fetched_at_us > last_us)
        })
    }

    /// Takes the staged answer for `item`, for which [`StagedAnswers::has`] is true. Calls come in the order of names.
    pub fn take(&mut self, item: &FetchItem) -> Result<(Response, i64)> {
        let name = item.name.as_str();
        let found = match self.index.get(name).map(|staged| staged.segment) {
            Some(segment) => self.find(segment, name)?,
            None => None,
        };
        let (header, body) = found.ok_or_else(|| Error::lake(format!("the staged answer for {name} vanished")))?;
        let fetched_at_us = header.fetched_at_us;
        Ok((header.into_response(body), fetched_at_us))
    }

    fn find(&mut self, segment: usize, name: &str) -> Result<Option<(Header, Bytes)>> {
        let segments = &self.segments;
        self.open.retain(|(number, _)| segments.get(*number).is_some_and(|known| known.last_name.as_str() >= name));
        let place = match self.open.iter().position(|(number, _)| *number == segment) {
            Some(place) => place,
            None => {
                let (Some(store), Some(known)) = (&self.store, segments.get(segment)) else { return Ok(None) };
                let Some(reader) = open_segment(store, &known.path)? else { return Ok(None) };
                self.open.push((segment, OpenSegment { reader, passed: BTreeMap::new() }));
                self.open.len() - 1
            }
        };
        let Some((_, open)) = self.open.get_mut(place) else { return Ok(None) };
        // Nobody asks for what lies before.
        open.passed = open.passed.split_off(name);
        if let Some(answer) = open.passed.remove(name) {
            return Ok(Some(answer));
        }
        // One that was damaged since it was indexed ends here.
        while let Ok(Some((header, body))) = read_answer(&mut open.reader) {
            match header.name.as_str().cmp(name) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Ok(Some((header, body))),
                std::cmp::Ordering::Greater => {
                    // An answer that a later run has replaced is not taken from here.
                    if self.index.get(&header.name).is_some_and(|staged| staged.segment == segment) {
                        open.passed.insert(header.name.clone(), (header, body));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Whether every staged answer is for one of these, which ascend by name.
    pub fn is_covered_by(&self, items: &[FetchItem]) -> bool {
        self.index.keys().all(|name| items.binary_search_by(|item| item.name.as_str().cmp(name)).is_ok())
    }
}
