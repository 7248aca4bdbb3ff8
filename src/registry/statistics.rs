//! What was exchanged with the servers so far: counters that progress and summary read.

use std::sync::atomic::{AtomicU64, Ordering};

/// A reading of the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Requests sent, repeated ones and followed redirects included.
    pub requests: u64,
    /// Requests that were sent because an earlier one had no answer.
    pub retries: u64,
    /// Answers that asked for fewer requests.
    pub refusals: u64,
    /// Answers 304 to conditional requests.
    pub not_modified: u64,
    /// Bytes of bodies as they came over the wire, of useless answers too.
    pub wire_bytes: u64,
    /// Bytes of the same bodies after decoding.
    pub decoded_bytes: u64,
}

/// The counters themselves.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) refusals: AtomicU64,
    pub(super) not_modified: AtomicU64,
    pub(super) wire_bytes: AtomicU64,
    pub(super) decoded_bytes: AtomicU64,
}

/// Adds to a counter. Counters say nothing about each other, so no order between them is kept.
pub(super) fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn read(&self) -> Statistics {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            requests: value(&self.requests),
            retries: value(&self.retries),
            refusals: value(&self.refusals),
            not_modified: value(&self.not_modified),
            wire_bytes: value(&self.wire_bytes),
            decoded_bytes: value(&self.decoded_bytes),
        }
    }
}
