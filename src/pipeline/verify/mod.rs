//! Verify: reads a lake and proves it, or says what is wrong with which file.
//!
//! Every shard is compared with its manifest (rows, bytes, digest), its rows with their order and range, the tables with
//! each other, the folders with what belongs there, and the front page with the folders. It streams, changes nothing and
//! needs no lock: what a running process replaces meanwhile is read again. Not here: mending what was found (`repair`).

mod account;
mod files;
mod front_page;
mod origin;
mod others;
mod partition;
mod partition_set;
mod places;
mod proof;
mod repair;
mod requests;
mod root_file;
mod salvage;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use self::front_page::FrontPage;
use self::origin::{Lock, verify_origin};
use super::progress::Progress;
use crate::error::{Error, Result};
use crate::lake::Layout;
use crate::store::Store;

pub(super) use partition::compare;
pub use proof::{Fault, Finding, LakeProof, OriginProof};
pub use repair::{Mending, prepare_repair, repair_records};

/// Proves a lake: the files in its root, and every origin or the one that is named. `stop` ends it early, of kind
/// Interrupted.
///
/// Fails with [`crate::error::ErrorKind::Lake`] where there is no lake or no such origin, for a lake of a newer version, and
/// when the store cannot be read at all. What is wrong with a file is no failure but a finding.
pub async fn verify(
    store: &Store,
    origin: Option<&str>,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<LakeProof> {
    let work = async {
        let page = FrontPage::read(store).await?;
        let names = page.names();
        if let Some(unknown) = origin.filter(|name| !names.contains(name)) {
            let known: Vec<&str> = names.into_iter().collect();
            return Err(Error::lake(format!("the lake {} holds no origin {unknown}", store.location()))
                .hint(format!("it holds {}", known.join(", "))));
        }
        let mut proof = LakeProof { findings: page.findings(), notes: page.notes.clone(), origins: Vec::new() };
        proof.findings.extend(requests::check(store).await?);
        for name in names.into_iter().filter(|name| origin.is_none_or(|wanted| wanted == *name)) {
            proof.origins.push(verify_origin(store, &Layout::origin(name), Lock::AsItLies, &progress).await?);
        }
        let holds_partitions = proof.origins.iter().any(|origin| origin.partitions_committed > 0);
        if holds_partitions && requests::is_absent(store).await? {
            let told = "is gone: what was asked before is not counted in this month any more";
            proof.notes.push(format!("{} {told}", Layout::REQUESTS));
        }
        Ok(proof)
    };
    stop.run_until_cancelled(work).await.unwrap_or_else(|| Err(Error::interrupted()))
}
