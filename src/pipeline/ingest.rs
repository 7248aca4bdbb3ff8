//! Ingest: the wiring of the river, from pivots to committed partitions.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures::TryStreamExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bounds::Bounds;
use super::build::{PartitionJob, build};
use super::ending::Ending;
use super::lease::{Lease, LeaseWatch};
use super::losses::{PartitionLoss, disbelief, unbelievable};
use super::open::{open_lake, read_lake, sweep};
use super::options::IngestOptions;
use super::plan::{Previous, Wanted, plan};
use super::progress::Progress;
use super::run::{RunReporter, keep_budget, restore_budget};
use super::summary::{IngestSummary, PlannedPartition, ScanSummary};
use super::survey::{Survey, survey};
use crate::commit::{commit, read_manifest, recover};
use crate::diff::Selection;
use crate::error::{Context, Doing, Error, ErrorKind, Result};
use crate::fetch::{ByteBudget, Fetched, StagedAnswers, fetch};
use crate::lake::{Layout, Manifest, OriginLayout, Partition, PartitionSet, TableKind};
use crate::npm::{DocRow, Outcome};
use crate::store::{Store, blocking};

/// Names in a row that get no answer at all before the run stops: the network is gone, not a package.
const MAX_UNANSWERED_IN_A_ROW: u64 = 100;
/// Unlisted names that a summary shows.
const UNLISTED_NAMES_SHOWN: usize = 10;

/// Brings a lake to what a registry lists: scans it, compares, fetches what differs, and commits partition by
/// partition. `stop` ends it early and cleanly: what is committed stays, and the summary says so.
///
/// One process at a time writes an origin: fails with [`ErrorKind::Lake`] while another one does. Drop the future, and
/// the lock stays for a minute; use `stop` instead.
pub async fn ingest(options: IngestOptions, progress: Arc<Progress>, stop: CancellationToken) -> Result<IngestSummary> {
    let started = Instant::now();
    let layout = Layout::origin(&options.registry.origin().name);
    let store = options.store.clone();
    restore_budget(&store, &options.registry).await?;
    stop.run_until_cancelled(options.registry.info()).await.unwrap_or_else(|| Err(Error::interrupted()))?;
    if options.dry_run {
        let river = Arc::new(River::new(options, layout, progress, None));
        let outcome = river.run(&stop).await;
        // A dry run changes no lake, but what it asked counts in the month of one that is there.
        if read_lake(&store).await?.is_some() {
            keep_budget(&store, &river.options.registry).await?;
        }
        let is_interrupted = outcome?;
        return Ok(river.summary(is_interrupted, 0, started));
    }
    open_lake(&store, layout.name(), &options.origin_info).await?;
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
    let (store, registry) = (options.store.clone(), options.registry.clone());
    let reporter = RunReporter::start(store, layout.clone(), registry, Arc::clone(&progress));
    let river = Arc::new(River::new(options, layout, progress, Some(lease)));
    let result = river.run(stop).await;
    let reported = reporter.end().await;
    let is_interrupted = result?;
    reported?;
    Ok(river.summary(is_interrupted, commits_recovered, started))
}

/// One ingest under way.
struct River {
    options: IngestOptions,
    layout: OriginLayout,
    wanted: Wanted,
    progress: Arc<Progress>,
    /// The right to write; `None` for a dry run, which writes nothing.
    lease: Option<LeaseWatch>,
    bounds: Bounds,
    budget: ByteBudget,
    large_documents: Arc<Mutex<()>>,
    builders: TaskTracker,
    commits: TaskTracker,
    unanswered_in_a_row: AtomicU64,
    ending: Arc<Ending>,
    notes: Mutex<Notes>,
}

/// What the summary says beyond the counters.
#[derive(Default)]
struct Notes {
    scan: ScanSummary,
    unlisted_names: Vec<String>,
    unlisted_count: u64,
    overgrown: Vec<(String, u64)>,
    plan: Vec<PlannedPartition>,
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
            commits: TaskTracker::new(),
            unanswered_in_a_row: AtomicU64::new(0),
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
        // Builders and commits that have begun run to their end, whatever became of the rest: a builder ends as soon as
        // no answer comes any more, and stages what it has.
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

    async fn partition(self: Arc<Self>, set: Arc<PartitionSet>, index: usize, rows: Vec<DocRow>) -> Result<()> {
        let partition = set.get(index);
        let row_count = rows.len() as u64;
        if set.rows_per_partition.is_some_and(|rows| row_count > rows * 2) {
            self.with_notes(|notes| notes.overgrown.push((partition.file_stem(), row_count)));
        }
        let previous = read_manifest(&self.options.store, &self.layout, &partition).await?;
        let river = Arc::clone(&self);
        let job = blocking("a partition's plan", move || river.prepare(partition, previous, rows)).await?;
        self.note_plan(&job);
        if self.options.dry_run || job.plan.is_unchanged() {
            if !self.options.dry_run {
                Progress::add(&self.progress.partitions_unchanged, 1);
                self.clear_answers(&job.partition, false).await?;
            }
            Progress::add(&self.progress.partitions_done, 1);
            return Ok(());
        }
        let partition = job.partition.clone();
        // Only where documents are written is it known what is staged.
        let uses_all_staged = job.plan.writes_documents() && job.staged.is_covered_by(&job.plan.fetch);
        let manifest = match self.fetch_and_build(job).await {
            // What came in is staged.
            Err(error) if error.kind() == ErrorKind::Interrupted && self.ending.has_begun() => return Ok(()),
            built => built?,
        };
        if let Some(lease) = &self.lease {
            lease.confirm().await?;
        }
        let river = Arc::clone(&self);
        let committed = self.commits.spawn(async move { commit(&river.options.store, &river.layout, &manifest).await });
        committed.await.or_error(ErrorKind::Internal, || "a commit's task died".to_owned())??;
        self.clear_answers(&partition, uses_all_staged).await?;
        Progress::add(&self.progress.partitions_done, 1);
        Ok(())
    }

    /// Removes the answers that are staged for a partition where each is used, or out of date because this run wanted
    /// every document. One that wanted less leaves them to the next that wants more.
    async fn clear_answers(&self, partition: &Partition, uses_all_staged: bool) -> Result<()> {
        if uses_all_staged || self.options.selection == Selection::All {
            self.options.store.delete_folder(&self.layout.partition_staging(partition)).await?;
        }
        Ok(())
    }

    /// Plans a partition and opens what it held. Blocks.
    fn prepare(&self, partition: Partition, previous: Option<Manifest>, rows: Vec<DocRow>) -> Result<PartitionJob> {
        let (store, layout) = (self.options.store.clone(), self.layout.clone());
        let before = Previous { store: &store, layout: &layout, partition: &partition, manifest: previous.as_ref() };
        let plan = plan(&before, &rows, &self.wanted)?;
        let mut previous_shards = BTreeMap::new();
        let mut staged = StagedAnswers::default();
        if plan.writes_documents() && !self.options.dry_run {
            for table in TableKind::OF_DOCUMENTS.into_iter().chain([TableKind::Outcomes]) {
                if let Some(file) = before.open(table)? {
                    previous_shards.insert(table, file);
                }
            }
            staged = StagedAnswers::open(&store, &layout, &partition)?;
        }
        let (representation, max_document_bytes) = (self.wanted.representation, self.wanted.max_document_bytes);
        let progress = Arc::clone(&self.progress);
        let large_documents = Arc::clone(&self.large_documents);
        Ok(PartitionJob {
            store,
            layout,
            partition,
            rows,
            plan,
            representation,
            max_document_bytes,
            previous,
            staged,
            segment: self.bounds.segment,
            previous_shards,
            progress,
            large_documents,
        })
    }

    /// Runs the requests and the builder of one partition side by side, until both have ended.
    async fn fetch_and_build(&self, job: PartitionJob) -> Result<Manifest> {
        let representation = job.representation;
        let ending = Arc::clone(&self.ending);
        let items = job.items_to_ask_for().into_iter().take_while(move |_| !ending.has_begun());
        let (sender, receiver) = mpsc::channel(self.bounds.fetched_per_partition);
        // Tracked, because it runs on when this future is dropped: the run must not end before it has.
        let builder = self.builders.spawn_blocking(move || build(job, receiver));
        let lane = self.budget.lane();
        let concurrency = self.bounds.requests_per_partition;
        let mut answers = fetch(self.options.registry.clone(), representation, items, lane, concurrency);
        while let Some(fetched) = answers.try_next().await? {
            let Some(fetched) = self.check_fatal(fetched)? else { continue };
            if sender.send(fetched).await.is_err() {
                // The builder has ended early; its error is the story.
                break;
            }
        }
        drop(sender);
        builder.await.or_error(ErrorKind::Internal, || "a partition's builder died".to_owned())?
    }

    /// A failure that says something about the whole run, not about one name, ends the run; one that only forbids further
    /// requests is `None`, and ends it when what is in flight has come.
    fn check_fatal(&self, mut fetched: Fetched) -> Result<Option<Fetched>> {
        let failure = match fetched.response {
            Err(failure) if failure.outcome.is_none() => {
                let error = failure.error.doing(format!("fetching {}", fetched.item.name));
                if error.kind() != ErrorKind::RateLimit {
                    return Err(error);
                }
                self.ending.begin(error);
                return Ok(None);
            }
            Err(failure) => failure,
            Ok(_) => {
                self.unanswered_in_a_row.store(0, Ordering::Relaxed);
                return Ok(Some(fetched));
            }
        };
        if failure.http_status.is_none() && failure.outcome == Some(Outcome::Failed) {
            let unanswered = self.unanswered_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
            if unanswered >= MAX_UNANSWERED_IN_A_ROW {
                return Err(Error::network(format!("the registry gave no answer for {unanswered} names in a row"))
                    .hint("see whether it is up; the same command goes on where this one stopped"));
            }
        }
        fetched.response = Err(failure);
        Ok(Some(fetched))
    }

    fn note_plan(&self, job: &PartitionJob) {
        let plan = &job.plan;
        let progress = &self.progress;
        Progress::add(&progress.names_added, plan.counts.added);
        Progress::add(&progress.names_changed, plan.counts.changed);
        Progress::add(&progress.names_removed, plan.counts.removed);
        Progress::add(&progress.names_without_document, plan.without_document);
        Progress::add(&progress.packuments_planned, plan.fetch.len() as u64);
        Progress::add(&progress.rows_planned, job.rows.len() as u64);
        self.with_notes(|notes| {
            notes.unlisted_count += plan.unlisted.len() as u64;
            for name in &plan.unlisted {
                if notes.unlisted_names.len() < UNLISTED_NAMES_SHOWN {
                    notes.unlisted_names.push(name.to_string());
                }
            }
            if self.options.dry_run && !plan.is_unchanged() {
                notes.plan.push(PlannedPartition::of(job));
            }
        });
    }

    fn with_notes<T>(&self, change: impl FnOnce(&mut Notes) -> T) -> T {
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
