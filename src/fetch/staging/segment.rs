//! The format of a segment: a mark, its responses one after the other, and a checksum of all of it.
//!
//! A response is the length of its header (4 bytes, little-endian), the header in JSON, and the body: gzip as received,
//! which costs nothing, else zstd. A segment is used only if its checksum is right. Not here: which responses are
//! wanted (`answers`).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Context, ErrorKind, Result};
use crate::npm::{Answer, Document, Representation, Validators};
use crate::registry::{Response, inflate_at_once};
use crate::store::blocking;

/// The mark at the beginning of a segment. Earlier versions wrote zstd frames, which begin otherwise; they are ignored
/// like damaged segments.
const MARK: &[u8; 8] = b"answers2";

/// Fast, and small enough: segments live for minutes.
const ZSTD_LEVEL: i32 = 1;

/// The header before a body in a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) announced_rev: String,
    pub(super) abbreviated: bool,
    pub(super) kind: Kind,
    pub(super) http_status: u16,
    pub(super) attempts: u32,
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
    pub(super) fetched_at_us: i64,
    pub(super) body: Option<Body>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    Fresh,
    NotModified,
    /// The registry had no document. Earlier versions staged such responses; they are not used.
    Gone,
}

/// The form of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Body {
    coding: Coding,
    coded_bytes: u64,
    bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Coding {
    Gzip,
    Zstd,
}

/// A segment that is being filled.
pub(super) struct SegmentBuilder {
    bytes: Vec<u8>,
}

impl SegmentBuilder {
    /// Begins a segment that may become as large as `expected_bytes`. A buffer that grows is copied.
    pub(super) fn new(expected_bytes: usize) -> Self {
        let mut bytes = Vec::with_capacity(expected_bytes);
        bytes.extend_from_slice(MARK);
        SegmentBuilder { bytes }
    }

    /// Appends a response, and adds the form of its body to its header.
    pub(super) async fn append(&mut self, mut header: Header, response: &Response) -> Result<()> {
        let compressed;
        let mut coded: &[u8] = &[];
        if let Answer::Fresh(document) = &response.answer {
            let coding;
            (coding, coded) = match &response.gzip {
                Some(gzip) => (Coding::Gzip, gzip.as_ref()),
                None => {
                    compressed = compress(document.bytes.clone()).await?;
                    (Coding::Zstd, compressed.as_slice())
                }
            };
            let (coded_bytes, bytes) = (coded.len() as u64, document.bytes.len() as u64);
            header.body = Some(Body { coding, coded_bytes, bytes });
        }
        let text = serde_json::to_vec(&header)
            .or_error(ErrorKind::Internal, || "a staged response cannot be written as JSON".to_owned())?;
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes();
        for part in [length.as_slice(), &text, coded] {
            self.bytes.extend_from_slice(part);
        }
        Ok(())
    }

    /// Returns the size so far.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the whole segment.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let checksum = libdeflater::crc32(&self.bytes);
        self.bytes.extend_from_slice(&checksum.to_le_bytes());
        self.bytes
    }
}

/// An undamaged segment in its stored form.
pub(super) struct Segment {
    /// The bytes without the checksum.
    bytes: Bytes,
}

impl Segment {
    /// Opens a segment; `None` if it is damaged, or of another version.
    pub(super) fn open(mut bytes: Bytes) -> Option<Segment> {
        let stored = u32::from_le_bytes(*bytes.last_chunk()?);
        bytes.truncate(bytes.len() - size_of_val(&stored));
        (bytes.starts_with(MARK) && libdeflater::crc32(&bytes) == stored).then_some(Segment { bytes })
    }

    /// Iterates over its headers, each with its place.
    pub(super) fn headers(&self) -> impl Iterator<Item = (usize, Header)> {
        let mut place = MARK.len();
        std::iter::from_fn(move || {
            let (header, body) = self.at(place)?;
            let here = std::mem::replace(&mut place, body + header.coded_bytes());
            Some((here, header))
        })
    }

    /// Returns the response at a place, and its time.
    pub(super) fn response(&self, place: usize) -> Option<(Response, i64)> {
        let (header, start) = self.at(place)?;
        let coded = self.bytes.get(start..start.checked_add(header.coded_bytes())?)?;
        let fetched_at_us = header.fetched_at_us;
        Some((header.into_response(coded)?, fetched_at_us))
    }

    /// Returns the header at a place, and the start of its body.
    fn at(&self, place: usize) -> Option<(Header, usize)> {
        let (length, rest) = self.bytes.get(place..)?.split_first_chunk()?;
        let length = u32::from_le_bytes(*length);
        let text = rest.get(..length as usize)?;
        let header = serde_json::from_slice(text).ok()?;
        Some((header, place + size_of_val(&length) + text.len()))
    }
}

impl Header {
    fn coded_bytes(&self) -> usize {
        self.body.and_then(|body| usize::try_from(body.coded_bytes).ok()).unwrap_or_default()
    }

    fn into_response(self, coded: &[u8]) -> Option<Response> {
        let representation = if self.abbreviated { Representation::Abbreviated } else { Representation::Full };
        let validators = Validators { etag: self.etag, last_modified: self.last_modified };
        let answer = match self.kind {
            Kind::Fresh => {
                let bytes = self.body?.decode(coded)?.into();
                Answer::Fresh(Document { bytes, representation, validators: validators.clone() })
            }
            Kind::NotModified => Answer::NotModified,
            Kind::Gone => return None,
        };
        let is_packument = true;
        let Header { http_status, attempts, .. } = self;
        Some(Response { answer, http_status, attempts, validators, is_packument, gzip: None })
    }
}

impl Body {
    fn decode(self, coded: &[u8]) -> Option<Vec<u8>> {
        let bytes = usize::try_from(self.bytes).ok()?;
        match self.coding {
            Coding::Gzip => inflate_at_once(coded, bytes),
            Coding::Zstd => zstd::bulk::decompress(coded, bytes).ok().filter(|decoded| decoded.len() == bytes),
        }
    }
}

/// Compresses a body, which can be large, on a thread where it blocks no other task.
async fn compress(body: Bytes) -> Result<Vec<u8>> {
    let compressed = blocking("compressing a response", move || {
        zstd::bulk::compress(&body, ZSTD_LEVEL)
            .or_error(ErrorKind::Internal, || "a staged response cannot be compressed".to_owned())
    });
    compressed.await
}
