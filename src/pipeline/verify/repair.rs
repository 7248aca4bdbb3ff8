//! Repair: makes a lake ready for the ingests that mend it, one for each broken partition, and loses nothing that is
//! still sound: documents whose bytes are right go back to staging, so that they are not asked for again.

use std::collections::BTreeSet;

use super::partition_set::mend_partition_set;
use super::salvage::{names_held, restage, wanted_form};
use super::{Fault, OriginProof, verify_origin};
use crate::commit::{read_manifest, recover};
use crate::diff::Selection;
use crate::error::{Error, Result};
use crate::lake::{Layout, Manifest, OriginLayout, Partition, TableKind};
use crate::npm::{PackageName, Representation};
use crate::pipeline::lease::Lease;
use crate::pipeline::open::sweep;
use crate::pipeline::progress::Progress;
use crate::store::{Store, blocking};

/// What an ingest has to do to mend a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mending {
    /// The partition. It has no manifest any more, so the ingest makes it anew.
    pub partition: Partition,
    /// Whose documents it held.
    pub selection: Selection,
    /// In which form.
    pub representation: Representation,
    /// How many documents were sound and need not be asked for again.
    pub documents_saved: u64,
}

/// Ends interrupted commits, puts strangers aside and takes back the manifests of broken partitions. What the answer
/// lists must then be ingested; until then the rows of those partitions stay as they are.
///
/// Takes the lease of the origin meanwhile, and fails with [`crate::error::ErrorKind::Lake`] where another process holds it.
pub async fn prepare_repair(store: &Store, proof: &OriginProof) -> Result<Vec<Mending>> {
    let layout = Layout::origin(&proof.origin);
    let lease = Lease::take(store, &layout, "verify --repair").await?;
    let result = prepare(store, &layout, proof).await;
    let ended = lease.end().await;
    result.and_then(|mendings| ended.map(|()| mendings))
}

async fn prepare(store: &Store, layout: &OriginLayout, proof: &OriginProof) -> Result<Vec<Mending>> {
    sweep(store, layout).await?;
    drop_damaged_intents(store, layout).await?;
    // A commit that is ended now may have been all that was wrong with its partition.
    let has_ended = recover(store, layout).await? > 0;
    // Without the set no partition could be looked at.
    let proof = match mend_partition_set(store, layout).await? || has_ended {
        false => proof.clone(),
        true => verify_origin(store, layout, &Progress::default().into(), None).await?,
    };
    let at = jiff::Timestamp::now().as_second().to_string();
    for stranger in proof.findings.iter().filter(|finding| finding.fault == Fault::Stranger) {
        store.promote(&stranger.file, &layout.set_aside(&stranger.file, &at)).await?;
    }
    let mut mendings = Vec::new();
    for partition in proof.broken_partitions() {
        mendings.push(mend(store, layout, partition).await?);
    }
    Ok(mendings)
}

/// An intent that cannot be read can be neither rolled forward nor back; its partition shows what is wrong by itself.
async fn drop_damaged_intents(store: &Store, layout: &OriginLayout) -> Result<()> {
    for path in store.list(&layout.staging()).await? {
        if layout.is_commit_intent(&path)
            && let Some(text) = store.get(&path).await?
            && serde_json::from_slice::<Manifest>(&text).is_err()
        {
            store.delete(&path).await?;
        }
    }
    Ok(())
}

async fn mend(store: &Store, layout: &OriginLayout, partition: Partition) -> Result<Mending> {
    // One that cannot be read, or is another one's, is one of the things to mend.
    let manifest = read_manifest(store, layout, &partition).await.ok().flatten();
    let is_credible =
        |manifest: &Manifest| manifest.partition == partition && manifest.shards.contains_key(TableKind::Docs.as_str());
    let manifest = manifest.filter(is_credible);
    store.delete_folder(&layout.partition_staging(&partition)).await?;
    let (task_store, task_layout) = (store.clone(), layout.clone());
    let salvage = move || {
        let names = names_held(&task_store, &task_layout, &partition);
        let representation = wanted_form(&task_store, &task_layout, &partition);
        let documents_saved = match &manifest {
            Some(manifest) => restage(&task_store, &task_layout, manifest, representation)?,
            None => 0,
        };
        let selection = selection(names, manifest.as_ref());
        Ok::<Mending, Error>(Mending { partition, selection, representation, documents_saved })
    };
    let mending = blocking("saving what is sound in a partition", salvage).await?;
    store.delete(&layout.manifest(&mending.partition)).await?;
    Ok(mending)
}

/// Whose documents the partition held, as far as it still tells.
fn selection(names: Option<BTreeSet<PackageName>>, manifest: Option<&Manifest>) -> Selection {
    let names_listed = manifest.map(|manifest| manifest.rows(TableKind::Docs));
    let had_documents = manifest.is_none_or(|manifest| manifest.shards.contains_key(TableKind::Outcomes.as_str()));
    match names {
        _ if !had_documents => Selection::None,
        Some(names) if names_listed == Some(names.len() as u64) => Selection::All,
        Some(names) => Selection::Names(names),
        None if manifest.is_some() => Selection::All,
        None => Selection::None,
    }
}
