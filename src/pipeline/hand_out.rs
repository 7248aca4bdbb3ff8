//! Hands out the work of a run: plans each partition, and passes those that have work to other processes, as items.
//!
//! Not here: the way of an item to a worker, and when it is tried again ([`Dispatch`]); and how a worker does one (`items`).

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::item_metrics::ItemMetrics;
use super::progress::{Progress, ProgressSnapshot};
use super::report::PartitionReport;
use super::source::Source;
use super::summary::SummaryBuilder;
use super::work::WorkItem;
use super::worker::Worker;
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{Item, ItemResult, OriginLayout, PartitionPayload, Payload};
use crate::store::Store;

/// Kept results that are removed at once.
const REMOVED_AT_ONCE: usize = 16;

/// A way to processes that do items.
#[async_trait]
pub trait Dispatch: Send + Sync {
    /// Returns how many items may be under way at once.
    fn at_once(&self) -> usize;

    /// Prepares for the items of a run, whose status is in the lake, before the registry is listed for it.
    ///
    /// Fails if somebody cannot do its items.
    async fn begin(&self, _run: &str) -> Result<()> {
        Ok(())
    }

    /// Hands out an item, and returns its result, whoever did it and however often it was tried. A result without
    /// success would be the same again.
    ///
    /// Fails if nobody can do it, or if `stop` is cancelled.
    async fn dispatch(&self, item: &Item, stop: &CancellationToken) -> Result<ItemResult>;
}

/// How the work on a partition ended.
enum Done {
    Unchanged(PartitionReport),
    /// The digest of the item, and what its result counts.
    ByOthers(String, ItemMetrics),
}

/// Where the work is done.
pub(super) struct Place<'a> {
    pub(super) store: &'a Store,
    pub(super) layout: &'a OriginLayout,
    /// The name of the run.
    pub(super) run: &'a str,
}

/// Passes the work of a source to `dispatch`, and each result to the summary. In the end the results that workers kept for
/// the run are removed.
pub(super) async fn hand_out(
    worker: &Arc<Worker>,
    source: &impl Source,
    dispatch: &dyn Dispatch,
    place: Place<'_>,
    progress: &Progress,
    summary: &mut SummaryBuilder,
) -> Result<()> {
    // A run that is stopped drops this future, and with it the token's guard.
    let stop = CancellationToken::new();
    let _guard = stop.clone().drop_guard();
    let pass = |work: WorkItem| pass_on(worker, work, dispatch, &place, &stop);
    let mut kept = Vec::new();
    let mut done = source.work(None).map_ok(pass).try_buffer_unordered(dispatch.at_once().max(1));
    while let Some(done) = done.next().await.transpose()? {
        match done {
            Done::Unchanged(report) => summary.add(report),
            Done::ByOthers(digest, metrics) => {
                kept.push(digest);
                progress.add_all(&of_work(&metrics.counts));
                summary.add_item(metrics);
            }
        }
    }
    let remove = |digest: String| async move { place.store.delete(&place.layout.item(&digest)).await };
    stream::iter(kept).map(remove).buffer_unordered(REMOVED_AT_ONCE).try_collect().await
}

async fn pass_on(
    worker: &Arc<Worker>,
    work: WorkItem,
    dispatch: &dyn Dispatch,
    place: &Place<'_>,
    stop: &CancellationToken,
) -> Result<Done> {
    let partition = work.partition.clone();
    if let Some(report) = worker.unless_work(work).await? {
        return Ok(Done::Unchanged(report));
    }
    let payload = PartitionPayload {
        start_key: partition.start.clone(),
        end_key: partition.end.clone(),
        partition_set_id: None,
        index: None,
        run: Some(place.run.to_owned()),
    };
    let item = Item::new(place.layout.name(), Payload::Partition(payload))?;
    let result = dispatch.dispatch(&item, stop).await?;
    if !result.success {
        return Err(failure(&result).doing(format!("a worker brought {partition} up to date")));
    }
    let metrics: ItemMetrics = serde_json::from_value(result.metrics).unwrap_or_default();
    match metrics.counts.partitions_done {
        0 => Err(Error::network(format!("a worker says that {} is done, and tells of no partition", item.id()))
            .hint("start workers of the same version of all-docs, and run the same command again")),
        _ => Ok(Done::ByOthers(item.digest(), metrics)),
    }
}

/// Returns the error that a result tells of.
fn failure(result: &ItemResult) -> Error {
    let Some(error) = &result.error else { return Error::internal("a worker failed, and did not say why") };
    let kind = match error.status_code {
        400..=499 if matches!(error.status_code, 401 | 403) => ErrorKind::Denied,
        429 => ErrorKind::RateLimit,
        400..=499 => ErrorKind::Input,
        502 => ErrorKind::Network,
        503 => ErrorKind::Lake,
        _ => ErrorKind::Internal,
    };
    Error::new(kind, error.message.clone())
}

/// Returns the counters of an item without those of its listing: the run that hands out has listed the same names.
fn of_work(counts: &ProgressSnapshot) -> ProgressSnapshot {
    ProgressSnapshot {
        ranges_total: 0,
        ranges_scanned: 0,
        rows_scanned: 0,
        rows_expected: 0,
        partitions_total: 0,
        ..*counts
    }
}
