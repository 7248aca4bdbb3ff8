//! A change: what every spring (scan, diff, follow) says to the river.

use super::{PackageName, Revision};

/// What happened to a name since the lake last saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// The lake does not know the name.
    Added,
    /// The lake has it at another revision.
    Changed,
    /// The registry no longer lists it.
    Removed,
}

/// A name, the revision that was announced for it (the last known one if it was removed), and what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Whose document changed.
    pub name: PackageName,
    /// The revision that was announced.
    pub rev: Revision,
    /// What happened.
    pub kind: ChangeKind,
}
