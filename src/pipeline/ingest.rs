//! Ingest: connects the stages of a run, from a source of work to committed partitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures::future;
use tokio_util::sync::CancellationToken;

use super::events::keep_events;
use super::hand_out::{Dispatch, Place, hand_out};
use super::judge::Judge;
use super::lease::refuse_locked;
use super::new_origin::Before;
use super::noted::Noted;
use super::open::{check_moves, open_lake, sweep};
use super::options::IngestOptions;
use super::progress::Progress;
use super::requests::{count_in_lake, counted};
use super::run::{RunReporter, sweep_dead};
use super::source::{Changes, Scan, Source};
use super::status::read_partition_set;
use super::summary::{IngestSummary, SummaryBuilder};
use super::work::Wanted;
use super::work_off::work_off;
use super::worker::Worker;
use crate::error::{Doing, Error, ErrorKind, Result};
use crate::lake::{Layout, OriginLayout, PartitionSet};

/// The command for which leases are taken.
const PURPOSE: &str = "ingest";
/// The name of a run that writes nothing.
const DRY_RUN: &str = "dry";

/// Brings a lake up to date with a registry: scans it, compares, fetches the differences, and commits partition by
/// partition. `stop` ends it early and cleanly: committed partitions stay, and the summary says that it was stopped.
///
/// Several processes may work on one origin at once: one process works on each partition, and each process ends when
/// all partitions are done. Fails with [`crate::error::ErrorKind::Lake`] while another process holds the lock of the
/// whole origin. If the future is dropped, its leases stay for a minute; use `stop` instead.
pub async fn ingest(options: IngestOptions, progress: Arc<Progress>, stop: CancellationToken) -> Result<IngestSummary> {
    Box::pin(ingest_by(options, Doer::Own, progress, stop)).await
}

/// Does the same by other processes: this one lists and plans, and hands out each partition that has work as an item to
/// `dispatch`. The summary is of all processes together.
pub async fn ingest_by_dispatch(
    options: IngestOptions,
    dispatch: Arc<dyn Dispatch>,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<IngestSummary> {
    Box::pin(ingest_by(options, Doer::Dispatch(dispatch), progress, stop)).await
}

async fn ingest_by(
    options: IngestOptions,
    doer: Doer,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<IngestSummary> {
    let (store, registry, is_dry) = (options.store.clone(), options.registry.clone(), options.dry_run);
    let before = Before::of(&store).await?;
    if before.has_listed(&store, &options).await? {
        registry.has_listed_before();
    }
    let result = counted(&store, &registry, is_dry, Box::pin(run_ingest(options, doer, progress, stop))).await;
    let is_refused = |error: &Error| matches!(error.kind(), ErrorKind::Network | ErrorKind::Denied);
    if result.as_ref().is_err_and(is_refused) && !is_dry && !registry.has_listed() {
        // The server is no registry. The first error is the one to report.
        let _ = before.restore(&store, &registry.origin().name).await;
    }
    result
}

/// Runs [`ingest`]. The caller counts its requests if there is a lake yet.
async fn run_ingest(
    options: IngestOptions,
    doer: Doer,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<IngestSummary> {
    let started = Instant::now();
    let layout = Layout::origin(&options.registry.origin().name);
    let store = options.store.clone();
    if !options.dry_run {
        check_moves(&store, &layout).await?;
    }
    let info = stop.run_until_cancelled(options.registry.info()).await;
    let noted = Noted::of(&info.unwrap_or_else(|| Err(Error::interrupted()))?, &options);
    if options.dry_run {
        return Run::new(options, layout, progress, DRY_RUN, doer).complete(&stop, started).await;
    }
    open_lake(&store, layout.name(), &options.origin_info).await?;
    // The count runs to its end, so that it is exact.
    let (counted, refused) =
        future::join(count_in_lake(&store, &options.registry), refuse_locked(&store, &layout)).await;
    counted.and(refused)?;
    future::try_join(sweep(&store), sweep_dead(&store, &layout)).await?;
    let registry = Some(options.registry.clone());
    let reporter = RunReporter::start(store.clone(), &layout, PURPOSE, Arc::clone(&progress), registry).await?;
    let keep_from = options.keep_events_from;
    let mut run = Run::new(options, layout.clone(), progress, reporter.run(), doer);
    run.asks_registry = reporter.asks_registry();
    let result = Box::pin(run.complete(&stop, started)).await;
    let result = match result {
        Ok(summary) => {
            // Events that wait do not make the listing incomplete.
            let kept = keep_events(&store, &layout, keep_from).await;
            noted.keep(&store, &layout, &summary).await.and(kept).map(|_| summary)
        }
        failed => failed,
    };
    // The first error is the one to report. Processes that worked on the same origin may have died meanwhile.
    let ended = reporter.end().await.and(sweep_dead(&store, &layout).await);
    result.and_then(|summary| ended.map(|()| summary))
}

/// The processes that do the work of a run.
pub(super) enum Doer {
    /// This process. It waits for partitions that another process holds.
    Own,
    /// This process, a partition at a time. It leaves partitions to the process that holds them.
    OwnUnlessHeld,
    /// Other processes.
    Dispatch(Arc<dyn Dispatch>),
}

/// One ingest in progress.
pub(super) struct Run {
    options: IngestOptions,
    layout: OriginLayout,
    name: String,
    wanted: Arc<Wanted>,
    progress: Arc<Progress>,
    judge: Arc<Judge>,
    worker: Arc<Worker>,
    doer: Doer,
    /// Whether it still sends requests to the registry, as its status tells others.
    asks_registry: Arc<AtomicBool>,
}

impl Run {
    /// Begins a run. `name` identifies it among others that list the same origin.
    pub(super) fn new(
        options: IngestOptions,
        layout: OriginLayout,
        progress: Arc<Progress>,
        name: &str,
        doer: Doer,
    ) -> Run {
        let wanted = Arc::new(Wanted {
            representation: options.representation,
            selection: options.selection.clone(),
            refresh: options.refresh,
            began_at_us: options.began_at_us.unwrap_or_else(|| jiff::Timestamp::now().as_microsecond()),
            max_document_bytes: options.registry.max_document_bytes(),
            accepts_removals: options.accept_removals,
        });
        let judge = Arc::new(Judge::new(options.accept_removals));
        let worker = Worker::new(
            options.store.clone(),
            layout.clone(),
            options.registry.clone(),
            Arc::clone(&progress),
            Arc::clone(&judge),
            PURPOSE,
            options.dry_run,
        );
        let worker = Arc::new(if matches!(doer, Doer::OwnUnlessHeld) { worker.of_one_partition() } else { worker });
        Run {
            options,
            layout,
            name: name.to_owned(),
            wanted,
            progress,
            judge,
            worker,
            doer,
            asks_registry: Arc::default(),
        }
    }

    /// Runs to the end, or until it is stopped; then returns whether it was stopped.
    pub(super) async fn work(&self, stop: &CancellationToken, summary: &mut SummaryBuilder) -> Result<bool> {
        let outcome = tokio::select! {
            // A stop counts before a failure that it may have caused.
            biased;
            () = stop.cancelled() => Ok(true),
            result = Box::pin(self.flow(summary)) => result.map(|()| false),
        };
        if !matches!(outcome, Ok(false)) {
            self.worker.stop();
        }
        let ended = self.worker.end().await;
        let is_interrupted = outcome.doing(|| self.position())?;
        ended.map(|()| is_interrupted)
    }

    /// Returns the summary of work that has not begun.
    pub(super) fn begin_summary(&self) -> SummaryBuilder {
        SummaryBuilder::new(self.wanted.began_at_us)
    }

    /// Lists the registry for the partition set of a lake that has none, and keeps it. Returns the lake's set.
    pub(super) async fn partition_set(&self) -> Result<PartitionSet> {
        if let Some(set) = read_partition_set(&self.options.store, &self.layout).await? {
            return Ok(set);
        }
        let scan = self.scan().await?;
        self.judge.listing(scan.losses(), scan.summary(), false)?;
        scan.end().await?;
        Ok(scan.partition_set().clone())
    }

    async fn scan(&self) -> Result<Scan> {
        Scan::run(&self.options, &self.layout, &self.name, Arc::clone(&self.wanted), &self.progress).await
    }

    async fn complete(self, stop: &CancellationToken, started: Instant) -> Result<IngestSummary> {
        let mut summary = self.begin_summary();
        let is_interrupted = self.work(stop, &mut summary).await?;
        summary.finish(&self.options, &self.layout, &self.progress, is_interrupted, started.elapsed()).await
    }

    /// Returns how far the run has come, as context for an error.
    fn position(&self) -> String {
        let counts = self.progress.snapshot();
        if counts.partitions_total == 0 {
            return format!("listing the names of {}", self.layout.name());
        }
        format!(
            "{} of {} partitions were done, and {} packuments of others remained to be requested",
            counts.partitions_done,
            counts.partitions_total,
            counts.packuments_planned.saturating_sub(counts.packuments_done)
        )
    }

    /// Runs source → each partition: plan → fetch → build → commit.
    async fn flow(&self, summary: &mut SummaryBuilder) -> Result<()> {
        let options = &self.options;
        if let Doer::Dispatch(dispatch) = &self.doer
            && !options.dry_run
        {
            dispatch.begin(&self.name).await?;
        }
        if let Some(changes) = &options.changes {
            let set = read_partition_set(&options.store, &self.layout).await?.ok_or_else(|| {
                Error::lake(format!(
                    "the lake {} holds nothing of {} yet",
                    options.store.location(),
                    self.layout.name()
                ))
                .hint("fill it: all-docs ingest")
            })?;
            self.work_off(&Changes::new(&set, changes.clone(), &self.wanted), summary).await?;
            return self.judge.ending.outcome();
        }
        let mut scan = self.scan().await?;
        self.judge.set_sample(scan.take_sample());
        let warning = self.judge.listing(scan.losses(), scan.summary(), options.dry_run)?;
        summary.add_scan(scan.summary(), scan.partition_set(), warning);
        self.work_off(&scan, summary).await?;
        self.judge.ending.outcome()?;
        scan.end().await
    }

    /// Passes all work of a source to who does it.
    async fn work_off(&self, source: &impl Source, summary: &mut SummaryBuilder) -> Result<()> {
        self.progress.partitions_total.store(source.partition_count() as u64, Ordering::Relaxed);
        let waits = match &self.doer {
            Doer::Dispatch(dispatch) if !self.options.dry_run => {
                // The names are listed.
                self.asks_registry.store(false, Ordering::Relaxed);
                let place = Place { store: &self.options.store, layout: &self.layout, run: &self.name };
                return hand_out(&self.worker, source, dispatch.as_ref(), place, &self.progress, summary).await;
            }
            Doer::OwnUnlessHeld => false,
            Doer::Own | Doer::Dispatch(_) => true,
        };
        let place = (&self.options.store, &self.layout);
        work_off(&self.worker, source, place, &self.judge, waits, |report| summary.add(report)).await
    }
}
