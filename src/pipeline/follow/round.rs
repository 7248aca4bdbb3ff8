//! The report of one round.

use serde::Serialize;

/// The result of one round of a follower.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Round {
    /// The time at which it began, RFC 3339.
    pub began_at: String,
    /// Rows of the feed that were read.
    pub rows: u64,
    /// Of these, changes that the lake did not hold.
    pub changes: u64,
    /// Documents that were asked for again, because the registry did not serve them as announced.
    pub asked_again: u64,
    /// Names that were brought up to date.
    pub committed: u64,
    /// Names whose documents are waited for.
    pub lagging: u64,
    /// Events that were recorded.
    pub events: u64,
    /// The listing, if there was one.
    pub listing: Option<RoundListing>,
    /// Whether the feed ended behind the registry's own place.
    pub ends_behind: bool,
    /// The newest place that was read.
    pub place: Option<String>,
    /// The registry's own place.
    pub head: Option<String>,
    /// Requests sent, retries included.
    pub requests: u64,
    /// Notes on odd behaviour of the registry.
    pub notes: Vec<String>,
    /// Why the round failed, if it did.
    pub error: Option<String>,
    /// Whether the follower goes on after it.
    #[serde(skip)]
    pub goes_on: bool,
}

/// A listing in place of the feed, or beside it.
#[derive(Debug, Clone, Serialize)]
pub struct RoundListing {
    /// Why the registry was listed.
    pub why: &'static str,
    /// Names that it lists.
    pub listed: u64,
    /// Differences between the listing and the lake.
    pub changes: u64,
}

impl Round {
    /// Returns the report of a round that begins now.
    pub(super) fn begun_now() -> Round {
        Round { began_at: jiff::Timestamp::now().to_string(), ..Round::default() }
    }

    /// Returns whether something happened.
    pub fn is_worth_telling(&self) -> bool {
        self.changes + self.asked_again + self.events > 0
            || self.listing.is_some()
            || self.error.is_some()
            || !self.notes.is_empty()
    }
}
