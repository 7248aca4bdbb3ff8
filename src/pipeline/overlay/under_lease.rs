//! What a command does beside other processes, under a lease: the fold of a partition, and work in place of the overlay's writer.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::fold::Fold;
use super::record::WRITER;
use crate::commit::read_manifest;
use crate::error::{Error, Result};
use crate::lake::{OriginLayout, Partition};
use crate::pipeline::follow;
use crate::pipeline::lease::{Attempt, Lease, given_back};
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

/// Takes the lease of the overlay's writer for a command that is no follower. Waits while another such command has it.
///
/// Fails with [`crate::error::ErrorKind::Lake`] if a follower has it, and with
/// [`crate::error::ErrorKind::Interrupted`] after `stop`.
pub(in crate::pipeline) async fn writer_lease(
    store: &Store,
    layout: &OriginLayout,
    purpose: &str,
    stop: &CancellationToken,
) -> Result<Lease> {
    loop {
        match Lease::of_stem(store, layout, WRITER, purpose).await? {
            Attempt::Taken(lease) => return Ok(lease),
            Attempt::HeldBy(holder) if holder.purpose == follow::PURPOSE => {
                let (name, process, host) = (layout.name(), holder.process_id, holder.host);
                return Err(Error::lake(format!("process {process} on {host} follows {name} in {}", store.location()))
                    .hint("end that follower, and run the same command again"));
            }
            Attempt::HeldBy(_) => {
                let stems = [WRITER.to_owned()].into();
                let waiting = stop.run_until_cancelled(given_back(store, layout, &stems)).await;
                waiting.ok_or_else(Error::interrupted)??;
            }
        }
    }
}
