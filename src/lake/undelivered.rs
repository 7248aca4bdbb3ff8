//! The record of the events that outputs have not received yet. Not here: how they are delivered (`pipeline`).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Record;

/// The events that are in the files of their days, and that outputs have not received yet. While this record is there, a
/// process with outputs has not delivered all events, and a drain notes here what it takes out of the feed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Undelivered {
    /// The names that their files had in the feed. They tell the times at which the events were seen.
    pub files: BTreeSet<String>,
}

impl Record for Undelivered {
    const NOUN: &'static str = "the record of events for outputs";
    const DAMAGED_HINT: &'static str =
        "all-docs verify --repair moves it aside; outputs then get only the events that follow, and no table lacks any";
}
