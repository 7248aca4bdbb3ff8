//! A change: the input of the pipeline, produced by scan, diff and follow.

use super::{PackageName, Revision, Seq};

/// The kind of change to a name since the lake last saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// The lake does not know the name.
    Added,
    /// The lake has it at another revision.
    Changed,
    /// The registry no longer lists the name.
    Removed,
    /// The feed says that the document was deleted. It also says so of packages that live, and does not tell a tombstone
    /// from nothing at all, so the document is asked for: the name leaves the tables unless the registry serves a live
    /// document.
    Deleted,
}

/// A name, its announced revision (the last known one if it was removed), and what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The name whose document changed.
    pub name: PackageName,
    /// The announced revision.
    pub rev: Revision,
    /// The kind of change.
    pub kind: ChangeKind,
    /// The place of its row in the feed; `None` for a change that a listing shows.
    pub seq: Option<Seq>,
}
