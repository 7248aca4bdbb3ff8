//! Folds one partition as a command of its own: takes its lease, and ends what a dead process has begun there.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::fold::Fold;
use crate::commit::read_manifest;
use crate::error::Result;
use crate::lake::{OriginLayout, Partition};
use crate::pipeline::lease::{Attempt, Lease};
use crate::pipeline::rebuild::{self, rebuild_partition};
use crate::pipeline::recovery::Recovery;
use crate::store::Store;

/// Folds a partition under its lease, for a command. Returns of how many names; `None` if another process works on it.
pub(in crate::pipeline) async fn fold_under_lease(
    store: &Store,
    layout: &OriginLayout,
    fold: &Fold,
    partition: &Partition,
    purpose: &str,
    stop: &CancellationToken,
) -> Result<Option<u64>> {
    let lease = match Lease::of_partition(store, layout, partition, purpose).await? {
        Attempt::Taken(lease) => lease,
        Attempt::HeldBy(_) => return Ok(None),
    };
    let watch = lease.watch();
    let folded = async {
        Recovery::of(store, layout).settle(partition, &watch).await?;
        if read_manifest(store, layout, partition).await?.is_some_and(|manifest| manifest.is_old()) {
            // One partition never has shards of two versions beside each other.
            let run = rebuild::Run {
                store: store.clone(),
                layout: layout.clone(),
                wanted: rebuild::Wanted::default(),
                progress: Arc::default(),
                stop: stop.clone(),
                large_documents: Arc::default(),
            };
            rebuild_partition(&run, partition, &watch).await?;
        }
        fold.partition(partition, &watch).await
    };
    let folded = Box::pin(folded).await;
    lease.end_after(folded).await.map(Some)
}
