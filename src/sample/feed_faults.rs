//! Faults of the feed of changes: what npm's feed has been seen to do, as settings and as the state of a server that
//! does so.
//!
//! They count pages and requests, never time, so the same requests get the same responses.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::world::{Package, World};

/// The faults of the feed of a sample registry. In TOML they are the table `[feed]`; none by default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedFaults {
    /// Rows whose number is a multiple of this appear late, behind places that were returned.
    pub late_every: Option<u64>,
    /// They appear after so many pages, counted from the first that should have had them; at least 1.
    pub late_pages: u64,
    /// Rows whose number is a multiple of this never appear.
    pub lost_every: Option<u64>,
    /// No deletion appears.
    pub loses_deletions: bool,
    /// The documents of changes whose number is a multiple of this lag behind the feed.
    pub lagging_every: Option<u64>,
    /// The first requests for such a document, so many of them, get the one before; at least 1.
    pub lagging_requests: u64,
    /// All places of the registry are lower by this, as after a restoration. A page after a place beyond them is empty,
    /// and echoes the place.
    pub back_by: u64,
    /// The feed and the registry's own place stay where they are.
    pub stands_still: bool,
    /// Each page that reaches the end repeats an ancient deletion of these names, whether they live or not.
    pub repeats_deletions: Vec<String>,
    /// Each page begins with a row of a design document, and one without an id.
    pub design_rows: bool,
    /// Places are texts, as CouchDB's are.
    pub string_seqs: bool,
    /// Pages say how many rows follow.
    pub pending: bool,
    /// The most rows of a page, however many are asked for.
    pub page_rows: Option<u64>,
    /// The same query gets the same page, unless the request bypasses caches.
    pub caches_pages: bool,
    /// A package that publishes a version at each request for its document.
    pub restless: Option<String>,
}

/// The state of these faults.
#[derive(Debug, Default)]
pub(super) struct FeedPlay {
    pub(super) faults: FeedFaults,
    /// Pages that were made.
    pages: u64,
    /// For each late row, the page that should have had it first.
    late: HashMap<u64, u64>,
    /// Requests for each lagging document, by the number of its change.
    lagging: HashMap<u64, u64>,
    still_at: Option<u64>,
    cached: HashMap<String, String>,
}

impl FeedPlay {
    pub(super) fn new(faults: FeedFaults) -> FeedPlay {
        FeedPlay { faults, ..FeedPlay::default() }
    }

    /// Returns the newest number of the feed, as the world counts.
    pub(super) fn update_seq(&mut self, world: &World) -> u64 {
        let now = world.counts().update_seq;
        if self.faults.stands_still { *self.still_at.get_or_insert(now) } else { now }
    }

    /// Returns a number as the registry tells it, in JSON.
    pub(super) fn told(&self, seq: u64) -> String {
        let seq = seq.saturating_sub(self.faults.back_by);
        if self.faults.string_seqs { format!("\"{seq}-g1AAAAB{seq:x}\"") } else { seq.to_string() }
    }

    /// Returns the number, as the world counts, of a place that a client has.
    pub(super) fn parse(&self, since: &str) -> Option<u64> {
        let number = if self.faults.string_seqs { since.split('-').next()? } else { since };
        Some(number.parse::<u64>().ok()?.saturating_add(if number == "0" { 0 } else { self.faults.back_by }))
    }

    /// Returns the page that a cache holds for a query.
    pub(super) fn cached(&self, query: &str) -> Option<String> {
        self.cached.get(query).filter(|_| self.faults.caches_pages).cloned()
    }

    pub(super) fn keep(&mut self, query: &str, page: &str) {
        if self.faults.caches_pages {
            self.cached.insert(query.to_owned(), page.to_owned());
        }
    }

    pub(super) fn begin_page(&mut self) {
        self.pages += 1;
    }

    /// Returns whether a row is on the page that is being made.
    pub(super) fn shows(&mut self, seq: u64, is_deleted: bool) -> bool {
        let faults = &self.faults;
        let is_of = |every: Option<u64>| every.is_some_and(|every| every > 0 && seq.is_multiple_of(every));
        if is_of(faults.lost_every) || (is_deleted && faults.loses_deletions) || seq <= faults.back_by {
            return false;
        }
        if !is_of(faults.late_every) {
            return true;
        }
        let first = *self.late.entry(seq).or_insert(self.pages);
        self.pages >= first + faults.late_pages.max(1)
    }

    /// Returns whether a request for a document gets the one before.
    pub(super) fn lags(&mut self, package: Option<&Package>) -> bool {
        let (Some(every), Some(package)) = (self.faults.lagging_every.filter(|every| *every > 0), package) else {
            return false;
        };
        let asked = self.lagging.entry(package.seq).or_default();
        *asked += 1;
        package.seq.is_multiple_of(every) && *asked <= self.faults.lagging_requests.max(1)
    }
}
