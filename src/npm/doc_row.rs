//! A row of `_all_docs`.

use super::{PackageName, Revision};

/// A package that the registry lists: its name and its current revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocRow {
    /// The document's id.
    pub name: PackageName,
    /// The document's `_rev`.
    pub rev: Revision,
}

impl DocRow {
    /// Makes a row of a name and a revision.
    pub fn new(name: impl Into<PackageName>, rev: &str) -> Self {
        DocRow { name: name.into(), rev: Revision::from(rev) }
    }
}
