//! Listing: scans everything that the registry lists into a spool, and returns it partition by partition.
//!
//! The scan runs to its end before anything is compared. Only then are the rows counted, checked against the registry's
//! own count, and cut into the partitions of a new lake; and only then is it known which rows the server listed out of
//! its own order. The spool is a file in staging, so memory does not grow with the registry.

use std::sync::Arc;

use futures::{Stream, StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;

use super::spool::{Spool, write_spool};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::lake::{Derivation, Partition, PartitionSet, Pivots, exact_partition_set};
use crate::npm::{DocRow, Page, PageQuery};
use crate::pipeline::doubt::Sample;
use crate::pipeline::options::PartitionMode;
use crate::pipeline::progress::Progress;
use crate::pipeline::summary::ScanSummary;
use crate::registry::Registry;
use crate::scan::{PageSource, ScanOptions, ScanReport, scan_all};
use crate::store::{Store, blocking};

/// Pages between the scan and the spool.
const PAGES_CAPACITY: usize = 4;
/// Partitions whose rows are read ahead of their plans.
const PARTITIONS_CAPACITY: usize = 1;
/// A listing with this many times the rows that the registry claims to have is endless.
const ENDLESS_TIMES: u64 = 3;
/// This many rows may always be listed, whatever the registry claims.
const ENDLESS_ROWS: u64 = 1_000_000;

/// The registry as a source of pages.
pub(in crate::pipeline) struct Pages(pub(in crate::pipeline) Registry);

impl PageSource for Pages {
    async fn page(&self, query: &PageQuery) -> Result<Page> {
        self.0.page(query).await
    }
}

/// A finished scan.
pub(super) struct Listing {
    spool: Spool,
    /// Whether it covers all names.
    is_whole: bool,
    /// Row counts between the keys by which the rows were counted: below the first, between each two, from the last on.
    rows_between: RowsBetween,
    /// Some of the names.
    pub(super) sample: Sample,
    /// The facts that the scan found about the registry.
    pub(super) summary: ScanSummary,
    /// The time at which it began, in microseconds since 1970.
    pub(super) began_at_us: i64,
}

/// The destination of the rows of a listing.
pub(super) struct SpoolPlace<'a> {
    pub(super) store: &'a Store,
    /// The path of the spool.
    pub(super) path: String,
}

/// Counts of rows between ascending keys.
#[derive(Debug, Clone)]
pub(super) struct RowsBetween {
    keys: Vec<String>,
    counts: Vec<u64>,
}

impl RowsBetween {
    fn new(keys: Vec<String>) -> RowsBetween {
        RowsBetween { counts: vec![0; keys.len() + 1], keys }
    }

    /// Counts rows that ascend by name.
    fn add(&mut self, rows: &[DocRow]) {
        let mut rest = rows;
        while let Some(first) = rest.first() {
            let index = self.keys.partition_point(|key| key.as_str() <= first.name.as_str());
            let end = self.keys.get(index);
            let count = end.map_or(rest.len(), |end| rest.partition_point(|row| row.name.as_str() < end.as_str()));
            if let Some(rows) = self.counts.get_mut(index) {
                *rows += count as u64;
            }
            rest = rest.get(count..).unwrap_or_default();
        }
    }
}

impl Listing {
    /// Scans `ranges` into a spool, and counts the rows between `keys` on the way. The ranges are ascending and do not
    /// overlap. The ranges of a whole scan cover all names, so their rows can be checked against the registry's own
    /// count.
    pub(super) async fn scan(
        registry: &Registry,
        ranges: Vec<Partition>,
        is_whole: bool,
        keys: Vec<String>,
        place: SpoolPlace<'_>,
        progress: &Arc<Progress>,
    ) -> Result<Listing> {
        let SpoolPlace { store, path } = place;
        let began_at_us = jiff::Timestamp::now().as_microsecond();
        let (sender, receiver) = mpsc::channel::<Vec<DocRow>>(PAGES_CAPACITY);
        let (spool_store, spool_path) = (store.clone(), path.clone());
        let writer = tokio::task::spawn_blocking(move || write_spool(&spool_store, &spool_path, receiver));
        Progress::add(&progress.ranges_total, ranges.len() as u64);
        let (mut rows_between, mut sample) = (RowsBetween::new(keys), Sample::default());
        let mut scan = scan_all(Arc::new(Pages(registry.clone())), ranges, ScanOptions::default());
        while let Some(page) = scan.try_next().await? {
            Progress::add(&progress.rows_scanned, page.rows.len() as u64);
            Progress::add(&progress.ranges_scanned, u64::from(page.is_last));
            endless(progress.rows_scanned.load(std::sync::atomic::Ordering::Relaxed), page.total_rows)?;
            if let Some(total) = page.total_rows.filter(|_| is_whole) {
                progress.rows_expected.store(total, std::sync::atomic::Ordering::Relaxed);
            }
            rows_between.add(&page.rows);
            page.rows.iter().for_each(|row| sample.add(&row.name));
            if !page.rows.is_empty() && sender.send(page.rows).await.is_err() {
                // The writer has ended early; its error is the one to report.
                break;
            }
        }
        drop(sender);
        writer.await.or_error(ErrorKind::Internal, || "the writer of the spool died".to_owned())??;
        let report = scan.into_report();
        let mut summary = summarize(&report);
        summary.missing_rows = summary.missing_rows.filter(|_| is_whole);
        let spool = Spool { store: store.clone(), path, misplaced: report.misplaced };
        let mut listing = Listing { spool, sample, summary, is_whole, rows_between, began_at_us };
        if !listing.spool.misplaced.is_empty() {
            listing.recount().await?;
        }
        Ok(listing)
    }

    /// Counts each name once, if rows came out of place and some of them may have come twice.
    async fn recount(&mut self) -> Result<()> {
        let (spool, mut rows_between) = (self.spool.clone(), RowsBetween::new(self.rows_between.keys.clone()));
        let count = move || {
            for row in spool.rows()? {
                rows_between.add(&[row?]);
            }
            Ok::<_, Error>(rows_between)
        };
        self.rows_between = blocking("counting the listed rows", count).await?;
        self.summary.listed = self.rows_between.counts.iter().sum();
        let least = self.summary.total_rows.map(|(first, last)| first.min(last));
        self.summary.missing_rows =
            least.filter(|_| self.is_whole).map(|least| least.saturating_sub(self.summary.listed));
        Ok(())
    }

    /// Returns how many rows lie below the first of `keys`, between each two, and from the last on; `None` if the scan
    /// counted by other keys.
    pub(super) fn rows_between(&self, keys: &[String]) -> Option<&[u64]> {
        (self.rows_between.keys == keys).then_some(self.rows_between.counts.as_slice())
    }

    /// Makes the partition set of a new lake from a listing whose rows were counted between the keys of `pivots`.
    pub(super) async fn derive(&self, pivots: &Pivots, mode: PartitionMode) -> Result<PartitionSet> {
        let PartitionMode::Derived { rows_per_partition } = mode else { return Ok(exact_partition_set(pivots)) };
        let (spool, pivots, rows_by_range) = (self.spool.clone(), pivots.clone(), self.rows_between.counts.clone());
        let derive = move || {
            let mut derivation = Derivation::new(&pivots, &rows_by_range, rows_per_partition)?;
            for row in spool.rows()? {
                derivation.push(row?.name.as_str())?;
            }
            derivation.finish()
        };
        blocking("deriving the partitions", derive).await
    }

    /// Returns the rows of the partitions of `set` at `wanted`, which ascend; partitions without rows are included. May
    /// be called again.
    pub(super) fn partitions(
        &self,
        set: Arc<PartitionSet>,
        wanted: Vec<usize>,
    ) -> impl Stream<Item = Result<(usize, Vec<DocRow>)>> + use<> {
        let (sender, receiver) = mpsc::channel(PARTITIONS_CAPACITY);
        let spool = self.spool.clone();
        let cutter = tokio::task::spawn_blocking(move || {
            // A closed receiver means that the run has ended, so the error is dropped.
            if let Err(error) = cut(&spool, &set, &wanted, &sender) {
                let _ = sender.blocking_send(Err(error));
            }
        });
        let rows = stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
        rows.chain(stream::once(cutter).filter_map(|ended| async move {
            ended.err().map(|error| Err(Error::internal("cutting the listing into partitions died").source(error)))
        }))
    }

    /// Removes the spooled rows.
    pub(super) async fn end(&self) -> Result<()> {
        self.spool.store.delete(&self.spool.path).await
    }
}

type Rows = Result<(usize, Vec<DocRow>)>;

/// Sends the rows of each wanted partition. Ends early if the receiver is closed, or after the last partition.
fn cut(spool: &Spool, set: &PartitionSet, wanted: &[usize], sender: &mpsc::Sender<Rows>) -> Result<()> {
    let mut rows = spool.rows()?.peekable();
    for &index in wanted {
        let partition = set.get(index);
        let mut of_partition = Vec::new();
        loop {
            match rows.peek() {
                Some(Ok(row)) if !partition.is_below_end(row.name.as_str()) => break,
                None => break,
                Some(_) => {}
            }
            let Some(row) = rows.next().transpose()? else { break };
            if partition.contains(row.name.as_str()) {
                of_partition.push(row);
            }
        }
        if sender.blocking_send(Ok((index, of_partition))).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Refuses a listing with many times the rows that the registry claims to have: it would continue until the disk is
/// full.
fn endless(rows_scanned: u64, total_rows: Option<u64>) -> Result<()> {
    match total_rows {
        Some(total) if rows_scanned > total.saturating_mul(ENDLESS_TIMES).max(ENDLESS_ROWS) => {
            Err(Error::network(format!("the registry says that it has {total} names, and has listed {rows_scanned}"))
                .hint("its listing may have no end; is this the address of a registry's _all_docs?"))
        }
        _ => Ok(()),
    }
}

fn summarize(report: &ScanReport) -> ScanSummary {
    let oddities = &report.oddities;
    let mut warnings = Vec::new();
    let told = [
        (oddities.out_of_order, "rows came out of order and were sorted in"),
        (oddities.repeated, "rows came twice and were kept once"),
        (oddities.outside_range, "rows came outside the requested range"),
        (oddities.unusable, "rows had no id or no revision and were left out"),
    ];
    for (count, what) in told {
        if count > 0 {
            warnings.push(format!("{count} {what}"));
        }
    }
    warnings.extend(oddities.examples.iter().map(|example| format!("for example, {example}")));
    ScanSummary {
        listed: report.listed_rows(),
        total_rows: report.total_rows_at_first.zip(report.total_rows_at_last),
        missing_rows: report.missing_rows(),
        warnings,
    }
}
