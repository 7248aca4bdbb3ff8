//! The partitions of one origin in a lake: the contents of each, and whether they fit together. Reads manifests, and
//! for a check the sizes of shards and the rows of `docs`. Not here: checking every byte (`verify`).

use std::collections::BTreeSet;

use super::doc_rows::LakeRows;
use super::status::read_partition_set;
use crate::commit::{read_manifest, read_manifests};
use crate::error::Result;
use crate::lake::{Manifest, OriginLayout, Partition, PartitionSet};
use crate::store::Store;
use crate::table::TableKind;

/// One partition of a lake's set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    /// Its range.
    pub partition: Partition,
    /// Its manifest; `None` if it was never committed.
    pub manifest: Option<Manifest>,
}

impl PartitionState {
    /// Returns how many names the registry listed in it.
    pub fn rows(&self) -> u64 {
        self.manifest.as_ref().map_or(0, |manifest| manifest.rows(TableKind::Docs))
    }

    /// Returns how many documents are held.
    pub fn packuments(&self) -> u64 {
        self.manifest.as_ref().map_or(0, |manifest| manifest.rows(TableKind::Packuments))
    }

    /// Returns the bytes of its shards.
    pub fn size_bytes(&self) -> u64 {
        self.manifest.as_ref().map_or(0, |held| held.shards.values().map(|shard| shard.size_bytes).sum())
    }
}

/// Returns the partitions of an origin in order; none if it has no partition set yet.
pub async fn partition_states(store: &Store, layout: &OriginLayout) -> Result<Vec<PartitionState>> {
    let mut states = Vec::new();
    if let Some(set) = read_partition_set(store, layout).await? {
        for partition in set.iter() {
            let manifest = read_manifest(store, layout, &partition).await?;
            states.push(PartitionState { partition, manifest });
        }
    }
    Ok(states)
}

/// A fault of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionFault {
    /// The file, relative to the lake.
    pub path: String,
    /// The fault in words.
    pub what: String,
}

/// Checks that the partitions cover all names once, that each manifest belongs to one of them, that each shard that a
/// manifest names exists with its size, and that the rows of `docs` are in order, in their range and as many as the
/// manifest says. Does not compare the digests of shards.
///
/// Fails only if the lake cannot be read at all.
pub async fn validate_partitions(store: &Store, layout: &OriginLayout) -> Result<Vec<PartitionFault>> {
    let mut faults = Vec::new();
    let Some(set) = read_partition_set(store, layout).await? else { return Ok(faults) };
    if let Some(pair) = set.boundaries.windows(2).find(|pair| pair[0] >= pair[1]) {
        let what = format!("the boundary {:?} comes after {:?}, so some names have no partition", pair[1], pair[0]);
        faults.push(PartitionFault { path: layout.partition_set(), what });
        return Ok(faults);
    }
    let known: BTreeSet<String> = set.iter().map(|partition| layout.manifest(&partition)).collect();
    for manifest in read_manifests(store, layout).await? {
        let path = layout.manifest(&manifest.partition);
        if !known.contains(&path) {
            let what = "it is the manifest of no partition of the set".to_owned();
            faults.push(PartitionFault { path, what });
            continue;
        }
        check_shards(store, layout, &manifest, &mut faults).await?;
    }
    check_foreign_shards(store, layout, &set, &mut faults).await?;
    let rows = LakeRows::open(store, layout).await?;
    let layout = layout.clone();
    let more = tokio::task::spawn_blocking(move || check_rows(&rows, &layout)).await;
    faults.extend(more.unwrap_or_default());
    Ok(faults)
}

async fn check_shards(
    store: &Store,
    layout: &OriginLayout,
    manifest: &Manifest,
    faults: &mut Vec<PartitionFault>,
) -> Result<()> {
    for (table, meta) in &manifest.shards {
        let Some(kind) = TableKind::parse(table) else { continue };
        let path = layout.shard(kind, &manifest.partition);
        let what = match store.open_shard(&path).await? {
            None => "it is gone, but its manifest names it".to_owned(),
            Some(file) if file.size_bytes() != meta.size_bytes => {
                format!("it has {} bytes, and its manifest says {}", file.size_bytes(), meta.size_bytes)
            }
            Some(_) => continue,
        };
        faults.push(PartitionFault { path, what });
    }
    Ok(())
}

/// Finds shards that belong to no partition of the set: a plain glob would read them.
async fn check_foreign_shards(
    store: &Store,
    layout: &OriginLayout,
    set: &PartitionSet,
    faults: &mut Vec<PartitionFault>,
) -> Result<()> {
    for table in TableKind::ALL {
        let known: BTreeSet<String> = set.iter().map(|partition| layout.shard(table, &partition)).collect();
        for path in store.list(&layout.table(table)).await? {
            if !known.contains(&path) {
                faults.push(PartitionFault { path, what: "it is the shard of no partition of the set".to_owned() });
            }
        }
    }
    Ok(())
}

fn check_rows(rows: &LakeRows, layout: &OriginLayout) -> Vec<PartitionFault> {
    let mut faults = Vec::new();
    for shard in rows.shards() {
        let path = layout.shard(TableKind::Docs, &shard.partition);
        let found = (|| {
            let (mut count, mut last) = (0_u64, None);
            for row in rows.read(shard)? {
                let name = row?.name;
                if last.as_ref().is_some_and(|last| *last >= name) {
                    return Ok(Some(format!("the name {name:?} is out of order")));
                }
                if !shard.partition.contains(name.as_str()) {
                    return Ok(Some(format!("the name {name:?} lies outside of {}", shard.partition)));
                }
                last = Some(name);
                count += 1;
            }
            let differs = count != shard.rows;
            Ok::<_, crate::error::Error>(
                differs.then(|| format!("it has {count} rows, and its manifest says {}", shard.rows)),
            )
        })();
        match found {
            Ok(None) => {}
            Ok(Some(what)) => faults.push(PartitionFault { path, what }),
            Err(error) => faults.push(PartitionFault { path, what: error.to_string() }),
        }
    }
    faults
}
