//! Verify: checks a lake, and reports the faults of each file.
//!
//! Compares every shard with its manifest (rows, bytes, digest), its rows with their order and range, the tables with
//! each other, the folders with their expected files, and the lake metadata with the folders. It streams, changes
//! nothing and needs no lock: it reads files again that a running process replaces meanwhile. Not here: repairing the
//! faults (`repair`).

mod account;
#[cfg(feature = "array")]
mod arrays;
mod events;
mod files;
mod lake_metadata;
mod origin;
mod others;
mod overlay;
mod partition;
mod partition_set;
mod places;
mod proof;
mod quick;
mod records;
mod repair;
mod requests;
mod root_file;
mod salvage;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use self::lake_metadata::LakeMetadata;
use self::origin::{Lock, verify_origin};
use super::progress::Progress;
use crate::error::{Error, Result};
use crate::lake::Layout;
use crate::store::Store;

pub use overlay::repair_overlay;
pub(super) use partition::open_sound;
pub use proof::{Fault, Finding, LakeProof, OriginProof};
pub use quick::verify_quickly;
pub use repair::{Mending, prepare_repair, repair_records};

/// Checks a lake: the files in its root, and every origin or the named one. `stop` ends it early with an error of kind
/// Interrupted.
///
/// Fails with [`crate::error::ErrorKind::Lake`] if there is no lake or no such origin, for a lake of a newer version,
/// and if the store cannot be read at all. A fault of a file is not a failure but a finding.
pub async fn verify(
    store: &Store,
    origin: Option<&str>,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<LakeProof> {
    let work = async {
        let page = LakeMetadata::read(store).await?;
        let names = chosen(store, &page, origin)?;
        let mut proof = LakeProof { findings: page.findings(), notes: page.notes.clone(), origins: Vec::new() };
        proof.findings.extend(requests::check(store).await?);
        for name in names {
            proof.origins.push(verify_origin(store, &Layout::origin(name), Lock::AsItLies, &progress).await?);
        }
        let holds_partitions = proof.origins.iter().any(|origin| origin.partitions_committed > 0);
        if holds_partitions && requests::is_absent(store).await? {
            let told = "is gone: earlier requests are no longer counted this month";
            proof.notes.push(format!("{} {told}", Layout::REQUESTS));
        }
        Ok(proof)
    };
    stop.run_until_cancelled(work).await.unwrap_or_else(|| Err(Error::interrupted()))
}

/// Returns the origins to check: all, or the named one.
fn chosen<'a>(store: &Store, page: &'a LakeMetadata, origin: Option<&str>) -> Result<Vec<&'a str>> {
    let names = page.names();
    if let Some(unknown) = origin.filter(|name| !names.contains(name)) {
        let known: Vec<&str> = names.into_iter().collect();
        return Err(Error::lake(format!("the lake {} holds no origin {unknown}", store.location()))
            .hint(format!("it holds {}", known.join(", "))));
    }
    Ok(names.into_iter().filter(|name| origin.is_none_or(|wanted| wanted == *name)).collect())
}
