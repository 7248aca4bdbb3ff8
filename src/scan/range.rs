//! Pages one range to its end. Not here: many ranges at once (`all`), and the handling of odd rows (`sieve`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::PageSource;
use super::report::Oddities;
use super::sieve::Sieve;
use crate::error::{Doing, Error, Result};
use crate::lake::Partition;
use crate::npm::{DocRow, MAX_PAGE_ROWS, PageQuery};

/// The fewest rows to request in a page: the cursor comes again as the first of them.
const MIN_PAGE_ROWS: u32 = 2;

/// A server that returns fewer rows than requested returns at least this many: a shorter page is a range's last one. If
/// a server returned even fewer, its own count of rows would show the missing ones.
const LEAST_CAP_ROWS: u64 = 10;

/// One page of a range, after checks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScannedPage {
    /// Strictly ascending by bytes, inside the range, and above the rows of earlier pages. May be empty.
    pub rows: Vec<DocRow>,
    /// The registry's own count of all its documents.
    pub total_rows: Option<u64>,
    /// Whether the range ends here.
    pub is_last: bool,
    /// The oddities of this page.
    pub oddities: Oddities,
    /// On the last page: the rows of all pages that could not be put in their place. Usually none.
    pub misplaced: Vec<DocRow>,
}

/// The row count of a scan's longest page so far; its clones share it.
///
/// A server may give fewer rows than requested, so a page that is not full need not be a range's last one. It is the
/// last one if another page had more rows: then the server could have given more.
#[derive(Debug, Clone, Default)]
pub(super) struct LongestPage(Arc<AtomicU64>);

impl LongestPage {
    /// Records a page with this many rows. Returns whether another page had more.
    fn exceeds(&self, rows: u64) -> bool {
        self.0.fetch_max(rows, Ordering::Relaxed) > rows
    }
}

/// A range being paged.
#[derive(Debug)]
pub(super) struct RangeScan<S> {
    source: S,
    longest: LongestPage,
    sieve: Sieve,
    page_rows: u32,
    cursor: Option<String>,
    is_over: bool,
}

impl<S: PageSource> RangeScan<S> {
    /// Creates the pager of a range. `page_rows` is the number of rows to request in a page, 2 to [`MAX_PAGE_ROWS`];
    /// the nearest of these replaces any other number. The ranges of one scan share `longest`.
    pub(super) fn new(source: S, range: Partition, page_rows: u32, longest: LongestPage) -> Self {
        let page_rows = page_rows.clamp(MIN_PAGE_ROWS, MAX_PAGE_ROWS);
        RangeScan { source, longest, sieve: Sieve::new(range), page_rows, cursor: None, is_over: false }
    }

    /// Returns the next page; `None` after the last one or after an error. There is at least one page, and the last one
    /// is marked.
    ///
    /// The next page begins at the last id in the *server's* order. Its first row is dropped only if it is that id: the
    /// package may have been deleted meanwhile. The range ends with a page that has fewer rows than requested and than
    /// another page of the scan had, or next to none, or nothing new.
    ///
    /// # Errors
    ///
    /// Those of the source, and [`crate::error::ErrorKind::Network`] for a server that goes round in circles or lists
    /// too much out of order.
    pub(super) async fn next_page(&mut self) -> Result<Option<ScannedPage>> {
        if self.is_over {
            return Ok(None);
        }
        // Set first, so that nothing comes after an error.
        self.is_over = true;
        let page = self.ask().await.doing(|| self.position())?;
        self.is_over = page.is_last;
        Ok(Some(page))
    }

    async fn ask(&mut self) -> Result<ScannedPage> {
        let range = self.sieve.range();
        let start = self.cursor.clone().or_else(|| range.start.clone());
        let query = PageQuery { start, end: range.end.clone(), limit: self.page_rows };
        let mut page = self.source.page(&query).await?;

        let row_count = page.rows.len() as u64 + page.unusable_rows;
        let is_full = row_count >= u64::from(self.page_rows);
        let next_cursor = page.rows.last().map(|row| row.name.as_str().to_owned());
        if self.cursor.is_some() && page.rows.first().map(|row| row.name.as_str()) == self.cursor.as_deref() {
            page.rows.remove(0);
        }
        let mut sifted = self.sieve.sift(page.rows)?;
        sifted.oddities.note_unusable(page.unusable_rows, self.sieve.range());
        if is_full && !sifted.has_new {
            return Err(Error::network("the registry gave a full page without a new name")
                .hint("it may ignore startkey; is this the address of a registry's _all_docs?"));
        }
        let is_short = self.longest.exceeds(row_count) || row_count < LEAST_CAP_ROWS || !sifted.has_new;
        let is_last = !is_full && is_short;
        self.cursor = next_cursor.or(self.cursor.take());
        Ok(ScannedPage {
            rows: sifted.rows,
            total_rows: page.total_rows,
            is_last,
            oddities: sifted.oddities,
            misplaced: if is_last { self.sieve.take_misplaced() } else { Vec::new() },
        })
    }

    fn position(&self) -> String {
        match &self.cursor {
            Some(cursor) => format!("listing the names of {} from {cursor:?} on", self.sieve.range()),
            None => format!("listing the names of {}", self.sieve.range()),
        }
    }
}
