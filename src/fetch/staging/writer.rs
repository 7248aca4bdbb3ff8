//! Writing segments.

use std::io::Write;
use std::time::{Duration, Instant};

use super::{Header, Kind, SegmentBound, StagedAnswers};
use crate::error::{Context, ErrorKind, Result};
use crate::fetch::FetchItem;
use crate::lake::{OriginLayout, Partition};
use crate::npm::{Answer, Representation};
use crate::registry::Response;
use crate::store::Store;

/// Fast, and small enough: segments live for minutes.
const ZSTD_LEVEL: i32 = 1;

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
            run: staged.next_run(),
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
        self.store.blocking().put(&path, segment)?;
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
