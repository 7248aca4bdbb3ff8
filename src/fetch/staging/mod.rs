//! Staged responses: a fetched response is durable before its partition is committed, so a run that dies does not
//! request it again.
//!
//! A partition's responses are appended in the order of arrival to *segments*, each stored with a single put. None
//! waits for a slow one. A segment is written when its [`SegmentBound`] is reached. So a killed process loses at most
//! that much of each partition in progress, and the requests in flight. Each process appends segments under its own
//! *run number*. Failures are not staged: they are not responses.

mod answers;
mod segment;
mod tap;
#[cfg(test)]
mod tests;
mod writer;

use std::time::Duration;

pub use answers::StagedAnswers;
pub use tap::{StagingFeed, StagingTap, staging_tap};
pub use writer::StagingWriter;

/// When a segment is written, whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentBound {
    /// The most responses in it.
    pub answers: usize,
    /// The most bytes of documents in it.
    pub bytes: usize,
    /// The greatest age of its first response.
    pub age: Duration,
}
