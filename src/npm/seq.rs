//! A place in the feed of changes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An opaque cursor of `_changes` in the registry's own form: an integer at npm, a long text at CouchDB. It is sent
/// back unchanged and never computed with: npm's have gaps and have been renumbered without notice (npm-facts A.1,
/// A.3).
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(Box<str>);

impl Seq {
    /// Accepts any text of the registry.
    pub fn new(seq: impl Into<Box<str>>) -> Self {
        Seq(seq.into())
    }

    /// Returns the number that the cursor is, or begins with as CouchDB's do, to tell a place behind another one from a
    /// place ahead of it. `None` if it has none. Differences of two numbers say nothing.
    pub fn number(&self) -> Option<u64> {
        self.0.split('-').next()?.parse().ok()
    }

    /// Returns whether this place is known to be behind `other`.
    pub fn is_behind(&self, other: &Seq) -> bool {
        matches!((self.number(), other.number()), (Some(own), Some(other)) if own < other)
    }

    /// Returns the cursor as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}
