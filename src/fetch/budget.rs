//! How many bytes of documents may be in memory at once, over all partitions that are under way.
//!
//! Results leave each partition in the order of their names, so the oldest request of a partition must never wait for
//! memory that younger ones hold: it is always let through. The bound is therefore the limit plus one document a lane.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::registry::BodyGate;

/// A bound on the bytes of bodies in memory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ByteBudget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limit_bytes: u64,
    used_bytes: Mutex<u64>,
    freed: Notify,
}

impl ByteBudget {
    /// A budget of `limit_bytes`.
    pub fn new(limit_bytes: u64) -> Self {
        ByteBudget { shared: Arc::new(Shared { limit_bytes, used_bytes: Mutex::new(0), freed: Notify::new() }) }
    }

    /// A lane for one ordered sequence of documents.
    pub fn lane(&self) -> Lane {
        Lane { shared: Arc::clone(&self.shared), head: Arc::new(AtomicU64::new(0)), next: Arc::new(AtomicU64::new(0)) }
    }

    /// The bytes that are held now.
    pub fn used_bytes(&self) -> u64 {
        *self.shared.used_bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One ordered sequence of documents; shares must be opened, and dropped, in their order.
#[derive(Debug, Clone)]
pub struct Lane {
    shared: Arc<Shared>,
    head: Arc<AtomicU64>,
    next: Arc<AtomicU64>,
}

impl Lane {
    /// The share of the next document in order.
    pub fn open_share(&self) -> Share {
        let sequence = self.next.fetch_add(1, Ordering::Relaxed);
        Share { lane: self.clone(), sequence, held_bytes: AtomicU64::new(0) }
    }
}

/// What one document holds of the budget. Freed on drop.
#[derive(Debug)]
pub struct Share {
    lane: Lane,
    sequence: u64,
    held_bytes: AtomicU64,
}

impl Share {
    fn try_grow(&self, more_bytes: u64) -> bool {
        let shared = &self.lane.shared;
        let mut used_bytes = shared.used_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let is_oldest = self.lane.head.load(Ordering::Acquire) >= self.sequence;
        if !is_oldest && *used_bytes + more_bytes > shared.limit_bytes {
            return false;
        }
        *used_bytes += more_bytes;
        self.held_bytes.fetch_add(more_bytes, Ordering::Relaxed);
        true
    }
}

impl BodyGate for Share {
    async fn grow(&self, more_bytes: u64) {
        loop {
            let freed = self.lane.shared.freed.notified();
            tokio::pin!(freed);
            // Listening begins before the check, so that what is freed in between is not missed.
            freed.as_mut().enable();
            if self.try_grow(more_bytes) {
                return;
            }
            freed.await;
        }
    }

    fn shrink(&self, bytes: u64) {
        let shared = &self.lane.shared;
        {
            let mut used_bytes = shared.used_bytes.lock().unwrap_or_else(PoisonError::into_inner);
            *used_bytes = used_bytes.saturating_sub(bytes);
            self.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        shared.freed.notify_waiters();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let shared = &self.lane.shared;
        {
            let mut used_bytes = shared.used_bytes.lock().unwrap_or_else(PoisonError::into_inner);
            *used_bytes = used_bytes.saturating_sub(*self.held_bytes.get_mut());
            self.lane.head.fetch_max(self.sequence + 1, Ordering::AcqRel);
        }
        shared.freed.notify_waiters();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_younger_document_waits_and_the_oldest_never_does() {
        let budget = ByteBudget::new(100);
        let lane = budget.lane();
        let (first, second) = (lane.open_share(), lane.open_share());
        second.grow(90).await;
        first.grow(500).await;
        assert_eq!(budget.used_bytes(), 590);
        let mut waiting = Box::pin(second.grow(20));
        assert!((&mut waiting).now_or_never().is_none(), "the budget is used up");
        drop(first);
        waiting.await;
        drop(second);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[tokio::test]
    async fn one_lane_frees_memory_for_another() {
        let budget = ByteBudget::new(100);
        let (one, two) = (budget.lane(), budget.lane());
        let (one_head, _two_head, two_next) = (one.open_share(), two.open_share(), two.open_share());
        one_head.grow(100).await;
        let mut waiting = Box::pin(two_next.grow(1));
        assert!((&mut waiting).now_or_never().is_none());
        drop(one_head);
        waiting.await;
    }
}
