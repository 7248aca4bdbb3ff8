//! Copy: brings a second lake to the state of a first one, partition by partition.
//!
//! The manifests of both say what differs. A partition is copied under its lease in the copy, and committed like that of
//! an ingest, so that a reader of the copy sees old or new shards, and a stopped run resumes. The lake that is copied is
//! only read, without a lease: a shard that is not as its manifest says is read again with the manifest that replaced
//! it. Not here: the bytes of a shard (`encode`), and the order in which shards become visible (`commit`).

#[cfg(feature = "array")]
mod arrays;
mod cut;
mod cut_from;
mod cut_set;
mod ends;
mod events;
mod origins;
mod overlay;
mod partition;
mod plan;
mod queries;
mod shards;
mod summary;
#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use futures::{Stream, StreamExt, stream};
use tokio_util::sync::CancellationToken;

use self::ends::Ends;
use self::origins::{Origin, origins_to_copy};
use self::partition::{Begun, Ended, PURPOSE, Work};
use self::plan::Plan;
use self::queries::copy_queries;
pub use self::summary::{CopyOptions, CopySummary};
use super::lease::{Lease, given_back, refuse_locked};
use super::open::{check_moves, forget_age, note_age, open_lake, read_lake, sweep};
use super::open_files::OpenFiles;
use super::progress::Progress;
use super::run::{RunReporter, sweep_dead};
use super::status::read_partition_set;
use crate::commit::read_manifests;
use crate::error::{Doing, ErrorKind, Result};
use crate::lake::PartitionSet;
use crate::store::Store;
use crate::table::TableKind;

/// Partitions that are copied at once: a stream of a bucket gives some 20 MB a second, so these fill a fast line, and a
/// scratch folder holds no more than these.
const PARTITIONS_AT_ONCE: usize = 8;
/// The open files of a partition in progress: a shard that is read, one that is written, and a few records.
const FILES_PER_PARTITION: usize = 6;
/// The open files of a cut in progress: the shards of the last two partitions that were read, one that is written, and a
/// few records. A shard of each delta comes on top.
const FILES_PER_CUT: usize = 2 * TableKind::ALL.len() + 6;
/// Runs of consecutive partitions for each core. The last partition that a run reads is read again by the next run, and a
/// long run at the end would keep the other cores waiting.
const RUNS_PER_CORE: usize = 4;

/// The partition sets of an origin.
struct Sets {
    /// That of the lake that is copied.
    from: PartitionSet,
    /// That of the copy.
    to: PartitionSet,
}

/// Copies the lake `from` into `to`, so that `to` holds the same partitions with the same shards. `stop` ends it early
/// and cleanly: committed partitions stay, and the summary says that it was stopped.
///
/// Fails with [`ErrorKind::Lake`] if there is no lake to copy, if `to` holds something else, another registry under the
/// same name or other partitions, if `to` is being followed, if a newer version wrote one of the two, and if a shard of `from`
/// is damaged. Fails with [`ErrorKind::Input`] if one of the two is in the other. Then nothing has been changed.
pub async fn copy(
    from: &Store,
    to: &Store,
    options: &CopyOptions,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<CopySummary> {
    let started = Instant::now();
    let mut summary = CopySummary {
        source: from.location(),
        lake: to.location(),
        dry_run: options.dry_run,
        ..CopySummary::default()
    };
    let origins = origins_to_copy(from, to, options).await?;
    if !options.dry_run {
        for origin in &origins {
            check_moves(to, &origin.layout).await?;
        }
        for origin in &origins {
            open_lake(to, origin.layout.name(), &origin.urls).await?;
            if !read_lake(from).await?.is_some_and(|info| info.is_current(origin.layout.name())) {
                forget_age(to, origin.layout.name()).await?;
            }
        }
        sweep(to).await?;
    }
    summary.queries_copied = copy_queries(from, to, options.dry_run).await?;
    let mut origins = origins.into_iter().peekable();
    while let Some(origin) = origins.next_if(|_| !stop.is_cancelled()) {
        let ends = Ends::new(from, to, &origin.layout, &progress, stop.child_token());
        let name = ends.layout.name().to_owned();
        reported_origin(&ends, &origin, options, &mut summary).await.doing(|| format!("copying {name}"))?;
        if !options.dry_run {
            note_age(&ends.to, &name, &read_manifests(&ends.to, &ends.layout).await?).await?;
        }
        summary.origins.push(name);
    }
    let done = summary.partitions_copied + summary.partitions_current + summary.partitions_removed;
    let is_rest_left = done < summary.partitions_total || origins.peek().is_some();
    summary.interrupted |= stop.is_cancelled() && is_rest_left;
    summary.counts = progress.snapshot();
    summary.elapsed = started.elapsed();
    Ok(summary)
}

/// Copies an origin, and reports the progress in the copy meanwhile.
async fn reported_origin(ends: &Ends, origin: &Origin, options: &CopyOptions, summary: &mut CopySummary) -> Result<()> {
    if options.dry_run {
        return copy_origin(ends, origin, options, summary).await;
    }
    refuse_locked(&ends.to, &ends.layout).await?;
    sweep_dead(&ends.to, &ends.layout).await?;
    let progress = Arc::clone(&ends.progress);
    let reporter = RunReporter::start(ends.to.clone(), &ends.layout, PURPOSE, progress, None).await?;
    let result = copy_origin(ends, origin, options, summary).await;
    // The first error is the one to report. Processes that worked on the same origin may have died meanwhile.
    let ended = reporter.end().await.and(sweep_dead(&ends.to, &ends.layout).await);
    result.and(ended)
}

async fn copy_origin(ends: &Ends, origin: &Origin, options: &CopyOptions, summary: &mut CopySummary) -> Result<()> {
    if !options.dry_run {
        summary.commits_recovered += ends.recovery().of_unheld(PURPOSE).await?;
    }
    if let Some(from) = read_partition_set(&ends.from, &ends.layout).await? {
        let sets = Sets { to: origin.partition_set(ends, &from, options).await?, from };
        copy_base_and_overlay(ends, &sets, options, summary).await?;
    }
    if !ends.stop.is_cancelled() {
        events::copy_events(ends, options, summary).await.doing(|| "copying the events".to_owned())?;
    }
    #[cfg(feature = "array")]
    if !ends.stop.is_cancelled() {
        arrays::copy_arrays(ends, options, summary).await.doing(|| "copying the arrays".to_owned())?;
    }
    Ok(())
}

/// Copies the tables with the overlay, under the lease of the copy's writer of the overlay if that is needed.
async fn copy_base_and_overlay(
    ends: &Ends,
    sets: &Sets,
    options: &CopyOptions,
    summary: &mut CopySummary,
) -> Result<()> {
    if options.dry_run {
        return copy_tables(ends, sets, options, summary).await;
    }
    let writer = overlay::writer_if_needed(ends, options).await?;
    let watch = writer.as_ref().map(Lease::watch);
    let copied = async {
        let done = |summary: &CopySummary| summary.partitions_copied + summary.partitions_removed;
        let before = done(summary);
        if !options.is_cut() {
            overlay::copy_with_overlay(ends, sets, options, summary, watch.as_ref()).await?;
        } else {
            copy_tables(ends, sets, options, summary).await?;
            if !ends.stop.is_cancelled() {
                // The partitions have the newest rows. An overlay there is of a follower of the copy.
                overlay::put_record(ends, None, watch.as_ref()).await?;
            }
        }
        if done(summary) > before {
            // A follower that began meanwhile noted a place that belongs to other contents.
            ends.to.delete(&ends.layout.follow()).await?;
        }
        Ok(())
    };
    let copied = Box::pin(copied).await;
    match writer {
        Some(writer) => writer.end_after(copied).await,
        None => copied,
    }
}

async fn copy_tables(ends: &Ends, sets: &Sets, options: &CopyOptions, summary: &mut CopySummary) -> Result<()> {
    let is_cut = options.is_cut();
    let plan = match is_cut {
        true => Plan::of_cut(ends, &sets.from, &sets.to).await?,
        false => Plan::of(ends, &sets.to).await?,
    };
    let total = plan.current + plan.work.len() as u64;
    summary.partitions_total += total;
    summary.partitions_current += plan.current;
    let progress = &ends.progress;
    Progress::add(&progress.partitions_total, total);
    Progress::add(&progress.partitions_done, plan.current);
    Progress::add(&progress.partitions_unchanged, plan.current);
    Progress::add(&progress.shard_bytes_planned, plan.bytes);
    if options.dry_run {
        summary.partitions_removed += plan.to_remove;
        summary.partitions_copied += plan.work.len() as u64 - plan.to_remove;
        summary.shards_copied += plan.shards;
        summary.bytes_copied += if is_cut { 0 } else { plan.bytes };
        return Ok(());
    }
    let mut left = plan.work;
    if !left.is_empty() {
        // The places of the feed there belong to other contents.
        ends.to.delete(&ends.layout.follow()).await?;
    }
    while !left.is_empty() && !ends.stop.is_cancelled() {
        let held = match is_cut {
            true => cut_partitions(ends, &sets.from, left, summary).await?,
            false => copy_partitions(ends, left, summary).await?,
        };
        let stems: BTreeSet<String> = held.iter().map(|work| work.partition.file_stem()).collect();
        // Another process works on them, and may copy them itself.
        let waiting = given_back(&ends.to, &ends.layout, &stems);
        match ends.stop.run_until_cancelled(waiting).await {
            Some(given_back) => drop(given_back?),
            None => break,
        }
        left = held;
    }
    Ok(())
}

/// Copies partitions, some at once. Returns those that another process holds. Each partition that has begun runs to its
/// end, so nothing is written after the leases are given back.
async fn copy_partitions(ends: &Ends, work: Vec<Work>, summary: &mut CopySummary) -> Result<Vec<Work>> {
    let at_once = OpenFiles::of_process().at_once(FILES_PER_PARTITION, PARTITIONS_AT_ONCE);
    let copies = work.into_iter().map(|work| copy_partition(ends, work));
    collect(ends, stream::iter(copies).buffer_unordered(at_once), summary).await
}

async fn copy_partition(ends: &Ends, work: Work) -> Result<Ended> {
    match ends.begin(work).await? {
        Begun::HeldBy(work) => Ok(Ended::Held(work)),
        Begun::Taken(begun) => {
            let staged = ends.stage(begun.partition(), begun.in_place().cloned()).await;
            ends.end(begun, staged).await
        }
    }
}

/// Cuts partitions anew, a run of consecutive ones on each core. Returns those that another process holds.
async fn cut_partitions(
    ends: &Ends,
    source: &PartitionSet,
    work: Vec<Work>,
    summary: &mut CopySummary,
) -> Result<Vec<Work>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let files = FILES_PER_CUT + ends.overlay.view().await?.deltas.len();
    let at_once = OpenFiles::of_process().at_once(files, cores);
    let run_length = work.len().div_ceil(at_once * RUNS_PER_CORE).max(1);
    let runs: Vec<Vec<Work>> = work.chunks(run_length).map(<[Work]>::to_vec).collect();
    let cuts = runs.into_iter().map(|run| ends.cut_in_order(source, run));
    let results = stream::iter(cuts).buffer_unordered(at_once).flat_map(stream::iter);
    collect(ends, results, summary).await
}

/// Waits for all partitions. Returns those that another process holds. Fails with the first error, which stops the rest.
async fn collect(
    ends: &Ends,
    results: impl Stream<Item = Result<Ended>>,
    summary: &mut CopySummary,
) -> Result<Vec<Work>> {
    let mut results = pin!(results);
    let (mut held, mut failure) = (Vec::new(), None);
    while let Some(result) = results.next().await {
        match result {
            Ok(ended) => held.extend(count(ended, summary)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                ends.stop.cancel();
                failure.get_or_insert(error);
            }
        }
    }
    failure.map_or(Ok(held), Err)
}

/// Counts a partition. Returns it if another process holds it.
fn count(ended: Ended, summary: &mut CopySummary) -> Option<Work> {
    match ended {
        Ended::Copied { shards, bytes } => {
            summary.partitions_copied += 1;
            summary.shards_copied += shards;
            summary.bytes_copied += bytes;
        }
        Ended::Current => summary.partitions_current += 1,
        Ended::Removed => summary.partitions_removed += 1,
        Ended::Held(work) => return Some(work),
    }
    None
}
