//! Writes segments.

use std::time::Duration;

use tokio::time::Instant;

use super::segment::{Header, Kind, SegmentBuilder};
use super::{SegmentBound, StagedAnswers};
use crate::error::Result;
use crate::fetch::FetchItem;
use crate::lake::{OriginLayout, Partition};
use crate::npm::{Answer, Representation};
use crate::registry::Response;
use crate::store::Store;

/// Appends responses to new segments.
pub struct StagingWriter {
    store: Store,
    layout: OriginLayout,
    partition: Partition,
    representation: Representation,
    run: u32,
    next_segment: u32,
    segment: SegmentBuilder,
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
            segment: SegmentBuilder::new(0),
            bound,
            answers: 0,
            bytes: 0,
            first_at: Instant::now(),
        })
    }

    /// Appends a response; durable at the latest when its segment is full. Leaves out one without a document.
    pub async fn append(&mut self, item: &FetchItem, response: &Response, fetched_at_us: i64) -> Result<()> {
        let (kind, body_bytes) = match &response.answer {
            Answer::Fresh(document) => (Kind::Fresh, document.bytes.len()),
            Answer::NotModified => (Kind::NotModified, 0),
            // It depends on time and credentials.
            Answer::Gone { .. } => return Ok(()),
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
            body: None,
        };
        self.segment.append(header, response).await?;
        if self.answers == 0 {
            self.first_at = Instant::now();
        }
        self.answers += 1;
        self.bytes += body_bytes;
        if self.answers >= self.bound.answers || self.bytes >= self.bound.bytes {
            self.put_segment().await?;
        }
        Ok(())
    }

    /// Returns how long the responses that are not durable yet may still wait; `None` if there are none.
    pub fn time_left(&self) -> Option<Duration> {
        (self.answers > 0).then(|| self.bound.age.saturating_sub(self.first_at.elapsed()))
    }

    /// Makes all appended responses durable.
    pub async fn flush(&mut self) -> Result<()> {
        if self.answers == 0 { Ok(()) } else { self.put_segment().await }
    }

    async fn put_segment(&mut self) -> Result<()> {
        let next = SegmentBuilder::new(self.segment.bytes());
        let segment = std::mem::replace(&mut self.segment, next).finish();
        let path = self.layout.staged_answers(&self.partition, self.run, self.next_segment);
        self.store.put(&path, segment).await?;
        self.next_segment += 1;
        (self.answers, self.bytes) = (0, 0);
        Ok(())
    }
}
