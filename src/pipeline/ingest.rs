//! Ingest: the wiring of the river, from pivots to committed partitions.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bounds::Bounds;
use super::ending::Ending;
use super::lease::{Lease, LeaseWatch};
use super::losses::{PartitionLoss, disbelief, unbelievable};
use super::open::{open_lake, sweep};
use super::options::IngestOptions;
use super::plan::Wanted;
use super::progress::Progress;
use super::requests::{count_in_lake, counted};
use super::run::RunReporter;
use super::summary::{IngestSummary, PlannedPartition, ScanSummary};
use super::survey::{Survey, survey};
use crate::commit::recover;
use crate::error::{Context, Doing, Error, ErrorKind, Result};
use crate::fetch::ByteBudget;
use crate::lake::{Layout, OriginLayout};
use crate::store::Store;

/// Brings a lake to what a registry lists: scans it, compares, fetches what differs, and commits partition by
/// partition. `stop` ends it early and cleanly: what is committed stays, and the summary says so.
///
/// One process at a time writes an origin: fails with [`ErrorKind::Lake`] while another one does. Drop the future, and
/// the lock stays for a minute; use `stop` instead.
pub async fn ingest(options: IngestOptions, progress: Arc<Progress>, stop: CancellationToken) -> Result<IngestSummary> {
    let (store, registry) = (options.store.clone(), options.registry.clone());
    counted(&store, &registry, options.dry_run, run_ingest(options, progress, stop)).await
}

/// [`ingest`], its requests counted by the caller where there is a lake yet.
async fn run_ingest(options: IngestOptions, progress: Arc<Progress>, stop: CancellationToken) -> Result<IngestSummary> {
    let started = Instant::now();
    let layout = Layout::origin(&options.registry.origin().name);
    let store = options.store.clone();
    stop.run_until_cancelled(options.registry.info()).await.unwrap_or_else(|| Err(Error::interrupted()))?;
    if options.dry_run {
        let river = Arc::new(River::new(options, layout, progress, None));
        let is_interrupted = river.run(&stop).await?;
        return Ok(river.summary(is_interrupted, 0, started));
    }
    open_lake(&store, layout.name(), &options.origin_info).await?;
    count_in_lake(&store, &options.registry).await?;
    let lease = Lease::take(&store, &layout, "ingest").await?;
    let result = ingest_alone(options, layout, progress, &stop, lease.watch(), started).await;
    // Whatever else failed is the story.
    let ended = lease.end().await;
    result.and_then(|summary| ended.map(|()| summary))
}

/// [`ingest`] by the one who holds the lease.
async fn ingest_alone(
    options: IngestOptions,
    layout: OriginLayout,
    progress: Arc<Progress>,
    stop: &CancellationToken,
    lease: LeaseWatch,
    started: Instant,
) -> Result<IngestSummary> {
    sweep(&options.store, &layout).await?;
    let commits_recovered = recover(&options.store, &layout).await? as u64;
    let reporter = RunReporter::start(options.store.clone(), layout.clone(), Arc::clone(&progress));
    let river = Arc::new(River::new(options, layout, progress, Some(lease)));
    let result = river.run(stop).await;
    let reported = reporter.end().await;
    let is_interrupted = result?;
    reported?;
    Ok(river.summary(is_interrupted, commits_recovered, started))
}

/// One ingest under way.
pub(super) struct River {
    pub(super) options: IngestOptions,
    pub(super) layout: OriginLayout,
    pub(super) wanted: Wanted,
    pub(super) progress: Arc<Progress>,
    /// The right to write; `None` for a dry run, which writes nothing.
    pub(super) lease: Option<LeaseWatch>,
    pub(super) bounds: Bounds,
    pub(super) budget: ByteBudget,
    pub(super) large_documents: Arc<Mutex<()>>,
    pub(super) builders: TaskTracker,
    pub(super) stop_builds: CancellationToken,
    pub(super) commits: TaskTracker,
    pub(super) unanswered_in_a_row: AtomicU64,
    /// Answers about documents that the lake holds,
    pub(super) answers_about_held: AtomicU64,
    /// and how many of them say that there is none.
    pub(super) gone_of_held: AtomicU64,
    /// and of those, since one that said another thing.
    pub(super) gone_in_a_row: AtomicU64,
    pub(super) ending: Arc<Ending>,
    pub(super) notes: Mutex<Notes>,
}

/// What the summary says beyond the counters.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) scan: ScanSummary,
    pub(super) unlisted_names: Vec<String>,
    pub(super) unlisted_count: u64,
    pub(super) overgrown: Vec<(String, u64)>,
    pub(super) plan: Vec<PlannedPartition>,
}

impl River {
    fn new(options: IngestOptions, layout: OriginLayout, progress: Arc<Progress>, lease: Option<LeaseWatch>) -> River {
        let bounds = Bounds::of_this_machine();
        let wanted = Wanted {
            representation: options.representation,
            selection: options.selection.clone(),
            refresh: options.refresh,
            max_document_bytes: options.registry.max_document_bytes(),
        };
        River {
            options,
            layout,
            wanted,
            progress,
            lease,
            bounds,
            budget: ByteBudget::new(bounds.document_bytes_in_flight),
            large_documents: Arc::default(),
            builders: TaskTracker::new(),
            stop_builds: CancellationToken::new(),
            commits: TaskTracker::new(),
            unanswered_in_a_row: AtomicU64::new(0),
            answers_about_held: AtomicU64::new(0),
            gone_of_held: AtomicU64::new(0),
            gone_in_a_row: AtomicU64::new(0),
            ending: Arc::default(),
            notes: Mutex::default(),
        }
    }

    /// Flows to the end, or until it is stopped; answers whether it was.
    async fn run(self: &Arc<Self>, stop: &CancellationToken) -> Result<bool> {
        let outcome = tokio::select! {
            // Whoever wants it to stop is heard before a failure that the stop may have caused.
            biased;
            error = self.lease_lost() => Err(error),
            () = stop.cancelled() => Ok(true),
            result = self.flow() => result.map(|()| false),
        };
        if !matches!(outcome, Ok(false)) {
            self.stop_builds.cancel();
        }
        // What has come in is staged, and a commit that has begun runs to its end, whatever became of the rest.
        for tasks in [&self.builders, &self.commits] {
            tasks.close();
            tasks.wait().await;
        }
        outcome.doing(|| self.position())
    }

    /// Why the run may write no longer; never ends while it may.
    async fn lease_lost(&self) -> Error {
        let Some(lease) = &self.lease else { return std::future::pending().await };
        lease.lost().await;
        lease.lost_error()
    }

    /// How far the run has come, for one who reads why it went no further.
    fn position(&self) -> String {
        let counts = self.progress.snapshot();
        if counts.partitions_total == 0 {
            return format!("listing the names of {}", self.layout.name());
        }
        format!(
            "{} of {} partitions were done, and {} packuments of others remained to be asked for",
            counts.partitions_done,
            counts.partitions_total,
            counts.packuments_planned.saturating_sub(counts.packuments_done)
        )
    }

    /// scan → cut into partitions → each: plan → fetch → build → commit.
    async fn flow(self: &Arc<Self>) -> Result<()> {
        let options = &self.options;
        // A dry run writes nothing into the lake, so its spool lies elsewhere.
        let elsewhere = match options.dry_run {
            true => {
                Some(tempfile::tempdir().or_error(ErrorKind::Lake, || "cannot make a temporary folder".to_owned())?)
            }
            false => None,
        };
        let spool_store = match &elsewhere {
            Some(folder) => Store::open(&folder.path().to_string_lossy())?,
            None => options.store.clone(),
        };
        let Survey { set, scope, listing, losses } =
            survey(options, &self.layout, &spool_store, &self.progress).await?;
        self.with_notes(|notes| notes.scan = listing.summary.clone());
        self.judge(&losses, &listing.summary)?;
        let set = Arc::new(set);
        let partitions = scope.as_ref().map_or(set.count(), Vec::len);
        self.progress.partitions_total.store(partitions as u64, Ordering::Relaxed);
        listing
            .into_partitions(Arc::clone(&set), scope)
            .try_take_while(|_| std::future::ready(Ok(!self.ending.has_begun())))
            .map_ok(|(index, rows)| Arc::clone(self).partition(Arc::clone(&set), index, rows))
            .try_buffer_unordered(self.bounds.partitions)
            .try_collect::<Vec<()>>()
            .await?;
        self.ending.outcome()?;
        spool_store.delete(&self.layout.scan_spool()).await
    }

    /// Refuses a listing that cannot be true, before anything is done by it.
    fn judge(&self, losses: &[PartitionLoss], scan: &ScanSummary) -> Result<()> {
        let Some(why) = disbelief(losses, scan.missing_of_total()) else { return Ok(()) };
        if self.options.dry_run || self.options.accept_removals {
            self.with_notes(|notes| notes.scan.warnings.push(format!("the listing is hard to believe: {why}")));
            return Ok(());
        }
        Err(unbelievable(&why))
    }

    pub(super) fn with_notes<T>(&self, change: impl FnOnce(&mut Notes) -> T) -> T {
        change(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn summary(&self, interrupted: bool, commits_recovered: u64, started: Instant) -> IngestSummary {
        let notes = self.with_notes(std::mem::take);
        IngestSummary {
            origin: self.layout.name().to_owned(),
            lake: self.options.store.location(),
            dry_run: self.options.dry_run,
            interrupted,
            counts: self.progress.snapshot(),
            requests: self.options.registry.statistics().requests,
            elapsed: started.elapsed(),
            scan: notes.scan,
            commits_recovered,
            unlisted_names: notes.unlisted_names,
            unlisted_count: notes.unlisted_count,
            overgrown: notes.overgrown,
            plan: notes.plan,
        }
    }
}
