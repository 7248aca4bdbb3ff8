//! Staged answers: what was fetched is durable before its partition is committed, so that a run that dies does not ask
//! for it again.
//!
//! A partition's answers are appended as they come to *segments*, each put whole. None waits for one that is slow in
//! coming. A segment is written when it is as full or as old as its [`SegmentBound`] says; so a killed process loses at
//! most that much of each partition under way, and the requests in flight. Each process appends segments of its own *run
//! number*. Failures are not staged: they are no answers.

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
    /// It holds so many answers.
    pub answers: usize,
    /// It holds so many bytes of documents.
    pub bytes: usize,
    /// Its first answer is so old.
    pub age: Duration,
}
