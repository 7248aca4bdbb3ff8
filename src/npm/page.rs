//! A page: one bounded answer of `_all_docs`. Not here: how it is decoded from a body (`page_decoder`), or asked for.

use super::DocRow;

/// The most rows that npm gives in one answer (npm-facts A.4): a greater limit is refused with 400.
pub const MAX_PAGE_ROWS: u32 = 10_000;

/// What is asked of `_all_docs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageQuery {
    /// `startkey`, inclusive; `None` begins at the first name.
    pub start: Option<String>,
    /// The least name that is no longer wanted: `endkey` with `inclusive_end=false`; `None` ends at the last name.
    pub end: Option<String>,
    /// How many rows at most, 1 to [`MAX_PAGE_ROWS`].
    pub limit: u32,
}

/// One decoded answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// How many documents the registry says it has in all, at the time of this page.
    pub total_rows: Option<u64>,
    /// The rank of the first row, where the registry says it.
    pub offset: Option<u64>,
    /// The rows as they came: neither sorted nor checked.
    pub rows: Vec<DocRow>,
    /// Rows that the body had beside `rows`: without a revision or an id that is Unicode text, or a `_design/` document.
    /// They cannot be used, only counted. Whether a page is full is a question to both counts.
    pub unusable_rows: u64,
}
