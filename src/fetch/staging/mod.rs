//! Staged answers: what was fetched is durable before its partition is committed, so that a run that dies does not ask
//! for it again.
//!
//! A partition's answers are appended as they come to *segments*: zstd frames with a checksum, each put whole. None waits
//! for one that is slow in coming. A segment is written when it is as full or as old as its [`SegmentBound`] says; so a
//! killed process loses at most that much of each partition under way, and the requests in flight. Each process appends
//! segments of its own *run number*. Failures are not staged: they are no answers.

mod answers;
mod tap;
#[cfg(test)]
mod tests;
mod writer;

use std::io::{BufReader, Read};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::npm::{Answer, Document, Representation, Validators};
use crate::registry::Response;
use crate::store::Store;

pub use answers::StagedAnswers;
pub use tap::{StagingFeed, StagingTap, staging_tap};
pub use writer::StagingWriter;

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

/// A segment that is read from its beginning.
type SegmentReader = Box<dyn Read + Send>;

fn open_segment(store: &Store, path: &str) -> Result<Option<SegmentReader>> {
    let Some(file) = store.blocking().open(path)? else { return Ok(None) };
    let decoder = zstd::Decoder::new(BufReader::new(file.into_read()));
    Ok(decoder.ok().map(|decoder| Box::new(decoder) as SegmentReader))
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
