//! Counters of all exchanges with the servers so far, for the progress display and the summary.

use std::sync::atomic::{AtomicU64, Ordering};

/// A reading of the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Requests sent, including repeated ones and followed redirects.
    pub requests: u64,
    /// Requests that were sent because an earlier one failed.
    pub retries: u64,
    /// Responses that asked for fewer requests.
    pub refusals: u64,
    /// Responses 304 to conditional requests.
    pub not_modified: u64,
    /// Bytes of bodies as received, including those of useless responses.
    pub wire_bytes: u64,
    /// Bytes of the same bodies after decoding.
    pub decoded_bytes: u64,
}

/// The live counters.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) refusals: AtomicU64,
    pub(super) not_modified: AtomicU64,
    pub(super) wire_bytes: AtomicU64,
    pub(super) decoded_bytes: AtomicU64,
}

/// Adds to a counter. Counters are independent, so no order between them is kept.
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
