//! Scans many ranges at once and returns their pages in name order. Not here: the paging of one range (`range`).

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::Stream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::misplaced::Misplaced;
use super::range::{LongestPage, RangeScan};
use super::{PageSource, ScanReport, ScannedPage};
use crate::error::{Error, Result};
use crate::lake::Partition;
use crate::npm::{DocRow, MAX_PAGE_ROWS};

/// How many finished pages of one range wait for their turn. Together with the page that waits to be queued and the one
/// being fetched, a range holds at most four pages, some 4 MB.
const PAGES_WAITING_PER_RANGE: usize = 2;

/// The settings of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanOptions {
    /// How many rows to request at once, 2 to [`MAX_PAGE_ROWS`].
    pub page_rows: u32,
    /// How many ranges are paged at the same time.
    pub concurrency: NonZeroUsize,
}

impl Default for ScanOptions {
    /// Returns npm's page size, so the whole registry is some 450 requests; and 8 ranges at once, where npm was seen to
    /// serve 30 (npm-facts A.6).
    fn default() -> Self {
        const EIGHT: NonZeroUsize = NonZeroUsize::new(8).unwrap();
        ScanOptions { page_rows: MAX_PAGE_ROWS, concurrency: EIGHT }
    }
}

/// One page of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangePage {
    /// The range's number, from 0. Pages come in the order of the ranges.
    pub range_index: usize,
    /// Strictly ascending by bytes, within the page and across pages. May be empty.
    pub rows: Vec<DocRow>,
    /// The registry's own count of all its documents.
    pub total_rows: Option<u64>,
    /// Whether the range ends here. Each range has one such page, even an empty range.
    pub is_last: bool,
}

/// Begins to scan `ranges`, which must be ascending and must not overlap.
///
/// Sends nothing before the stream is first polled, which must happen inside a tokio runtime. Dropping it ends the
/// requests in flight.
pub fn scan_all<S>(source: Arc<S>, ranges: Vec<Partition>, options: ScanOptions) -> Scan<S>
where
    S: PageSource + Send + Sync + 'static,
{
    let report = ScanReport { rows_by_range: vec![0; ranges.len()], ..ScanReport::default() };
    Scan {
        source,
        ranges: ranges.into_iter(),
        options,
        longest: LongestPage::default(),
        ahead: VecDeque::new(),
        misplaced: Misplaced::default(),
        report,
    }
}

/// A scan in progress: a stream of pages in name order, and the report so far. It ends after its first error.
#[derive(Debug)]
pub struct Scan<S> {
    source: Arc<S>,
    ranges: std::vec::IntoIter<Partition>,
    options: ScanOptions,
    longest: LongestPage,
    /// The ranges being paged, in order; pages are taken from the first.
    ahead: VecDeque<RangeTask>,
    misplaced: Misplaced,
    report: ScanReport,
}

impl<S> Scan<S> {
    /// Returns the report so far; [`Scan::into_report`] fills in [`ScanReport::misplaced`].
    pub fn report(&self) -> &ScanReport {
        &self.report
    }

    /// Returns the complete report. Call it when the stream has ended.
    pub fn into_report(mut self) -> ScanReport {
        self.report.misplaced = std::mem::take(&mut self.misplaced).into_rows();
        std::mem::take(&mut self.report)
    }

    fn accept(&mut self, page: ScannedPage) -> Result<RangePage> {
        let range_index = self.report.ranges_done;
        self.report.add_page(range_index, page.rows.len(), page.total_rows, page.oddities);
        for row in page.misplaced {
            self.misplaced.add(row)?;
        }
        if page.is_last {
            self.report.ranges_done += 1;
            self.ahead.pop_front();
        }
        Ok(RangePage { range_index, rows: page.rows, total_rows: page.total_rows, is_last: page.is_last })
    }

    /// Ends every request; no page is returned after that.
    fn stop(&mut self) {
        self.ahead.clear();
        self.ranges = Vec::new().into_iter();
    }
}

impl<S: PageSource + Send + Sync + 'static> Stream for Scan<S> {
    type Item = Result<RangePage>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let scan = self.get_mut();
        while scan.ahead.len() < scan.options.concurrency.get() {
            let Some(range) = scan.ranges.next() else { break };
            let source = Arc::clone(&scan.source);
            let range = RangeScan::new(source, range, scan.options.page_rows, scan.longest.clone());
            scan.ahead.push_back(RangeTask::spawn(range));
        }
        let Some(first) = scan.ahead.front_mut() else { return Poll::Ready(None) };
        let page = ready!(first.pages.poll_recv(cx))
            .unwrap_or_else(|| Err(Error::internal("the listing of a range broke off")))
            .and_then(|page| scan.accept(page));
        if page.is_err() {
            scan.stop();
        }
        Poll::Ready(Some(page))
    }
}

/// A range that a separate task pages. The task ends when this is dropped.
#[derive(Debug)]
struct RangeTask {
    pages: mpsc::Receiver<Result<ScannedPage>>,
    task: JoinHandle<()>,
}

impl RangeTask {
    fn spawn<S>(mut scan: RangeScan<S>) -> Self
    where
        S: PageSource + Send + Sync + 'static,
    {
        let (sender, pages) = mpsc::channel(PAGES_WAITING_PER_RANGE);
        let task = tokio::spawn(async move {
            while let Some(page) = scan.next_page().await.transpose() {
                // The scan was dropped: its receiver is gone.
                if sender.send(page).await.is_err() {
                    return;
                }
            }
        });
        RangeTask { pages, task }
    }
}

impl Drop for RangeTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}
