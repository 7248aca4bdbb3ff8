//! Rebuild: makes the tables of a lake again from its raw documents, partition by partition, without requests.
//!
//! Each partition is rebuilt on one blocking thread, and as many run at once as there are cores. The commit is that of
//! an ingest. A committed partition is not rebuilt again, so an interrupted run resumes where it stopped. Not here: the
//! bytes of a table (`table/`, `encode/`), and the order in which shards become visible (`commit`).

pub(super) mod build;
mod plan;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use self::build::Task;
pub(super) use self::plan::Wanted;
use super::lease::{Attempt, Lease, LeaseWatch, given_back, refuse_locked};
use super::lost::listed_sizes;
use super::open::{check_moves, no_lake, note_age, raise_lake, read_lake, sweep};
use super::open_files::OpenFiles;
use super::overlay::{Fold, renew_under_lease};
use super::progress::{Progress, ProgressSnapshot};
use super::recovery::Recovery;
use super::run::{RunReporter, sweep_dead};
use super::summary::seconds;
use crate::commit::{Change, Right, clear_staging, commit, read_manifests};
use crate::error::{Context, Doing, Error, ErrorKind, Result};
use crate::lake::{Layout, Manifest, OriginLayout, Partition, Record};
use crate::store::{Store, blocking};
use crate::table::TableKind;

/// The command for which leases are taken.
const PURPOSE: &str = "rebuild";

/// The open files of a partition in progress: its new shards, one that is read, and a record.
const FILES_PER_PARTITION: usize = TableKind::ALL.len() + 4;

/// The settings of a rebuild.
#[derive(Debug, Clone, Default)]
pub struct RebuildOptions {
    /// The origin; `None` for every origin of the lake.
    pub origin: Option<String>,
    /// The tables to rebuild, besides all tables of a partition that have the schema of an earlier version. Empty for
    /// all tables.
    pub tables: BTreeSet<TableKind>,
    /// Whether shards of this version are rebuilt too.
    pub force: bool,
}

/// The result of a rebuild.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct RebuildSummary {
    /// The origins.
    pub origins: Vec<String>,
    /// The location of the lake.
    pub lake: String,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// Partitions that are committed.
    pub partitions_total: u64,
    /// Partitions that were rebuilt.
    pub partitions_rebuilt: u64,
    /// Partitions whose wanted shards all had this version already.
    pub partitions_current: u64,
    /// Partitions whose interrupted commit was rolled forward at the start.
    pub commits_recovered: u64,
    /// All counters.
    pub counts: ProgressSnapshot,
    /// How long it took, in seconds.
    #[serde(rename = "elapsed_seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
}

/// Rebuilds the tables of a lake from its raw documents. `stop` ends it early and cleanly: committed partitions stay,
/// and the summary says that it was stopped.
///
/// Fails with [`ErrorKind::Lake`] if there is no lake or no such origin, for a lake of a newer version, if another
/// process holds the lock of an origin, and if a needed shard is lost or damaged.
pub async fn rebuild(
    store: &Store,
    options: &RebuildOptions,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<RebuildSummary> {
    let started = Instant::now();
    let info = read_lake(store).await?.ok_or_else(|| no_lake(&store.location()))?;
    if let Some(unknown) = options.origin.as_ref().filter(|name| !info.origins.contains_key(*name)) {
        let known: Vec<&str> = info.origins.keys().map(String::as_str).collect();
        return Err(Error::lake(format!("the lake {} holds no origin {unknown}", store.location()))
            .hint(format!("it holds {}", known.join(", "))));
    }
    let tables = if options.tables.is_empty() { TableKind::ALL.into() } else { options.tables.clone() };
    let mut summary = RebuildSummary { lake: store.location(), ..RebuildSummary::default() };
    let is_wanted = |name: &String| options.origin.as_ref().is_none_or(|wanted| wanted == name);
    let names: Vec<String> = info.origins.into_keys().filter(is_wanted).collect();
    for name in &names {
        check_moves(store, &Layout::origin(name)).await?;
    }
    raise_lake(store).await?;
    let mut names = names.into_iter().peekable();
    while let Some(name) = names.next_if(|_| !stop.is_cancelled()) {
        let layout = Layout::origin(&name);
        refuse_locked(store, &layout).await?;
        let run = Run {
            store: store.clone(),
            layout,
            wanted: Wanted { tables: tables.clone(), force: options.force },
            progress: Arc::clone(&progress),
            stop: stop.child_token(),
            large_documents: Arc::default(),
        };
        run.reported_origin(&mut summary).await.doing(|| format!("rebuilding {name}"))?;
        note_age(store, &name, &read_manifests(store, &run.layout).await?).await?;
        summary.origins.push(name);
    }
    let is_rest_left = summary.partitions_rebuilt + summary.partitions_current < summary.partitions_total;
    summary.interrupted = stop.is_cancelled() && (is_rest_left || names.peek().is_some());
    summary.counts = progress.snapshot();
    summary.elapsed = started.elapsed();
    Ok(summary)
}

/// A rebuild in progress of one origin, or of one of its partitions.
#[derive(Clone)]
pub(super) struct Run {
    pub(super) store: Store,
    pub(super) layout: OriginLayout,
    pub(super) wanted: Wanted,
    pub(super) progress: Arc<Progress>,
    /// Cancelled to end the run: by its caller, and by the first failure.
    pub(super) stop: CancellationToken,
    /// Held while a large document becomes rows.
    pub(super) large_documents: Arc<Mutex<()>>,
}

impl Run {
    fn recovery(&self) -> Recovery {
        let Run { store, layout, stop, large_documents, .. } = self.clone();
        Recovery { store, layout, stop, large_documents }
    }

    /// Rebuilds an origin, and reports the progress meanwhile.
    async fn reported_origin(&self, summary: &mut RebuildSummary) -> Result<()> {
        sweep(&self.store).await?;
        sweep_dead(&self.store, &self.layout).await?;
        let progress = Arc::clone(&self.progress);
        let reporter = RunReporter::start(self.store.clone(), &self.layout, PURPOSE, progress, None).await?;
        let result = self.origin(summary).await;
        // The first error is the one to report. Processes that worked on the same origin may have died meanwhile.
        let ended = reporter.end().await.and(sweep_dead(&self.store, &self.layout).await);
        result.and(ended)
    }

    async fn origin(&self, summary: &mut RebuildSummary) -> Result<()> {
        summary.commits_recovered += self.recovery().of_unheld(PURPOSE).await?;
        renew_under_lease(&self.store, &self.layout, &self.stop).await?;
        let manifests = read_manifests(&self.store, &self.layout).await?;
        summary.partitions_total += manifests.len() as u64;
        Progress::add(&self.progress.partitions_total, manifests.len() as u64);
        let partitions = self.plan(manifests).await?;
        summary.partitions_current += partitions.skipped;
        Progress::add(&self.progress.partitions_done, partitions.skipped);
        Progress::add(&self.progress.partitions_unchanged, partitions.skipped);
        let mut left = partitions.to_rebuild;
        while !left.is_empty() && !self.stop.is_cancelled() {
            let held = self.partitions(left, summary).await?;
            let stems: BTreeSet<String> = held.iter().map(Partition::file_stem).collect();
            // Another process works on them, and may rebuild them itself.
            let waiting = given_back(&self.store, &self.layout, &stems);
            match self.stop.run_until_cancelled(waiting).await {
                Some(given_back) => drop(given_back?),
                None => break,
            }
            left = held;
        }
        Ok(())
    }

    /// Rebuilds partitions, one on each core. Returns those that another process holds. Each partition that has begun
    /// runs to its end, so nothing is written after the leases are given back.
    async fn partitions(&self, partitions: Vec<Partition>, summary: &mut RebuildSummary) -> Result<Vec<Partition>> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // While a core makes a partition, the one before may wait for the disk.
        let at_once = OpenFiles::of_process().at_once(FILES_PER_PARTITION, 2 * cores);
        let free_cores = Arc::new(Semaphore::new(cores.min(at_once)));
        let (mut held, mut failure) = (Vec::new(), None);
        let work = partitions.into_iter().map(|partition| self.partition(partition, Arc::clone(&free_cores)));
        let mut work = stream::iter(work).buffer_unordered(at_once);
        while let Some(result) = work.next().await {
            match result {
                Ok(Ended::Rebuilt) => summary.partitions_rebuilt += 1,
                Ok(Ended::Current) => summary.partitions_current += 1,
                Ok(Ended::Held(partition)) => held.push(partition),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.stop.cancel();
                    failure.get_or_insert(error);
                }
            }
        }
        failure.map_or(Ok(held), Err)
    }

    /// Finds the partitions to rebuild, the largest first, and the amount of work. A large one at the end would keep one
    /// core busy alone.
    async fn plan(&self, mut manifests: Vec<Manifest>) -> Result<Partitions> {
        let sizes = listed_sizes(&self.store, &self.layout).await?;
        let raw_bytes = |manifest: &Manifest| {
            manifest.shards.get(TableKind::Packuments.as_str()).map_or(0, |shard| shard.size_bytes)
        };
        manifests.sort_by_key(|manifest| Reverse(raw_bytes(manifest)));
        let mut partitions = Partitions::default();
        for manifest in manifests {
            if self.wanted.of(&self.layout, &manifest, &sizes).is_empty() {
                partitions.skipped += 1;
                continue;
            }
            Progress::add(&self.progress.packuments_planned, manifest.rows(TableKind::Packuments));
            for rows in [&self.progress.rows_scanned, &self.progress.rows_planned] {
                Progress::add(rows, manifest.rows(TableKind::Docs));
            }
            partitions.to_rebuild.push(manifest.partition);
        }
        Ok(partitions)
    }

    /// Rebuilds a partition under its lease, when a core is free.
    async fn partition(&self, partition: Partition, free_cores: Arc<Semaphore>) -> Result<Ended> {
        let core = free_cores.acquire_owned().await.or_error(ErrorKind::Internal, || "no core is free".to_owned())?;
        if self.stop.is_cancelled() {
            return Err(Error::interrupted());
        }
        let lease = match Lease::of_partition(&self.store, &self.layout, &partition, PURPOSE).await? {
            Attempt::Taken(lease) => lease,
            Attempt::HeldBy(_) => return Ok(Ended::Held(partition)),
        };
        let watch = lease.watch();
        let result = async {
            self.recovery().settle(&partition, &watch).await?;
            let is_rebuilt = build_and_commit(self, &partition, &watch, Some(core)).await?;
            // The rows of the overlay are of this version.
            let folded = Fold::new(&self.store, &self.layout, self.stop.clone()).partition(&partition, &watch).await?;
            Ok(is_rebuilt || folded > 0)
        };
        let is_rebuilt = lease.end_after(result.await).await?;
        Progress::add(&self.progress.partitions_done, 1);
        Ok(if is_rebuilt { Ended::Rebuilt } else { Ended::Current })
    }
}

/// How the work on a partition ended.
enum Ended {
    Rebuilt,
    /// There was nothing left to do.
    Current,
    /// Another process works on it.
    Held(Partition),
}

/// The partitions of an origin.
#[derive(Default)]
struct Partitions {
    to_rebuild: Vec<Partition>,
    /// How many partitions need no work.
    skipped: u64,
}

/// Rebuilds the wanted tables of a partition and commits them. Returns whether there was anything to do. The caller
/// holds `lease`.
pub(super) async fn rebuild_partition(run: &Run, partition: &Partition, lease: &LeaseWatch) -> Result<bool> {
    build_and_commit(run, partition, lease, None).await
}

/// The same, on a core that is given back as soon as the shards only have to become durable.
async fn build_and_commit(
    run: &Run,
    partition: &Partition,
    lease: &LeaseWatch,
    core: Option<OwnedSemaphorePermit>,
) -> Result<bool> {
    if run.stop.is_cancelled() {
        return Err(Error::interrupted());
    }
    let path = run.layout.manifest(partition);
    let Some(base) = run.store.get(&path).await? else { return Ok(false) };
    let manifest = Manifest::from_json(&path, &base)?;
    let tables = run.wanted.of_opened(&run.store, &run.layout, &manifest).await?;
    if tables.is_empty() {
        return Ok(false);
    }
    let moved: Vec<TableKind> = tables.iter().copied().collect();
    let Run { store, layout, progress, stop, large_documents, .. } = run.clone();
    let task = Task { store, layout, manifest, tables, progress, stop, large_documents };
    let doing = || format!("rebuilding the partition {partition}");
    let manifest = match blocking("a partition's rebuild", move || task.build(core)).await.doing(doing) {
        Ok(manifest) => manifest,
        Err(error) => {
            // Without the lease, the staged files are those of another process. The first error is the one to report.
            if lease.confirm().await.is_ok() {
                let _ = clear_staging(&run.store, &run.layout, partition).await;
            }
            return Err(error);
        }
    };
    let change = Change { manifest, moved, base: Some(base) };
    let (store, layout, lease) = (run.store.clone(), run.layout.clone(), lease.clone());
    // Runs to its end, even if this future is dropped meanwhile.
    let committed = tokio::spawn(async move { commit(&store, &layout, &lease, &change).await }).await;
    committed.or_error(ErrorKind::Internal, || "a commit's task died".to_owned())??;
    Ok(true)
}
