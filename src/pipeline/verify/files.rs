//! Which files lie in an origin's folders, and which of them do not belong there.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fault, OriginProof, finding, shard_path};
use crate::error::Result;
use crate::lake::{OriginLayout, Partition, PartitionSet, TableKind};
use crate::store::Store;

/// Looks at every path of an origin. `is_at_work` says that another process works there now.
pub(super) async fn check(
    store: &Store,
    layout: &OriginLayout,
    set: &PartitionSet,
    is_at_work: bool,
    proof: &mut OriginProof,
) -> Result<()> {
    let partitions: BTreeMap<String, Partition> = set.iter().map(|part| (part.file_stem(), part)).collect();
    let mut staged = BTreeSet::new();
    let mut without_manifest: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut paths = store.list(layout.root()).await?;
    // Nobody takes what is left of a put for a file, and the next ingest removes it.
    paths.retain(|path| !Store::is_put_begun(path));
    let manifests: BTreeSet<&str> = paths.iter().filter_map(|path| stem(path, &layout.manifests(), ".json")).collect();
    for path in &paths {
        if let Some((_, file)) = shard_path(layout, path) {
            match file.strip_suffix(".parquet").and_then(|stem| partitions.get_key_value(stem)) {
                None => stranger(layout, path, "no shard of the partition set", proof),
                Some((stem, _)) if !manifests.contains(stem.as_str()) => {
                    without_manifest.entry(stem).or_default().push(path.clone());
                }
                Some(_) => {}
            }
        } else if path.starts_with(&format!("{}/", layout.manifests())) {
            let known = stem(path, &layout.manifests(), ".json").is_some_and(|stem| partitions.contains_key(stem));
            if !known && !is_at_work {
                stranger(layout, path, "no manifest of the partition set", proof);
            }
        } else if let Some(rest) = path.strip_prefix(&format!("{}/", layout.staging()))
            && let Some((stem, _)) = rest.split_once('/')
        {
            match partitions.get(stem) {
                None => stranger(layout, path, "staged for no partition of the set", proof),
                Some(partition) if *path == layout.commit_intent(partition) && !is_at_work => {
                    let reason = "a commit was begun and not ended: some tables may be newer than others".to_owned();
                    let what = (path.clone(), Fault::Interrupted, reason);
                    proof.findings.push(finding(layout, what, Some(partition)));
                }
                Some(_) => {
                    staged.insert(stem);
                }
            }
        }
    }
    for (stem, paths) in without_manifest {
        let Some(partition) = partitions.get(stem) else { continue };
        check_uncommitted(store, layout, partition, paths, proof).await?;
    }
    if !staged.is_empty() && !is_at_work {
        proof.notes.push(format!(
            "{} partitions have something in staging that a run left; the next ingest goes on with it",
            staged.len()
        ));
    }
    Ok(())
}

/// Shards of a partition that has no manifest, unless its commit is under way or has ended since they were listed.
async fn check_uncommitted(
    store: &Store,
    layout: &OriginLayout,
    partition: &Partition,
    paths: Vec<String>,
    proof: &mut OriginProof,
) -> Result<()> {
    if store.get(&layout.commit_intent(partition)).await?.is_some()
        || store.get(&layout.manifest(partition)).await?.is_some()
    {
        return Ok(());
    }
    for path in paths {
        let reason = "its partition has no manifest, so nothing says what it should hold".to_owned();
        proof.findings.push(finding(layout, (path, Fault::Manifest, reason), Some(partition)));
    }
    Ok(())
}

fn stranger(layout: &OriginLayout, path: &str, why: &str, proof: &mut OriginProof) {
    let reason = format!("it does not belong here: it is {why}");
    proof.findings.push(finding(layout, (path.to_owned(), Fault::Stranger, reason), None));
}

/// The stem of a file right below `folder` with this suffix.
fn stem<'a>(path: &'a str, folder: &str, suffix: &str) -> Option<&'a str> {
    let file = path.strip_prefix(folder)?.strip_prefix('/')?;
    file.strip_suffix(suffix).filter(|stem| !stem.contains('/'))
}

/// The tables of a partition that have a file although its manifest names none.
pub(super) fn unnamed_tables(
    store: &Store,
    layout: &OriginLayout,
    partition: &Partition,
    is_named: impl Fn(TableKind) -> bool,
) -> Result<Vec<String>> {
    let mut unnamed = Vec::new();
    for table in TableKind::ALL.into_iter().filter(|table| !is_named(*table)) {
        let path = layout.shard(table, partition);
        if futures::executor::block_on(store.open_shard(&path))?.is_some() {
            unnamed.push(path);
        }
    }
    Ok(unnamed)
}
