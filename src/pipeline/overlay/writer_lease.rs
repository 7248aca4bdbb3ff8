//! The lease of the overlay's writer for commands that are no followers: they take it for a while, and refuse a lake that is
//! followed.

use tokio_util::sync::CancellationToken;

use super::record::WRITER;
use crate::error::{Error, Result};
use crate::lake::{LockRecord, OriginLayout};
use crate::pipeline::lease::{Attempt, Lease, given_back, live_holder};
use crate::store::Store;

/// The purpose for which a follower has the lease, for as long as it runs.
pub(in crate::pipeline) const FOLLOWER: &str = "follow";

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
            Attempt::HeldBy(holder) => {
                refuse_follower(store, layout, &holder)?;
                let stems = [WRITER.to_owned()].into();
                let waiting = stop.run_until_cancelled(given_back(store, layout, &stems)).await;
                waiting.ok_or_else(Error::interrupted)??;
            }
        }
    }
}

/// Fails with [`crate::error::ErrorKind::Lake`] while an origin is followed.
pub(in crate::pipeline) async fn refuse_followed(store: &Store, layout: &OriginLayout) -> Result<()> {
    match live_holder(store, &layout.lease_of(WRITER)).await? {
        Some(holder) => refuse_follower(store, layout, &holder),
        None => Ok(()),
    }
}

fn refuse_follower(store: &Store, layout: &OriginLayout, holder: &LockRecord) -> Result<()> {
    if holder.purpose != FOLLOWER {
        return Ok(());
    }
    let (name, process, host) = (layout.name(), holder.process_id, &holder.host);
    Err(Error::lake(format!("process {process} on {host} follows {name} in {}", store.location()))
        .hint("end that follower, and run the same command again"))
}
