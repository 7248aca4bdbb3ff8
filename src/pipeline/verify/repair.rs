//! Repair: prepares a lake for the ingests that repair it, one for each broken partition. Everything intact is kept:
//! documents with correct bytes go back to staging, so they are not requested again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::lake_metadata::LakeMetadata;
use super::origin::{Lock, verify_origin};
use super::partition_set::mend_partition_set;
use super::proof::{Fault, OriginProof};
use super::salvage::{names_held, restage, wanted_form};
use super::{places, records, requests};
use crate::commit::read_manifest;
use crate::diff::Selection;
use crate::error::{Result, unless_damaged};
use crate::lake::{CommitIntent, FileRole, Layout, LockRecord, Manifest, OriginInfo, OriginLayout, Partition, Record};
use crate::npm::{PackageName, Representation};
use crate::pipeline::lease::{Lease, LeaseWatch, lease_paths};
use crate::pipeline::open::{check_moves_of_repair, raise_lake};
use crate::pipeline::recovery::Recovery;
use crate::store::{Store, blocking};
use crate::table::TableKind;

/// The settings of the ingest that repairs a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mending {
    /// The partition. Its manifest is removed, so the ingest rebuilds it.
    pub partition: Partition,
    /// The names whose documents it held.
    pub selection: Selection,
    /// The form of its documents.
    pub representation: Representation,
    /// How many documents were intact and need not be requested again.
    pub documents_saved: u64,
}

/// Restores the lake metadata and the count of requests if they are damaged or lost. Returns the changes in words.
/// `given` is the name and the addresses of an origin as the user states them, for an origin that no record shows.
///
/// Fails with [`crate::error::ErrorKind::Lake`] as [`super::verify`] does, and if another process writes them
/// meanwhile.
pub async fn repair_records(store: &Store, given: Option<(&str, &OriginInfo)>) -> Result<Vec<String>> {
    let (origins, mut notes) = LakeMetadata::read(store).await?.mend(store, given).await?;
    notes.extend(requests::mend(store, &origins).await?);
    Ok(notes)
}

/// Finishes interrupted commits, moves foreign files aside and removes the manifests of broken partitions. The returned
/// partitions must then be ingested; until then their rows stay as they are.
///
/// Holds the lease of the origin meanwhile. Fails with [`crate::error::ErrorKind::Lake`] if another process holds it.
pub async fn prepare_repair(store: &Store, proof: &OriginProof) -> Result<Vec<Mending>> {
    let layout = Layout::origin(&proof.origin);
    check_moves_of_repair(store, &layout).await?;
    raise_lake(store).await?;
    let at = jiff::Timestamp::now().as_second().to_string();
    if places::no_folder(store, layout.root()).await?.is_some() {
        store.promote(layout.root(), &Layout::set_aside(layout.root(), &at)).await?;
        return Ok(Vec::new());
    }
    clear_locks(store, &layout, &at).await?;
    let lease = Lease::of_origin(store, &layout, "verify --repair").await?;
    let result = prepare(store, &layout, &lease.watch(), proof, &at).await;
    lease.end_after(result).await
}

/// Removes locks and leases that are unreadable, so that no process can hold them.
async fn clear_locks(store: &Store, layout: &OriginLayout, at: &str) -> Result<()> {
    let mut paths = vec![layout.lock()];
    if places::no_folder(store, &layout.leases()).await?.is_some() {
        store.promote(&layout.leases(), &layout.set_aside(&layout.leases(), at)).await?;
    }
    paths.extend(lease_paths(store, layout).await?);
    for path in paths {
        if places::no_file(store, &path).await?.is_some() {
            store.promote(&path, &layout.set_aside(&path, at)).await?;
        } else if let Some(text) = store.get(&path).await?
            && serde_json::from_slice::<LockRecord>(&text).is_err()
        {
            store.delete_if_unchanged(&path, &text).await?;
        }
    }
    Ok(())
}

async fn prepare(
    store: &Store,
    layout: &OriginLayout,
    lock: &LeaseWatch,
    proof: &OriginProof,
    at: &str,
) -> Result<Vec<Mending>> {
    let mut proof = proof.clone();
    // Each of these may have hidden other faults.
    while set_aside(store, layout, &proof, Fault::Misfit, at).await? || settle(store, layout, lock).await? {
        proof = verify_origin(store, layout, Lock::Ours, &Arc::default()).await?;
    }
    set_aside(store, layout, &proof, Fault::ForeignFile, at).await?;
    // Nothing makes the events in a damaged file again, and later ones must not wait for them.
    let mut of_events = proof.clone();
    of_events.findings.retain(|finding| layout.is_of_events(&finding.file));
    set_aside(store, layout, &of_events, Fault::Damaged, at).await?;
    records::set_aside(store, layout, &proof, at).await?;
    let mut mendings = Vec::new();
    for partition in proof.broken_partitions() {
        set_aside_unnamed(store, layout, &partition, at).await?;
        mendings.push(mend(store, layout, partition).await?);
    }
    Ok(mendings)
}

/// Restores a lost partition set, without which no partition can be checked, and finishes interrupted commits, which
/// may be the only fault of their partitions. Returns whether there was anything to do.
async fn settle(store: &Store, layout: &OriginLayout, lock: &LeaseWatch) -> Result<bool> {
    if mend_partition_set(store, layout).await? {
        return Ok(true);
    }
    // No other process writes the origin.
    store.sweep(layout.root(), Duration::ZERO).await?;
    drop_damaged_intents(store, layout).await?;
    Recovery::of(store, layout).of_all(lock).await
}

/// Moves the files with a kind of fault aside. Returns whether there were any.
async fn set_aside(store: &Store, layout: &OriginLayout, proof: &OriginProof, fault: Fault, at: &str) -> Result<bool> {
    let mut has_moved = false;
    for found in proof.findings.iter().filter(|finding| finding.fault == fault) {
        tracing::info!(file = found.file, fault = ?found.fault, "a file is moved to set-aside");
        has_moved |= store.promote(&found.file, &layout.set_aside(&found.file, at)).await?;
    }
    Ok(has_moved)
}

/// Moves the document shards of a partition aside if its manifest names none. They belong to an older manifest that is
/// gone, so their bytes cannot be checked. The repairing ingest wants no documents and would keep them.
async fn set_aside_unnamed(store: &Store, layout: &OriginLayout, partition: &Partition, at: &str) -> Result<()> {
    let manifest = unless_damaged(read_manifest(store, layout, partition).await)?.flatten();
    let Some(manifest) = manifest else { return Ok(()) };
    if !manifest.shards.keys().eq([TableKind::Docs.as_str()]) {
        return Ok(());
    }
    for table in TableKind::of_answers() {
        let path = layout.shard(table, partition);
        if store.entry(&path).await?.is_some() {
            store.promote(&path, &layout.set_aside(&path, at)).await?;
        }
    }
    Ok(())
}

/// Deletes intents that are unreadable or belong to another partition. An unreadable intent can be rolled neither
/// forward nor back; its partition shows the fault itself. An intent of another partition would replace that
/// partition's manifest by an old one.
async fn drop_damaged_intents(store: &Store, layout: &OriginLayout) -> Result<()> {
    for path in store.list(&layout.staging()).await? {
        let is_its_own = |text: &[u8]| {
            CommitIntent::from_json(&path, text)
                .is_ok_and(|intent| layout.commit_intent(&intent.manifest.partition) == path)
        };
        if layout.is_commit_intent(&path)
            && let Some(text) = store.get(&path).await?
            && !is_its_own(&text)
        {
            store.delete(&path).await?;
        }
    }
    Ok(())
}

/// Removes the files that this tool staged for a partition, and no other files there.
async fn clear_staging(store: &Store, layout: &OriginLayout, partition: &Partition) -> Result<()> {
    for path in store.list(&layout.partition_staging(partition)).await? {
        if matches!(layout.role(&path), FileRole::Staged { is_named: true, .. }) {
            store.delete(&path).await?;
        }
    }
    Ok(())
}

async fn mend(store: &Store, layout: &OriginLayout, partition: Partition) -> Result<Mending> {
    // An unreadable manifest, or one of another partition, is one of the faults to repair.
    let manifest = unless_damaged(read_manifest(store, layout, &partition).await)?.flatten();
    let is_credible =
        |manifest: &Manifest| manifest.partition == partition && manifest.shards.contains_key(TableKind::Docs.as_str());
    let manifest = manifest.filter(is_credible);
    clear_staging(store, layout, &partition).await?;
    let (task_store, task_layout, task_partition) = (store.clone(), layout.clone(), partition.clone());
    let read = move || {
        let names = names_held(&task_store, &task_layout, &task_partition)?;
        Ok((names, wanted_form(&task_store, &task_layout, &task_partition)?))
    };
    let (names, representation) = blocking("reading the intact data of a partition", read).await?;
    let documents_saved = match &manifest {
        Some(manifest) => restage(store, layout, manifest, representation).await?,
        None => 0,
    };
    let selection = selection(names, manifest.as_ref());
    let mending = Mending { partition, selection, representation, documents_saved };
    store.delete(&layout.manifest(&mending.partition)).await?;
    let (partition, documents_saved) = (mending.partition.file_stem(), mending.documents_saved);
    tracing::info!(origin = layout.name(), partition, documents_saved, "a partition is to be rebuilt");
    Ok(mending)
}

/// Returns the names whose documents the partition held, as far as its files show.
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
