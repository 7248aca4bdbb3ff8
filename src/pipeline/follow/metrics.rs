//! Metrics: what a follower has done and how far behind it is, for whoever watches it. Not here: their text form (`cli`).

use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// The counts of one follower. Shared with those who show them.
#[derive(Debug, Default)]
pub struct FollowMetrics {
    counts: Mutex<FollowCounts>,
}

/// The counts at one moment, since the follower began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FollowCounts {
    /// Rounds that ended without an error.
    pub rounds: u64,
    /// Rounds that failed.
    pub errors: u64,
    /// Rows of the feed that were read.
    pub rows: u64,
    /// Changes that the lake did not hold.
    pub changes: u64,
    /// Names that were brought up to date.
    pub committed: u64,
    /// Commits of changes.
    pub commits: u64,
    /// Merges of deltas in the overlay.
    pub merges: u64,
    /// Partitions that were folded.
    pub folds: u64,
    /// Events that were recorded.
    pub events: u64,
    /// Listings of the registry.
    pub listings: u64,
    /// Pages of the feed that were older than the registry's own place.
    pub stale_pages: u64,
    /// Names whose documents are waited for now.
    pub lagging: u64,
    /// Names that were given up until the next listing.
    pub given_up: u64,
    /// The number of the newest place that was read, if places have numbers.
    pub place: Option<u64>,
    /// The number of the registry's own place.
    pub head: Option<u64>,
    /// The time at which the feed was last read to its end, in microseconds since 1970.
    pub read_at_us: Option<i64>,
    /// The time at which the follower began, in microseconds since 1970.
    pub began_at_us: i64,
}

impl FollowMetrics {
    /// Returns the counts now.
    pub fn read(&self) -> FollowCounts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut FollowCounts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl FollowCounts {
    /// Returns for how long the lake may lack changes at `now_us`, in microseconds: the time since the feed was last read
    /// to its end.
    pub fn lag_us(&self, now_us: i64) -> i64 {
        now_us.saturating_sub(self.read_at_us.unwrap_or(self.began_at_us)).max(0)
    }

    /// Returns the distance between the registry's own place and the newest that was read. Places have gaps, so this is
    /// no number of changes.
    pub fn lag_places(&self) -> Option<u64> {
        Some(self.head?.saturating_sub(self.place?))
    }
}
