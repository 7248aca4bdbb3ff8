//! A page: one bounded response of `_all_docs`. Not here: decoding it from a body (`page_decoder`), or requesting it.

use super::DocRow;

/// The most rows that npm returns in one response (npm-facts A.4). It refuses a greater limit with 400.
pub const MAX_PAGE_ROWS: u32 = 10_000;

/// A query of `_all_docs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageQuery {
    /// `startkey`, inclusive; `None` begins at the first name.
    pub start: Option<String>,
    /// The least name that the range excludes: `endkey` with `inclusive_end=false`; `None` ends at the last name.
    pub end: Option<String>,
    /// The most rows to return, 1 to [`MAX_PAGE_ROWS`].
    pub limit: u32,
}

/// One decoded page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The number of all documents at the time of this page, as the registry states it.
    pub total_rows: Option<u64>,
    /// The rank of the first row, where the registry states it.
    pub offset: Option<u64>,
    /// The rows as received: neither sorted nor checked.
    pub rows: Vec<DocRow>,
    /// The number of unusable rows, not in `rows`: without a revision or an id that is Unicode text, or a `_design/`
    /// document. Both counts together tell whether a page is full.
    pub unusable_rows: u64,
}
