//! A page of `_changes`. Not here: decoding it from a body (`page_decoder`), or requesting it.

use super::{PackageName, Revision, Seq};

/// A query of `_changes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesQuery {
    /// The page begins after this place; `None` begins with the oldest row.
    pub since: Option<Seq>,
    /// The most rows to return, 1 to [`MAX_PAGE_ROWS`](super::MAX_PAGE_ROWS).
    pub limit: u32,
}

/// The last change of a package: the feed has one row for each package, which moves with each change (npm-facts A.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    /// The row's place in the feed; `None` where the registry gave none.
    pub seq: Option<Seq>,
    /// The document's id.
    pub name: PackageName,
    /// The revision since this change.
    pub rev: Revision,
    /// Whether the document was deleted.
    pub is_deleted: bool,
}

/// One decoded page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangesPage {
    /// The rows as received, oldest first: neither sorted nor checked.
    pub rows: Vec<ChangeRow>,
    /// The place to continue from. It may be ahead of the last row's place. A decoded page always has one.
    pub last_seq: Option<Seq>,
    /// The number of rows that follow, where the registry states it; npm has not been seen to.
    pub pending: Option<u64>,
    /// The number of unusable rows, not in `rows`, as [`Page::unusable_rows`](super::Page::unusable_rows).
    pub unusable_rows: u64,
}
