//! Fold: takes the changes that an overlay has into the base of a lake, partition by partition, without requests. Each
//! partition is folded under its lease and committed like one of an ingest, so a stopped run resumes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::lease::{Attempt, Lease, given_back, refuse_locked};
use super::open::{check_moves, no_lake, raise_lake, read_lake, sweep};
use super::open_files::OpenFiles;
use super::overlay::{
    Fold, FoldPolicy, OverlayView, due_partitions, fold_under_lease, rows_of_base, sweep_deltas, trim,
};
use super::progress::{Progress, ProgressSnapshot};
use super::run::{RunReporter, sweep_dead};
use super::status::read_partition_set;
use super::summary::seconds;
use crate::error::{Doing, Error, ErrorKind, Result};
use crate::lake::{Layout, OriginLayout, Partition};
use crate::store::Store;
use crate::table::TableKind;

/// The command for which leases are taken.
const PURPOSE: &str = "fold";

/// The open files of a partition in progress: a shard that is read, one that is written, a shard of each delta, and a few
/// records.
const FILES_PER_PARTITION: usize = 64;

/// The settings of a fold.
#[derive(Debug, Clone)]
pub struct FoldOptions {
    /// The origin; `None` for every origin of the lake.
    pub origin: Option<String>,
    /// Which partitions are folded.
    pub policy: FoldPolicy,
}

/// The result of a fold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct FoldSummary {
    /// The origins.
    pub origins: Vec<String>,
    /// The location of the lake.
    pub lake: String,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// Partitions that were to be folded.
    pub partitions_total: u64,
    /// Partitions that were folded.
    pub partitions_folded: u64,
    /// Names whose rows were folded.
    pub names_folded: u64,
    /// Names that the overlay has left.
    pub names_left: u64,
    /// All counters.
    pub counts: ProgressSnapshot,
    /// How long it took, in seconds.
    #[serde(rename = "elapsed_seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
}

/// Folds the overlay of an origin, or of all, into the base. `stop` ends it early and cleanly: folded partitions stay, and
/// the summary says that it was stopped.
///
/// Fails with [`ErrorKind::Lake`] if there is no lake or no such origin, for a lake of a newer version, if another process
/// holds the lock of an origin, and if a shard is lost or damaged.
pub async fn fold(
    store: &Store,
    options: &FoldOptions,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<FoldSummary> {
    let started = Instant::now();
    let info = read_lake(store).await?.ok_or_else(|| no_lake(&store.location()))?;
    if let Some(unknown) = options.origin.as_ref().filter(|name| !info.origins.contains_key(*name)) {
        let known: Vec<&str> = info.origins.keys().map(String::as_str).collect();
        return Err(Error::lake(format!("the lake {} holds no origin {unknown}", store.location()))
            .hint(format!("it holds {}", known.join(", "))));
    }
    let is_wanted = |name: &String| options.origin.as_ref().is_none_or(|wanted| wanted == name);
    let names: Vec<String> = info.origins.into_keys().filter(is_wanted).collect();
    for name in &names {
        check_moves(store, &Layout::origin(name)).await?;
    }
    raise_lake(store).await?;
    let mut summary = FoldSummary { lake: store.location(), ..FoldSummary::default() };
    for name in names {
        if stop.is_cancelled() {
            break;
        }
        let layout = Layout::origin(&name);
        refuse_locked(store, &layout).await?;
        sweep(store).await?;
        sweep_dead(store, &layout).await?;
        let reporter = RunReporter::start(store.clone(), &layout, PURPOSE, Arc::clone(&progress), None).await?;
        let result = Box::pin(fold_origin(store, &layout, options.policy, &progress, &stop, &mut summary)).await;
        // The first error is the one to report. Processes that worked on the same origin may have died meanwhile.
        let ended = reporter.end().await.and(sweep_dead(store, &layout).await);
        result.and(ended).doing(|| format!("folding the overlay of {name}"))?;
        summary.origins.push(name);
    }
    summary.interrupted = stop.is_cancelled() && summary.partitions_folded < summary.partitions_total;
    summary.counts = progress.snapshot();
    summary.elapsed = started.elapsed();
    Ok(summary)
}

/// Folds all of the overlay of an origin, for a command that reads only the base.
#[cfg(feature = "array")]
pub(super) async fn fold_all(store: &Store, layout: &OriginLayout, stop: &CancellationToken) -> Result<()> {
    let progress = Arc::new(Progress::default());
    let mut summary = FoldSummary::default();
    Box::pin(fold_origin(store, layout, FoldPolicy::EVERYTHING, &progress, stop, &mut summary)).await
}

async fn fold_origin(
    store: &Store,
    layout: &OriginLayout,
    policy: FoldPolicy,
    progress: &Arc<Progress>,
    stop: &CancellationToken,
    summary: &mut FoldSummary,
) -> Result<()> {
    let Some(set) = read_partition_set(store, layout).await? else { return Ok(()) };
    let fold = Fold::new(store, layout, stop.clone());
    let view = fold.overlay.view().await?;
    if view.deltas.is_empty() {
        return Ok(());
    }
    let base_rows = rows_of_base(store, layout).await?;
    let now_us = jiff::Timestamp::now().as_microsecond();
    let mut left = due_partitions(&view, &set, &base_rows, policy, now_us);
    summary.partitions_total += left.len() as u64;
    Progress::add(&progress.partitions_total, left.len() as u64);
    while !left.is_empty() && !stop.is_cancelled() {
        let held = fold_partitions(store, layout, &fold, left, progress, stop, summary).await?;
        let stems: BTreeSet<String> = held.iter().map(Partition::file_stem).collect();
        // Another process works on them, and may fold them itself.
        match stop.run_until_cancelled(given_back(store, layout, &stems)).await {
            Some(given_back) => drop(given_back?),
            None => break,
        }
        left = held;
    }
    let view = fold.overlay.view().await?;
    trim(store, layout, &set, &view).await?;
    let view: OverlayView = fold.overlay.view().await?;
    summary.names_left += view.name_count();
    // The files of dead writers are swept, unless a writer is alive.
    if let Attempt::Taken(lease) = Lease::of_stem(store, layout, Layout::follow_lease(), PURPOSE).await? {
        let swept = sweep_deltas(store, layout).await;
        lease.end_after(swept).await?;
    }
    Ok(())
}

/// Folds partitions, one on each core. Returns those that another process holds.
async fn fold_partitions(
    store: &Store,
    layout: &OriginLayout,
    fold: &Fold,
    partitions: Vec<Partition>,
    progress: &Arc<Progress>,
    stop: &CancellationToken,
    summary: &mut FoldSummary,
) -> Result<Vec<Partition>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let at_once = OpenFiles::of_process().at_once(FILES_PER_PARTITION + TableKind::ALL.len(), cores);
    let failing = stop.child_token();
    let work = partitions.into_iter().map(|partition| {
        let stop = failing.clone();
        async move {
            if stop.is_cancelled() {
                return Err(Error::interrupted());
            }
            let folded = Box::pin(fold_under_lease(store, layout, fold, &partition, PURPOSE, &stop)).await?;
            Ok((partition, folded))
        }
    });
    let mut work = std::pin::pin!(stream::iter(work).buffer_unordered(at_once));
    let (mut held, mut failure) = (Vec::new(), None);
    while let Some(result) = work.next().await {
        match result {
            Ok((_, Some(names))) => {
                summary.partitions_folded += 1;
                summary.names_folded += names;
                Progress::add(&progress.partitions_done, 1);
            }
            Ok((partition, None)) => held.push(partition),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                failing.cancel();
                failure.get_or_insert(error);
            }
        }
    }
    failure.map_or(Ok(held), Err)
}
