//! Pages one range to its end. Not here: many ranges at once (`all`), and what is done with odd rows (`sieve`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::PageSource;
use super::report::Oddities;
use super::sieve::Sieve;
use crate::error::{Doing, Error, Result};
use crate::lake::Partition;
use crate::npm::{DocRow, MAX_PAGE_ROWS, PageQuery};

/// The fewest rows that a page may be asked for: the cursor comes again as the first of them.
const MIN_PAGE_ROWS: u32 = 2;

/// A server that gives fewer rows than it is asked for gives at least so many: a page below that is a range's last one.
/// Were one to give fewer still, its own count of rows would show what is missing.
const LEAST_CAP_ROWS: u64 = 10;

/// One page of a range, after checks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScannedPage {
    /// Strictly ascending by bytes, inside the range, and above the rows of earlier pages. May be empty.
    pub rows: Vec<DocRow>,
    /// How many documents the registry says it has in all.
    pub total_rows: Option<u64>,
    /// Whether the range ends here.
    pub is_last: bool,
    /// What was odd in this page.
    pub oddities: Oddities,
    /// On the last page: the rows of all pages that could not be given in their place. Usually none.
    pub misplaced: Vec<DocRow>,
}

/// How many rows the longest page of a scan has had so far; its clones share it.
///
/// A server may give fewer rows than it is asked for, so that a page that is not full need not be a range's last one. It
/// is, where another page had more rows: then the server had room for more.
#[derive(Debug, Clone, Default)]
pub(super) struct LongestPage(Arc<AtomicU64>);

impl LongestPage {
    /// Takes note of a page of so many rows, and says whether another one had more.
    fn exceeds(&self, rows: u64) -> bool {
        self.0.fetch_max(rows, Ordering::Relaxed) > rows
    }
}

/// A range that is being paged.
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
    /// Begins before the first page. `page_rows` is how many rows a page may have, 2 to [`MAX_PAGE_ROWS`]; anything
    /// else is taken as the nearest of these. The ranges of one scan share `longest`.
    pub(super) fn new(source: S, range: Partition, page_rows: u32, longest: LongestPage) -> Self {
        let page_rows = page_rows.clamp(MIN_PAGE_ROWS, MAX_PAGE_ROWS);
        RangeScan { source, longest, sieve: Sieve::new(range), page_rows, cursor: None, is_over: false }
    }

    /// The next page; `None` after the last one or after an error. At least one page comes, and the last one says so.
    ///
    /// The next page begins at the last id as the *server* orders them, and its first row is dropped only if it is
    /// that id: the package may have been deleted meanwhile. The range ends with a page that has fewer rows than were
    /// asked for and than another page of the scan had, or next to none, or nothing new.
    ///
    /// # Errors
    /// What the source says, and [`crate::error::ErrorKind::Network`] for a server that goes round in circles or
    /// lists too much out of order.
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
            return Err(Error::network("the registry gave a full page in which nothing is new")
                .hint("it may not heed startkey; is this the address of a registry's _all_docs?"));
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
