//! One reading of the feed, from a place to its end.

use crate::npm::{ChangesPage, Seq};

/// A reading in progress.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The place after which the next page begins.
    pub since: Seq,
    /// Whether the next page is asked for past caches.
    pub past_caches: bool,
    /// Whether it began at the beginning of the window.
    pub rereads: bool,
    /// The place that the end of the feed must reach: the registry's own, or the newest that was read.
    goal: Option<Seq>,
    /// Whether the end was behind that place, also past caches.
    pub ends_behind: bool,
}

/// The next step after a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The page ends behind the registry's own place, as one from a cache does: ask for it again past caches.
    Again,
    /// Take its rows, and ask for the next one.
    More,
    /// Take its rows; it was the last.
    Last,
}

impl Reading {
    pub(super) fn new(since: Seq, rereads: bool, goal: Option<Seq>) -> Reading {
        Reading { since, past_caches: false, rereads, goal, ends_behind: false }
    }

    /// Judges the page that was asked for with this many rows, and moves on.
    ///
    /// A server may give fewer rows than asked for, so a short page is the last one only if it reaches the place that the
    /// registry's root named before.
    pub fn judge(&mut self, page: &ChangesPage, limit: u32) -> Turn {
        let rows = page.rows.len() as u64 + page.unusable_rows;
        let Some(next) = page.last_seq.clone() else { return Turn::Last };
        let is_behind = self.goal.as_ref().is_some_and(|goal| next.is_behind(goal));
        let is_short = rows < u64::from(limit);
        if is_short && is_behind && !self.past_caches {
            self.past_caches = true;
            return Turn::Again;
        }
        let stays = next == self.since;
        self.since = next;
        let has_more = is_behind || page.pending.is_some_and(|rows| rows > 0);
        if rows == 0 || stays || (is_short && !has_more) {
            self.ends_behind = is_behind;
            return Turn::Last;
        }
        Turn::More
    }
}
