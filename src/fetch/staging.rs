//! Staged answers: what was fetched is durable before its partition is committed, so that a run that dies does not ask
//! for it again.
//!
//! A partition's answers are appended, in the order of their names, to *segments*: zstd frames with a checksum, each put
//! whole. A segment is written when it is as full or as old as its [`SegmentBound`] says; so a killed process loses at most
//! that much of each partition under way, and the requests in flight. Each process appends segments of
//! its own *run number*; reading merges the runs. Failures are not staged: they are no answers.

use std::collections::HashMap;
use std::io::{BufReader, Read, Write};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::FetchItem;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::lake::{OriginLayout, Partition};
use crate::npm::{Answer, Document, Representation, Validators};
use crate::registry::Response;
use crate::store::Store;

/// When a segment is written, whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentBound {
    /// It holds so many answers.
    pub answers: usize,
    /// It holds so many bytes of documents.
    pub bytes: usize,
    /// Its first answer is so old.
    pub age: Duration,
}

/// Fast, and small enough: segments live for minutes.
const ZSTD_LEVEL: i32 = 1;
/// No header is longer; a longer one is damage.
const MAX_HEADER_BYTES: usize = 1 << 20;

/// What stands before a document in a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    name: String,
    announced_rev: String,
    abbreviated: bool,
    kind: Kind,
    http_status: u16,
    attempts: u32,
    etag: Option<String>,
    last_modified: Option<String>,
    fetched_at_us: i64,
    body_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Fresh,
    NotModified,
    Gone,
}

/// Appends answers to new segments. Blocks.
pub struct StagingWriter {
    store: Store,
    layout: OriginLayout,
    partition: Partition,
    representation: Representation,
    run: u32,
    next_segment: u32,
    encoder: zstd::Encoder<'static, Vec<u8>>,
    bound: SegmentBound,
    answers: usize,
    bytes: usize,
    first_at: Instant,
}

impl StagingWriter {
    /// Begins the segments of a new run, after those that `staged` found.
    pub fn new(
        store: &Store,
        layout: &OriginLayout,
        partition: &Partition,
        representation: Representation,
        staged: &StagedAnswers,
        bound: SegmentBound,
    ) -> Result<StagingWriter> {
        Ok(StagingWriter {
            store: store.clone(),
            layout: layout.clone(),
            partition: partition.clone(),
            representation,
            run: staged.next_run,
            next_segment: 0,
            encoder: new_encoder()?,
            bound,
            answers: 0,
            bytes: 0,
            first_at: Instant::now(),
        })
    }

    /// Appends an answer; durable at the latest when its segment is full.
    pub fn append(&mut self, item: &FetchItem, response: &Response, fetched_at_us: i64) -> Result<()> {
        let (kind, body) = match &response.answer {
            Answer::Fresh(document) => (Kind::Fresh, document.bytes.as_ref()),
            Answer::NotModified => (Kind::NotModified, [].as_slice()),
            Answer::Gone { .. } => (Kind::Gone, [].as_slice()),
        };
        let validators = &response.validators;
        let header = Header {
            name: item.name.as_str().to_owned(),
            announced_rev: item.announced_rev.as_str().to_owned(),
            abbreviated: self.representation == Representation::Abbreviated,
            kind,
            http_status: response.http_status,
            attempts: response.attempts,
            etag: validators.etag.clone(),
            last_modified: validators.last_modified.clone(),
            fetched_at_us,
            body_bytes: body.len() as u64,
        };
        let text = serde_json::to_vec(&header)
            .or_error(ErrorKind::Internal, || "a staged answer cannot be spelled as JSON".to_owned())?;
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes();
        let written = [length.as_slice(), &text, body].into_iter().try_for_each(|part| self.encoder.write_all(part));
        written.or_error(ErrorKind::Internal, || "a staged answer cannot be compressed".to_owned())?;
        if self.answers == 0 {
            self.first_at = Instant::now();
        }
        self.answers += 1;
        self.bytes += body.len();
        if self.answers >= self.bound.answers || self.bytes >= self.bound.bytes {
            self.put_segment()?;
        }
        Ok(())
    }

    /// How long the answers that are not durable yet may still wait; `None` where there are none.
    pub fn time_left(&self) -> Option<Duration> {
        (self.answers > 0).then(|| self.bound.age.saturating_sub(self.first_at.elapsed()))
    }

    /// Makes what was appended durable, as far as there is any.
    pub fn flush(&mut self) -> Result<()> {
        if self.answers == 0 { Ok(()) } else { self.put_segment() }
    }

    fn put_segment(&mut self) -> Result<()> {
        let encoder = std::mem::replace(&mut self.encoder, new_encoder()?);
        let segment = encoder.finish().or_error(ErrorKind::Internal, || "a segment cannot be compressed".to_owned())?;
        let path = self.layout.staged_answers(&self.partition, self.run, self.next_segment);
        futures::executor::block_on(self.store.put(&path, segment))?;
        self.next_segment += 1;
        (self.answers, self.bytes) = (0, 0);
        Ok(())
    }
}

fn new_encoder() -> Result<zstd::Encoder<'static, Vec<u8>>> {
    let encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL).and_then(|mut encoder| {
        encoder.include_checksum(true)?;
        Ok(encoder)
    });
    encoder.or_error(ErrorKind::Internal, || "zstd does not start".to_owned())
}

/// The answers that earlier runs staged for a partition.
#[derive(Default)]
pub struct StagedAnswers {
    runs: Vec<RunReader>,
    next_run: u32,
    /// What is staged, by name.
    index: HashMap<String, Staged>,
}

/// What is known of a staged answer.
struct Staged {
    /// The announced revision.
    rev: String,
    abbreviated: bool,
    kind: Kind,
}

impl StagedAnswers {
    /// Reads what is staged once through, to know it; memory is bounded by the names. Blocks.
    pub fn open(store: &Store, layout: &OriginLayout, partition: &Partition) -> Result<StagedAnswers> {
        let mut segments: HashMap<u32, Vec<String>> = HashMap::new();
        for path in futures::executor::block_on(store.list(&layout.partition_staging(partition)))? {
            if let Some((run, _segment)) = layout.parse_staged_answers(&path) {
                segments.entry(run).or_default().push(path);
            }
        }
        let mut staged = StagedAnswers::default();
        let mut numbers: Vec<u32> = segments.keys().copied().collect();
        numbers.sort_unstable();
        for run in numbers {
            let mut paths = segments.remove(&run).unwrap_or_default();
            paths.sort_unstable();
            let mut sound = Vec::new();
            for path in paths {
                // What is damaged is asked for again.
                let Some(headers) = headers_of(store, &path)? else { continue };
                for header in headers {
                    let staged_now =
                        Staged { rev: header.announced_rev, abbreviated: header.abbreviated, kind: header.kind };
                    staged.index.insert(header.name, staged_now);
                }
                sound.push(path);
            }
            staged.runs.push(RunReader::new(store, sound));
            staged.next_run = run + 1;
        }
        Ok(staged)
    }

    /// Whether an answer for just this revision and form is staged, that means something: that a document has not
    /// changed does so only while the lake holds it, and `item` asks by its tag.
    pub fn has(&self, item: &FetchItem, representation: Representation) -> bool {
        let abbreviated = representation == Representation::Abbreviated;
        self.index.get(item.name.as_str()).is_some_and(|staged| {
            staged.rev == item.announced_rev.as_str()
                && staged.abbreviated == abbreviated
                && (staged.kind != Kind::NotModified || item.validators.is_some())
        })
    }

    /// Takes the staged answer for `item`, for which [`StagedAnswers::has`] is true. Calls come in the order of names.
    pub fn take(&mut self, item: &FetchItem) -> Result<(Response, i64)> {
        let mut found = None;
        for run in &mut self.runs {
            // Every run passes this name; the latest run's answer is the one that the index knows.
            if let Some(answer) = run.seek(item.name.as_str())? {
                found = Some(answer);
            }
        }
        let (header, body) =
            found.ok_or_else(|| Error::lake(format!("the staged answer for {} vanished", item.name)))?;
        let fetched_at_us = header.fetched_at_us;
        Ok((header.into_response(body), fetched_at_us))
    }

    /// Whether every staged answer is for one of these, which ascend by name.
    pub fn is_covered_by(&self, items: &[FetchItem]) -> bool {
        self.index.keys().all(|name| items.binary_search_by(|item| item.name.as_str().cmp(name)).is_ok())
    }

    /// How many answers are staged.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether nothing is staged.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }
}

impl Header {
    fn into_response(self, body: Bytes) -> Response {
        let representation = if self.abbreviated { Representation::Abbreviated } else { Representation::Full };
        let validators = Validators { etag: self.etag, last_modified: self.last_modified };
        let answer = match self.kind {
            Kind::Fresh => Answer::Fresh(Document { bytes: body, representation, validators: validators.clone() }),
            Kind::NotModified => Answer::NotModified,
            Kind::Gone => Answer::Gone { status: self.http_status },
        };
        Response { answer, http_status: self.http_status, attempts: self.attempts, validators }
    }
}

/// The answers of one run, in the order of their names.
struct RunReader {
    store: Store,
    /// The segments that are not open yet, last one first.
    pending: Vec<String>,
    open: Option<Box<dyn Read + Send>>,
    /// An answer that was read ahead.
    ahead: Option<(Header, Bytes)>,
}

impl RunReader {
    fn new(store: &Store, mut paths: Vec<String>) -> RunReader {
        paths.sort_unstable_by(|one, other| other.cmp(one));
        RunReader { store: store.clone(), pending: paths, open: None, ahead: None }
    }

    fn seek(&mut self, name: &str) -> Result<Option<(Header, Bytes)>> {
        loop {
            match &self.ahead {
                Some((header, _)) if header.name.as_str() > name => return Ok(None),
                Some((header, _)) if header.name.as_str() == name => return Ok(self.ahead.take()),
                _ => self.ahead = self.next()?,
            }
            if self.ahead.is_none() {
                return Ok(None);
            }
        }
    }

    fn next(&mut self) -> Result<Option<(Header, Bytes)>> {
        loop {
            if let Some(open) = &mut self.open {
                match read_answer(open) {
                    Ok(Some(answer)) => return Ok(Some(answer)),
                    // One that was damaged since it was indexed: what is missing of it is missed by `take`.
                    Ok(None) | Err(_) => self.open = None,
                }
            }
            let Some(path) = self.pending.pop() else { return Ok(None) };
            self.open = open_segment(&self.store, &path)?;
        }
    }
}

fn open_segment(store: &Store, path: &str) -> Result<Option<Box<dyn Read + Send>>> {
    let Some(file) = futures::executor::block_on(store.open_shard(path))? else { return Ok(None) };
    let decoder = zstd::Decoder::new(BufReader::new(file.into_read()));
    Ok(decoder.ok().map(|decoder| Box::new(decoder) as Box<dyn Read + Send>))
}

/// What a segment holds; `None` where it is damaged. Its checksum stands at its end, so nothing of it is believed before.
fn headers_of(store: &Store, path: &str) -> Result<Option<Vec<Header>>> {
    let Some(mut segment) = open_segment(store, path)? else { return Ok(None) };
    let mut headers = Vec::new();
    loop {
        match read_answer(&mut segment) {
            Ok(Some((header, _))) => headers.push(header),
            Ok(None) => return Ok(Some(headers)),
            Err(_) => return Ok(None),
        }
    }
}

/// Reads one answer; `None` at the end of the segment.
fn read_answer(segment: &mut impl Read) -> std::io::Result<Option<(Header, Bytes)>> {
    let mut length = [0; 4];
    match segment.read(&mut length[..1])? {
        0 => return Ok(None),
        _ => segment.read_exact(&mut length[1..])?,
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_HEADER_BYTES {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let mut text = vec![0; length];
    segment.read_exact(&mut text)?;
    let header: Header = serde_json::from_slice(&text)?;
    let mut body = Vec::new();
    let read = segment.take(header.body_bytes).read_to_end(&mut body)?;
    if read as u64 != header.body_bytes {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((header, body.into())))
}
