//! A page of `_changes`. Not here: how it is decoded from a body (`page_decoder`), or asked for.

use super::{PackageName, Revision, Seq};

/// What is asked of `_changes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesQuery {
    /// What came before is not wanted; `None` begins with the oldest row.
    pub since: Option<Seq>,
    /// How many rows at most, 1 to [`MAX_PAGE_ROWS`](super::MAX_PAGE_ROWS).
    pub limit: u32,
}

/// The last that happened to a package: the feed has one row for each, which moves with each change (npm-facts A.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    /// Where the row stands; `None` where the registry gave none.
    pub seq: Option<Seq>,
    /// The document's id.
    pub name: PackageName,
    /// The revision that it is at since.
    pub rev: Revision,
    /// Whether the document was deleted.
    pub is_deleted: bool,
}

/// One decoded answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangesPage {
    /// The rows as they came, oldest first: neither sorted nor checked.
    pub rows: Vec<ChangeRow>,
    /// Where to go on. It may be ahead of the last row's place. A decoded page always has one.
    pub last_seq: Option<Seq>,
    /// How many rows follow, where the registry says it; npm's has not been seen to.
    pub pending: Option<u64>,
    /// Rows that the body had beside `rows`, as [`Page::unusable_rows`](super::Page::unusable_rows).
    pub unusable_rows: u64,
}
