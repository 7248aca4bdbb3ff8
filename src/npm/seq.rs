//! A place in the feed of changes.

use std::fmt;

/// An opaque cursor of `_changes` in the registry's own form: an integer at npm, a long text at CouchDB. It is sent
/// back unchanged and never computed with: npm's have gaps and have been renumbered without notice (npm-facts A.1,
/// A.3).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Seq(Box<str>);

impl Seq {
    /// Accepts any text of the registry.
    pub fn new(seq: impl Into<Box<str>>) -> Self {
        Seq(seq.into())
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
