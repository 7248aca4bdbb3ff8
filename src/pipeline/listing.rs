//! Listing: all that the registry lists, scanned into a spool and given back partition by partition.
//!
//! The scan runs to its end before anything is compared: only then are the rows counted, checked against the registry's
//! own count, and cut into the partitions of a new lake; and only then is it known which rows the server listed out of
//! its own order. The spool is a file in staging, so memory does not grow with the registry.

use std::num::NonZeroU64;
use std::sync::Arc;

use futures::{Stream, StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;

use super::progress::Progress;
use super::summary::ScanSummary;
use crate::encode::ShardWriter;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::lake::{Derivation, OriginLayout, Partition, PartitionSet, Pivots, exact_partition_set};
use crate::npm::{DocRow, Page, PageQuery};
use crate::registry::Registry;
use crate::scan::{PageSource, ScanOptions, ScanReport, scan_all, with_misplaced};
use crate::shard::{ShardReader, doc_rows};
use crate::store::{Store, blocking};
use crate::table::TableKind;
use crate::table::{DocsBuilder, schema};

/// Pages between the scan and the spool.
const PAGES_CAPACITY: usize = 4;
/// Partitions' rows that are read ahead of their plans.
const PARTITIONS_CAPACITY: usize = 1;
/// A listing of so many times the rows that the registry says it has, has no end.
const ENDLESS_TIMES: u64 = 3;
/// Fewer rows than these may be listed whatever it says.
const ENDLESS_ROWS: u64 = 1_000_000;

/// How a new lake's partition set is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionMode {
    /// Small ranges join and large ones are cut, to about this many rows each.
    Derived {
        /// Rows a partition.
        rows_per_partition: NonZeroU64,
    },
    /// The ranges of the pivots as they are.
    Exact,
}

/// The registry as a source of pages.
pub(super) struct Pages(pub(super) Registry);

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
    /// What the scan says of the registry.
    pub(super) summary: ScanSummary,
}

/// The rows of a scan on disk, and those that came out of their place.
#[derive(Clone)]
struct Spool {
    store: Store,
    path: String,
    misplaced: Vec<DocRow>,
}

impl Listing {
    /// Scans `ranges` into a spool in `store`. They are ascending and do not overlap; those of a whole scan cover all
    /// names, so that their rows can be checked against the registry's own count.
    pub(super) async fn scan(
        registry: &Registry,
        ranges: Vec<Partition>,
        is_whole: bool,
        store: &Store,
        layout: &OriginLayout,
        progress: &Arc<Progress>,
    ) -> Result<Listing> {
        let path = layout.scan_spool();
        let (sender, receiver) = mpsc::channel::<Vec<DocRow>>(PAGES_CAPACITY);
        let (spool_store, spool_path) = (store.clone(), path.clone());
        let writer = tokio::task::spawn_blocking(move || write_spool(&spool_store, &spool_path, receiver));
        Progress::add(&progress.ranges_total, ranges.len() as u64);
        let mut scan = scan_all(Arc::new(Pages(registry.clone())), ranges, ScanOptions::default());
        while let Some(page) = scan.try_next().await? {
            Progress::add(&progress.rows_scanned, page.rows.len() as u64);
            Progress::add(&progress.ranges_scanned, u64::from(page.is_last));
            endless(progress.rows_scanned.load(std::sync::atomic::Ordering::Relaxed), page.total_rows)?;
            if let Some(total) = page.total_rows.filter(|_| is_whole) {
                progress.rows_expected.store(total, std::sync::atomic::Ordering::Relaxed);
            }
            if !page.rows.is_empty() && sender.send(page.rows).await.is_err() {
                // The writer has ended early; its error is the story.
                break;
            }
        }
        drop(sender);
        writer.await.or_error(ErrorKind::Internal, || "the writer of the spool died".to_owned())??;
        let report = scan.into_report();
        let mut summary = summarize(&report);
        summary.missing_rows = summary.missing_rows.filter(|_| is_whole);
        let spool = Spool { store: store.clone(), path, misplaced: report.misplaced };
        Ok(Listing { spool, summary, is_whole })
    }

    /// Whether rows came out of their place, so that some may have been counted twice.
    pub(super) fn has_misplaced(&self) -> bool {
        !self.spool.misplaced.is_empty()
    }

    /// The rows of each partition of `set`, each name counted once; the summary then says how many there are in all.
    pub(super) async fn count(&mut self, set: Arc<PartitionSet>) -> Result<Vec<u64>> {
        let spool = self.spool.clone();
        let count = move || {
            let mut rows_by_partition = vec![0; set.count()];
            let mut index = 0;
            for row in spool.rows()? {
                let name = row?.name;
                while set.boundaries.get(index).is_some_and(|end| name.as_str() >= end.as_str()) {
                    index += 1;
                }
                rows_by_partition[index] += 1;
            }
            Ok::<Vec<u64>, Error>(rows_by_partition)
        };
        let rows_by_partition = blocking("counting the rows of the partitions", count).await?;
        self.summary.listed = rows_by_partition.iter().sum();
        let least = self.summary.total_rows.map(|(first, last)| first.min(last));
        self.summary.missing_rows =
            least.filter(|_| self.is_whole).map(|least| least.saturating_sub(self.summary.listed));
        Ok(rows_by_partition)
    }

    /// Makes the partition set of a new lake from what was listed.
    pub(super) async fn derive(&self, pivots: &Pivots, mode: PartitionMode) -> Result<PartitionSet> {
        let PartitionMode::Derived { rows_per_partition } = mode else { return Ok(exact_partition_set(pivots)) };
        let (spool, pivots) = (self.spool.clone(), pivots.clone());
        let derive = move || {
            let mut rows_by_range = vec![0; pivots.range_count()];
            let mut range = 0;
            for row in spool.rows()? {
                let name = row?.name;
                while pivots.keys().get(range).is_some_and(|end| name.as_str() >= end.as_str()) {
                    range += 1;
                }
                rows_by_range[range] += 1;
            }
            let mut derivation = Derivation::new(&pivots, &rows_by_range, rows_per_partition)?;
            for row in spool.rows()? {
                derivation.push(row?.name.as_str())?;
            }
            derivation.finish()
        };
        blocking("deriving the partitions", derive).await
    }

    /// The rows of each partition of `set` in order, also of those without rows; of those in `scope` only, where it is
    /// given.
    pub(super) fn into_partitions(
        self,
        set: Arc<PartitionSet>,
        scope: Option<Vec<usize>>,
    ) -> impl Stream<Item = Result<(usize, Vec<DocRow>)>> {
        let (sender, receiver) = mpsc::channel(PARTITIONS_CAPACITY);
        let cutter = tokio::task::spawn_blocking(move || {
            // A receiver that is gone means that the run has ended; nobody is left to tell.
            if let Err(error) = cut(&self.spool, &set, scope.as_deref(), &sender) {
                let _ = sender.blocking_send(Err(error));
            }
        });
        let rows = stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
        rows.chain(stream::once(cutter).filter_map(|ended| async move {
            ended.err().map(|error| Err(Error::internal("cutting the listing into partitions died").source(error)))
        }))
    }
}

type Rows = Result<(usize, Vec<DocRow>)>;

/// Sends the rows of each partition in scope. Ends early when nobody listens any more.
fn cut(spool: &Spool, set: &PartitionSet, scope: Option<&[usize]>, sender: &mpsc::Sender<Rows>) -> Result<()> {
    let is_in_scope = |index: usize| scope.is_none_or(|scope| scope.binary_search(&index).is_ok());
    let send = |index: usize, rows: Vec<DocRow>| !is_in_scope(index) || sender.blocking_send(Ok((index, rows))).is_ok();
    let mut index = 0;
    let mut rows = Vec::new();
    for row in spool.rows()? {
        let row = row?;
        while set.boundaries.get(index).is_some_and(|end| row.name.as_str() >= end.as_str()) {
            if !send(index, std::mem::take(&mut rows)) {
                return Ok(());
            }
            index += 1;
        }
        rows.push(row);
    }
    while index < set.count() {
        if !send(index, std::mem::take(&mut rows)) {
            return Ok(());
        }
        index += 1;
    }
    Ok(())
}

fn write_spool(store: &Store, path: &str, mut pages: mpsc::Receiver<Vec<DocRow>>) -> Result<()> {
    let mut writer = ShardWriter::new(TableKind::Docs, schema(TableKind::Docs), store.stage(path)?)?;
    let mut builder = DocsBuilder::new();
    while let Some(rows) = pages.blocking_recv() {
        for row in &rows {
            builder.push(row);
        }
        writer.write(builder.take_batch()?)?;
    }
    let (staged, _) = writer.finish()?;
    staged.finish()
}

impl Spool {
    /// All rows in the order of their names.
    fn rows(&self) -> Result<impl Iterator<Item = Result<DocRow>> + use<>> {
        let file =
            self.store.blocking().open(&self.path)?.ok_or_else(|| Error::lake(format!("{} vanished", self.path)))?;
        let reader = ShardReader::open(TableKind::Docs, file, &schema(TableKind::Docs))?;
        let rows = reader.flat_map(|batch| match batch.and_then(|batch| doc_rows(&batch)) {
            Ok(rows) => rows.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        });
        Ok(with_misplaced(rows, self.misplaced.clone()))
    }
}

/// Refuses a listing that has many times the rows that the registry says it has: it would go on until the disk is full.
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
        (oddities.outside_range, "rows came outside the range that was asked for"),
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
