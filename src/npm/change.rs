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
    /// The feed said that the document was deleted. Only the document tells whether the name is gone: it may be a
    /// tombstone, or have been published again.
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
    /// Its place in the feed; `None` if a listing showed the change.
    pub seq: Option<Seq>,
}
