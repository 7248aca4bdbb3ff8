//! Places: checks whether each path that the lake's layout names is empty, or holds the kind of entry that belongs
//! there.
//!
//! No file can be written over a folder, and a broken link reads as nothing at all.

use std::collections::BTreeSet;

use super::proof::{Fault, OriginProof, finding};
use crate::error::Result;
use crate::lake::{OriginLayout, Partition, PartitionSet};
use crate::store::{EntryKind, Store};
use crate::table::TableKind;

/// Returns the fault of an entry at a path where a file belongs; `None` if it is a file, or nothing.
pub(super) async fn no_file(store: &Store, path: &str) -> Result<Option<String>> {
    if store.is_far() {
        // A bucket has neither folders nor links: a path is that of an object, or of nothing.
        return Ok(None);
    }
    Ok(match store.entry(path).await? {
        None | Some(EntryKind::File) => None,
        Some(EntryKind::Folder) => Some("it is a folder, and a file belongs there".to_owned()),
        Some(EntryKind::Other) => Some("it is a link that leads nowhere, or no file that can be read".to_owned()),
    })
}

/// Returns the fault of an entry at a path where a folder belongs.
pub(super) async fn no_folder(store: &Store, path: &str) -> Result<Option<String>> {
    if store.is_far() {
        // A bucket has neither folders nor links: a path is that of an object, or of nothing.
        return Ok(None);
    }
    Ok(match store.entry(path).await? {
        None | Some(EntryKind::Folder) => None,
        Some(EntryKind::File) => Some("it is a file, and a folder belongs there".to_owned()),
        Some(EntryKind::Other) => Some("it is a link that leads nowhere, or no folder that can be read".to_owned()),
    })
}

/// Checks the folders of an origin and its files outside of partitions. Returns whether its folders can be read.
pub(super) async fn check_origin(store: &Store, layout: &OriginLayout, proof: &mut OriginProof) -> Result<bool> {
    let mut misfits = Vec::new();
    for path in layout.folders() {
        misfits.extend(no_folder(store, &path).await?.map(|reason| (path, reason)));
    }
    let can_be_read = misfits.is_empty();
    if can_be_read {
        // The lock is checked separately.
        misfits.extend(no_file(store, &layout.partition_set()).await?.map(|reason| (layout.partition_set(), reason)));
    }
    let findings = misfits.into_iter().map(|(path, reason)| finding(layout, (path, Fault::Misfit, reason), None));
    proof.findings.extend(findings);
    Ok(can_be_read)
}

/// Checks the places of each partition. Returns the file stems of partitions that lack a file because of a fault:
/// nothing more can be checked of them.
pub(super) async fn check_partitions(
    store: &Store,
    layout: &OriginLayout,
    set: &PartitionSet,
    proof: &mut OriginProof,
) -> Result<BTreeSet<String>> {
    let mut amiss = BTreeSet::new();
    for partition in set.iter() {
        let folder = layout.partition_staging(&partition);
        let mut misfits = Vec::new();
        match no_folder(store, &folder).await? {
            Some(reason) => misfits.push((folder, reason)),
            None => {
                for path in files_of(layout, &partition) {
                    misfits.extend(no_file(store, &path).await?.map(|reason| (path, reason)));
                }
            }
        }
        for (path, reason) in misfits {
            // Staged files are not part of the partition yet.
            let broken = (!path.starts_with(&layout.staging())).then_some(&partition);
            if broken.is_some() {
                amiss.insert(partition.file_stem());
            }
            proof.findings.push(finding(layout, (path, Fault::Misfit, reason), broken));
        }
    }
    Ok(amiss)
}

fn files_of(layout: &OriginLayout, partition: &Partition) -> Vec<String> {
    let shards = TableKind::ALL.into_iter().map(|table| layout.shard(table, partition));
    let staged = TableKind::ALL.into_iter().map(|table| layout.staged_shard(table, partition));
    let earlier = TableKind::ALL.into_iter().map(|table| layout.earlier_staged_shard(table, partition));
    shards.chain(staged).chain(earlier).chain([layout.manifest(partition), layout.commit_intent(partition)]).collect()
}
