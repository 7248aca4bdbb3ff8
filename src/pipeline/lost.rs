//! Shards that a manifest names and that are not there: their disk is away, or somebody removed them. Not here: damaged
//! shards (`verify`), and statements that need a lost shard (`query`).

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;

use crate::commit::read_manifest;
use crate::error::{Error, Result};
use crate::lake::{Manifest, OriginLayout};
use crate::store::{EntryKind, Store};
use crate::table::TableKind;

/// The hint of an error about a shard that only a repair makes whole again.
pub(super) const REPAIR: &str = "all-docs verify --repair repairs the partition; then run the same command again";

/// Returns the error for a lost shard.
pub(super) fn lost_error(path: &str) -> Error {
    Error::lake(format!("the shard {path} is gone, but its manifest names it"))
        .hint(format!("if its disk or mount is away, bring it back; else {REPAIR}"))
}

/// Fails if the folder of an origin, or that of its manifests, is a link that leads nowhere: the lake would seem to hold
/// nothing of it.
pub(super) async fn refuse_lost_origin(store: &Store, layout: &OriginLayout) -> Result<()> {
    if store.is_far() {
        // There are no links.
        return Ok(());
    }
    for folder in [layout.root().to_owned(), layout.manifests()] {
        if store.entry(&folder).await? == Some(EntryKind::Other) {
            return Err(Error::lake(format!("{folder} of the lake {} is a link that leads nowhere", store.location()))
                .hint("bring back the disk or mount that it leads to"));
        }
    }
    Ok(())
}

/// Returns the paths of all files in the folders of an origin's tables.
pub(super) async fn shards_there(store: &Store, layout: &OriginLayout) -> Result<BTreeSet<String>> {
    if store.is_far() {
        // Whole pages of one listing are fewer than the pages of a listing for each table.
        return Ok(store.list(layout.root()).await?.into_iter().collect());
    }
    let mut there = BTreeSet::new();
    for table in TableKind::ALL {
        there.extend(store.list(&layout.table(table)).await?);
    }
    Ok(there)
}

/// The size in bytes of each shard, by path.
pub(super) type Sizes = BTreeMap<String, u64>;

/// Lists the files in the folders of an origin's tables: one request tells of a thousand far shards.
pub(super) async fn listed_sizes(store: &Store, layout: &OriginLayout) -> Result<Sizes> {
    let folders = TableKind::ALL.map(|table| layout.table(table));
    let listed = try_join_all(folders.iter().map(|folder| store.list_sized(folder))).await?;
    Ok(listed.into_iter().flatten().map(|listed| (listed.path, listed.size_bytes)).collect())
}

/// Returns the paths of the lost shards of partitions. `there` are the files that were there after `manifests` were read,
/// or before: each shard that is missing from them is looked for again, between two reads of its manifest.
pub(super) async fn lost_shards<'m>(
    store: &Store,
    layout: &OriginLayout,
    manifests: impl IntoIterator<Item = &'m Manifest>,
    there: &BTreeSet<String>,
) -> Result<Vec<String>> {
    let mut lost = Vec::new();
    for manifest in manifests {
        let partition = &manifest.partition;
        for table in TableKind::ALL.into_iter().filter(|table| manifest.shards.contains_key(table.as_str())) {
            let path = layout.shard(table, partition);
            if there.contains(&path) || store.entry(&path).await? == Some(EntryKind::File) {
                continue;
            }
            // Somebody may have removed the origin meanwhile: manifests first.
            if read_manifest(store, layout, partition).await?.as_ref() == Some(manifest) {
                lost.push(path);
            }
        }
    }
    Ok(lost)
}
