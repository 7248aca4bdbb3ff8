//! Works off a source: passes its work to the worker until every partition is done. Not here: the source, and the work.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, future};

use super::judge::Judge;
use super::lease::given_back;
use super::report::{Ended, PartitionReport};
use super::source::Source;
use super::worker::Worker;
use crate::error::Result;
use crate::lake::OriginLayout;
use crate::store::Store;

/// Passes all work of a source to the worker, and each report to `take`. If it `waits`, it works on partitions that other
/// processes hold at first when they are given back.
pub(super) async fn work_off(
    worker: &Arc<Worker>,
    source: &impl Source,
    (store, layout): (&Store, &OriginLayout),
    judge: &Judge,
    waits: bool,
    mut take: impl FnMut(PartitionReport),
) -> Result<()> {
    let mut only = None;
    let mut held_by_others = BTreeSet::new();
    loop {
        let mut reports = source
            .work(only.take())
            .try_take_while(|_| future::ready(Ok(!judge.ending.has_begun())))
            .map_ok(|item| Arc::clone(worker).work(item))
            .try_buffer_unordered(worker.items_at_once());
        while let Some(report) = reports.next().await.transpose()? {
            match report.ended {
                Ended::HeldBy(_) => held_by_others.insert(report.stem.clone()),
                _ => held_by_others.remove(&report.stem),
            };
            take(report);
        }
        if held_by_others.is_empty() || !waits || judge.ending.has_begun() {
            return Ok(());
        }
        only = Some(given_back(store, layout, &held_by_others).await?);
    }
}
