//! Following the feed of changes, as a state machine: which page to ask for next, which rows are news, when to list the
//! registry instead, and which documents to ask for again. Pure: it is told the time, and does no I/O.
//!
//! npm's feed inserts rows behind places that it has returned, loses rows, stands still, goes back, and comes from
//! caches. So the feed is read from a place of some hours ago again and again ([`Feed::begin`]), its end is compared
//! with the place that the registry's root names ([`Reading::judge`]), and a listing is wanted in time
//! ([`Feed::wants_listing`]). Not here: requests, the lake, and the record's file (`pipeline/follow`).

mod feed;
mod lagging;
mod reading;
mod receipts;

pub use feed::{Feed, FeedSettings, GivenUp, WhyListing};
pub use lagging::{Lagging, MOST_LAGGING};
pub use reading::{Reading, Turn};
pub use receipts::{MOST_RECEIPTS, Receipts};

/// A time that is more than this ahead, in microseconds, was noted by a clock that was wrong. It says nothing.
pub const CLOCK_SLACK_US: i64 = 5 * MINUTE_US;

/// A second, in microseconds.
const SECOND_US: i64 = 1_000_000;
/// A minute, in microseconds.
const MINUTE_US: i64 = 60 * SECOND_US;
/// An hour, in microseconds.
const HOUR_US: i64 = 60 * MINUTE_US;

#[cfg(test)]
mod tests;
