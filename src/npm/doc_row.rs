//! A row of `_all_docs`.

use super::{PackageName, Revision};

/// What the registry says exists: a name and the revision it is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocRow {
    /// The document's id.
    pub name: PackageName,
    /// The document's `_rev`.
    pub rev: Revision,
}

impl DocRow {
    /// A row of these two.
    pub fn new(name: impl Into<PackageName>, rev: &str) -> Self {
        DocRow { name: name.into(), rev: Revision::from(rev) }
    }
}
