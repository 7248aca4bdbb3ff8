//! The record of `follow`: how far it has read the feed of changes, and which documents it still waits for. Not here:
//! what follows from it (`follow`).

use serde::{Deserialize, Serialize};

use super::Record;
use crate::npm::Seq;
use crate::version::{FORMAT_VERSION, TOOL_VERSION};

/// How far the feed of an origin has been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowRecord {
    /// [`FORMAT_VERSION`] when it was written.
    pub format_version: u32,
    /// The version of the tool that wrote it last.
    pub tool_version: String,
    /// Places up to which the feed was read and committed, oldest first, each with the time after which that was so. They
    /// cover the window in which rows may still appear behind a place.
    pub places: Vec<FeedPlace>,
    /// The registry's own place, as its root told last.
    pub head: Option<Seq>,
    /// The time at which the feed was last read to its end, in microseconds since 1970.
    pub read_at_us: Option<i64>,
    /// The time at which the window was last read again to the feed's end, in microseconds since 1970.
    pub reread_at_us: Option<i64>,
    /// The registry's place before the last complete listing, with the time at which the listing began; `None` while a
    /// listing is owed.
    pub listed: Option<FeedPlace>,
    /// Names whose documents the registry did not serve as announced.
    pub lagging: Vec<LaggingName>,
}

/// A place in the feed, and when it was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedPlace {
    /// The place.
    pub seq: Seq,
    /// The time, in microseconds since 1970.
    pub at_us: i64,
}

/// A name whose document is asked for again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaggingName {
    /// The name.
    pub name: String,
    /// The announced revision.
    pub rev: String,
    /// The place of its row in the feed; `None` if a listing showed it.
    pub seq: Option<Seq>,
    /// Whether the feed calls it deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_deleted: bool,
    /// How often it was asked for.
    pub attempts: u32,
    /// The time of the next request, in microseconds since 1970.
    pub due_at_us: i64,
}

impl FollowRecord {
    /// Returns the record of a feed of which nothing was read.
    pub fn empty() -> FollowRecord {
        FollowRecord {
            format_version: FORMAT_VERSION,
            tool_version: TOOL_VERSION.to_owned(),
            places: Vec::new(),
            head: None,
            read_at_us: None,
            reread_at_us: None,
            listed: None,
            lagging: Vec::new(),
        }
    }

    /// Enters a complete listing that began at `listed`, unless a later one is known.
    pub fn note_listing(&mut self, listed: FeedPlace) {
        if self.listed.as_ref().is_none_or(|known| known.at_us <= listed.at_us) {
            self.listed = Some(listed);
        }
    }
}

impl Record for FollowRecord {
    const NOUN: &'static str = "the record of follow";
    const DAMAGED_HINT: &'static str = "all-docs verify --repair moves it aside; the next all-docs follow then lists the registry, and continues from there";
}
