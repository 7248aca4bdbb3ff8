//! Limits the bytes of documents in memory, over all partitions in progress.
//!
//! Each partition releases results in the order of their names, so its oldest request must never wait for memory that
//! younger ones hold. The oldest request passes the limit if its document is small, or if no other partition's oldest
//! has passed with a large one. The bound is therefore the limit, one document, and a little for each lane.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::registry::BodyGate;

/// The bytes that the oldest document of each lane may always hold: most documents are far smaller.
const SMALL_DOCUMENT_BYTES: u64 = 4 << 20;

/// A limit on the bytes of bodies in memory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OrderedByteBudget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limit_bytes: u64,
    used: Mutex<Used>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Used {
    bytes: u64,
    lanes: u64,
    /// The one large document that passed the limit: its lane and its place there.
    beyond_limit: Option<(u64, u64)>,
}

impl Shared {
    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OrderedByteBudget {
    /// Creates a budget of `limit_bytes`.
    pub fn new(limit_bytes: u64) -> Self {
        OrderedByteBudget { shared: Arc::new(Shared { limit_bytes, used: Mutex::default(), freed: Notify::new() }) }
    }

    /// Creates a lane for one ordered sequence of documents.
    pub fn lane(&self) -> Lane {
        let number = {
            let mut used = self.shared.used();
            used.lanes += 1;
            used.lanes
        };
        Lane { shared: Arc::clone(&self.shared), number, head: Arc::default(), next: Arc::default() }
    }

    /// Returns the bytes held now.
    pub fn used_bytes(&self) -> u64 {
        self.shared.used().bytes
    }
}

/// One ordered sequence of documents. Reservations must be opened, and dropped, in their order.
#[derive(Debug, Clone)]
pub struct Lane {
    shared: Arc<Shared>,
    number: u64,
    head: Arc<AtomicU64>,
    next: Arc<AtomicU64>,
}

impl Lane {
    /// Returns the reservation of the next document in order.
    pub fn reserve(&self) -> Reservation {
        let sequence = self.next.fetch_add(1, Ordering::Relaxed);
        Reservation { lane: self.clone(), sequence, held_bytes: AtomicU64::new(0) }
    }
}

/// The bytes that one document holds of the budget. Freed on drop.
#[derive(Debug)]
pub struct Reservation {
    lane: Lane,
    sequence: u64,
    held_bytes: AtomicU64,
}

impl Reservation {
    fn try_grow(&self, more_bytes: u64) -> bool {
        let shared = &self.lane.shared;
        let mut used = shared.used();
        if used.bytes + more_bytes > shared.limit_bytes {
            if self.lane.head.load(Ordering::Acquire) < self.sequence {
                return false;
            }
            let own = (self.lane.number, self.sequence);
            let is_small = self.held_bytes.load(Ordering::Relaxed) + more_bytes <= SMALL_DOCUMENT_BYTES;
            if !is_small && *used.beyond_limit.get_or_insert(own) != own {
                return false;
            }
        }
        used.bytes += more_bytes;
        self.held_bytes.fetch_add(more_bytes, Ordering::Relaxed);
        true
    }
}

impl BodyGate for Reservation {
    async fn grow(&self, more_bytes: u64) {
        loop {
            let freed = self.lane.shared.freed.notified();
            tokio::pin!(freed);
            // Listening begins before the check, so that bytes freed in between are not missed.
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
            let mut used = shared.used();
            used.bytes = used.bytes.saturating_sub(bytes);
            self.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        shared.freed.notify_waiters();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let shared = &self.lane.shared;
        {
            let mut used = shared.used();
            used.bytes = used.bytes.saturating_sub(*self.held_bytes.get_mut());
            used.beyond_limit = used.beyond_limit.filter(|large| *large != (self.lane.number, self.sequence));
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
        let budget = OrderedByteBudget::new(100);
        let lane = budget.lane();
        let (first, second) = (lane.reserve(), lane.reserve());
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
        let budget = OrderedByteBudget::new(100);
        let (one, two) = (budget.lane(), budget.lane());
        let (one_head, _two_head, two_next) = (one.reserve(), two.reserve(), two.reserve());
        one_head.grow(100).await;
        let mut waiting = Box::pin(two_next.grow(1));
        assert!((&mut waiting).now_or_never().is_none());
        drop(one_head);
        waiting.await;
    }

    #[tokio::test]
    async fn of_the_oldest_documents_one_large_and_all_small_ones_are_let_through() {
        let budget = OrderedByteBudget::new(100);
        let (one, two) = (budget.lane(), budget.lane());
        let (first, second, next) = (one.reserve(), two.reserve(), one.reserve());
        first.grow(SMALL_DOCUMENT_BYTES + 1).await;
        second.grow(SMALL_DOCUMENT_BYTES).await;
        let mut waiting = Box::pin(second.grow(1));
        assert!((&mut waiting).now_or_never().is_none(), "two large documents at once");
        first.grow(1_000_000).await;
        drop(first);
        waiting.await;
        let mut waiting = Box::pin(next.grow(SMALL_DOCUMENT_BYTES + 1));
        assert!((&mut waiting).now_or_never().is_none());
        drop(second);
        waiting.await;
        drop(next);
        assert_eq!(budget.used_bytes(), 0);
    }
}
