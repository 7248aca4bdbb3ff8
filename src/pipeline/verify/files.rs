//! Finds the files in an origin's folders that do not belong there.
//!
//! A file that readers take for one of the lake's own files is a fault: a Parquet file in a table's folder adds rows
//! for every reader of the folder, whatever its name. Other foreign files may belong to the user, and are only
//! reported.

use std::collections::{BTreeMap, BTreeSet};

use super::others::Others;
use super::proof::{Fault, OriginProof, finding};
use crate::error::Result;
use crate::lake::{FileRole, OriginLayout, Partition, PartitionSet};
use crate::pipeline::settled::is_held;
use crate::store::{EntryKind, Store};

/// Checks every path of an origin. `is_at_work` tells whether another process works there now, and `is_ours` whether this
/// one holds the lock.
pub(super) async fn check(
    store: &Store,
    layout: &OriginLayout,
    set: &PartitionSet,
    is_at_work: bool,
    is_ours: bool,
    proof: &mut OriginProof,
) -> Result<()> {
    let partitions: BTreeMap<String, Partition> = set.iter().map(|part| (part.file_stem(), part)).collect();
    let mut staged = BTreeSet::new();
    let mut others = Others::default();
    let mut without_manifest: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let paths = list(store, layout).await?;
    let manifest_stem = |path| match layout.role(path) {
        FileRole::Manifest { file } => file.strip_suffix(".json"),
        _ => None,
    };
    let manifests: BTreeSet<&str> = paths.iter().filter_map(|path| manifest_stem(path)).collect();
    for path in &paths {
        match layout.role(path) {
            FileRole::Own | FileRole::SetAside => {}
            FileRole::Table { file } => {
                match file.strip_suffix(".parquet").and_then(|stem| partitions.get_key_value(stem)) {
                    Some((stem, _)) if !manifests.contains(stem.as_str()) => {
                        without_manifest.entry(stem).or_default().push(path.clone());
                    }
                    Some(_) => {}
                    None if is_read_as_shard(store, path, file).await? => {
                        foreign_file(
                            layout,
                            path,
                            "no shard of the partition set, and readers of the table read it",
                            proof,
                        );
                    }
                    None => others.add(path, file),
                }
            }
            FileRole::Events { file } if is_read_as_shard(store, path, file).await? => {
                foreign_file(layout, path, "no file of events, and readers of the folder read it", proof);
            }
            FileRole::Manifest { file } => match file.strip_suffix(".json") {
                Some(stem) if partitions.contains_key(stem) || is_at_work => {}
                Some(_) => foreign_file(layout, path, "no manifest of the partition set", proof),
                None => others.add(path, file),
            },
            FileRole::Staged { is_named: false, .. } => others.add(path, ""),
            FileRole::Staged { stem, .. } => match partitions.get(stem) {
                None => foreign_file(layout, path, "staged for no partition of the set", proof),
                Some(partition) if *path == layout.commit_intent(partition) => {
                    if !is_interrupted(store, layout, partition, is_ours).await? {
                        continue;
                    }
                    let reason = "a commit was begun and not ended: some tables may be newer than others".to_owned();
                    let what = (path.clone(), Fault::Interrupted, reason);
                    proof.findings.push(finding(layout, what, Some(partition)));
                }
                Some(_) => {
                    staged.insert(stem);
                }
            },
            FileRole::Events { file } | FileRole::Unknown { file } => others.add(path, file),
        }
    }
    for (stem, paths) in without_manifest {
        let Some(partition) = partitions.get(stem) else { continue };
        check_uncommitted(store, layout, partition, paths, proof).await?;
    }
    proof.notes.extend(others.into_notes());
    if !staged.is_empty() && !is_at_work {
        proof.notes.push(format!(
            "{} partitions have files in staging from an earlier run; the next ingest continues with them",
            staged.len()
        ));
    }
    Ok(())
}

/// Lists every path of an origin, including those of its folders that are links.
async fn list(store: &Store, layout: &OriginLayout) -> Result<Vec<String>> {
    let folders: BTreeSet<String> = layout.folders().into_iter().collect();
    let mut paths = Vec::new();
    for path in store.list(layout.root()).await? {
        match folders.contains(&path) {
            true => paths.extend(store.list(&path).await?),
            false => paths.push(path),
        }
    }
    // No reader takes the remains of a put for a file, and the next ingest removes them.
    paths.retain(|path| !Store::is_put_begun(path));
    Ok(paths)
}

/// Returns whether a reader of a table's folder takes a path for a shard: a Parquet file, at any depth and in any case,
/// a file in a folder with such a name, or a link to a folder that holds one. `file` is the path in the table's folder.
async fn is_read_as_shard(store: &Store, path: &str, file: &str) -> Result<bool> {
    let is_parquet = |path: &str| path.split('/').any(|part| part.to_ascii_lowercase().ends_with(".parquet"));
    if is_parquet(file) {
        return Ok(true);
    }
    // A listing does not follow links.
    let is_link_to_folder = store.entry(path).await? == Some(EntryKind::Folder);
    Ok(is_link_to_folder && store.list(path).await?.iter().any(|path| is_parquet(path)))
}

/// Returns whether the process that began the commit of a partition has died, and its intent is still there.
async fn is_interrupted(store: &Store, layout: &OriginLayout, partition: &Partition, is_ours: bool) -> Result<bool> {
    let path = layout.commit_intent(partition);
    let before = store.get(&path).await?;
    // A process takes the lease before it begins a commit, and ends the commit before it gives the lease back.
    let is_at_work = !is_ours && is_held(store, layout, partition).await;
    Ok(before.is_some() && !is_at_work && store.get(&path).await? == before)
}

/// Reports shards of a partition without a manifest, unless its commit is in progress or has ended since they were
/// listed.
async fn check_uncommitted(
    store: &Store,
    layout: &OriginLayout,
    partition: &Partition,
    paths: Vec<String>,
    proof: &mut OriginProof,
) -> Result<()> {
    if store.entry(&layout.commit_intent(partition)).await?.is_some()
        || store.entry(&layout.manifest(partition)).await?.is_some()
    {
        return Ok(());
    }
    for path in paths {
        let reason = "its partition has no manifest, so its expected contents are unknown".to_owned();
        proof.findings.push(finding(layout, (path, Fault::Manifest, reason), Some(partition)));
    }
    Ok(())
}

fn foreign_file(layout: &OriginLayout, path: &str, why: &str, proof: &mut OriginProof) {
    let reason = format!("it does not belong here: it is {why}");
    proof.findings.push(finding(layout, (path.to_owned(), Fault::ForeignFile, reason), None));
}
