//! The partitions of one origin in a lake: the contents of each, and whether they fit together. Reads manifests, and
//! for a check the sizes of shards and the rows of `docs`. Not here: checking every byte (`verify`).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::lost::{Sizes, listed_sizes};
use super::open_files::OpenFiles;
use super::settled::{Extent, open_settled};
use super::status::read_partition_set;
use crate::error::Result;
use crate::lake::{Manifest, OriginLayout, Partition, PartitionSet, Record, ShardMeta};
use crate::npm::{DocRow, PackageName};
use crate::shard::{ShardReader, doc_rows};
use crate::store::{ShardFile, Store, blocking};
use crate::table::{TableKind, schema};

/// Partitions that are checked at once, if the limit of open files lets it.
const CHECKED_AT_ONCE: usize = 8;
/// The open files of a partition that is checked.
const FILES_PER_PARTITION: usize = TableKind::ALL.len() + 1;

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
    let Some(set) = read_partition_set(store, layout).await? else { return Ok(Vec::new()) };
    let known: BTreeSet<String> = set.iter().map(|partition| layout.manifest(&partition)).collect();
    let mut listed = store.list_sized(&layout.manifests()).await?;
    listed.retain(|listed| known.contains(&listed.path));
    let mut texts: BTreeMap<String, Bytes> = store.get_all_listed(listed).await?.into_iter().collect();
    let state = |partition| {
        let path = layout.manifest(&partition);
        let manifest = texts.remove(&path).map(|text| Manifest::from_json(&path, &text)).transpose()?;
        Ok(PartitionState { partition, manifest })
    };
    set.iter().map(state).collect()
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
    for path in store.list(&layout.manifests()).await? {
        if path.ends_with(".json") && !known.contains(&path) {
            let what = "it is the manifest of no partition of the set".to_owned();
            faults.push(PartitionFault { path, what });
        }
    }
    // The sizes first: a shard that an intact partition lacks there was committed later, and is looked at again.
    let sizes = listed_sizes(store, layout).await?;
    let states = partition_states(store, layout).await?;
    let checks = states.into_iter().filter_map(|state| state.manifest.map(|manifest| (state.partition, manifest)));
    let checks = checks.map(|(partition, manifest)| check_partition(store, layout, partition, manifest, &sizes));
    let mut checks =
        stream::iter(checks).buffered(OpenFiles::of_process().at_once(FILES_PER_PARTITION, CHECKED_AT_ONCE));
    while let Some(found) = checks.try_next().await? {
        faults.extend(found);
    }
    check_foreign_shards(store, layout, &set, &mut faults).await?;
    Ok(faults)
}

/// Checks a partition by the listed sizes of its shards. If they do not agree with its manifest, or if it may have changed
/// since, checks it as it is between two commits.
async fn check_partition(
    store: &Store,
    layout: &OriginLayout,
    partition: Partition,
    manifest: Manifest,
    sizes: &Sizes,
) -> Result<Vec<PartitionFault>> {
    let is_as_listed = |(table, meta): (&String, &ShardMeta)| {
        let table = TableKind::parse(table);
        table.is_none_or(|table| sizes.get(&layout.shard(table, &partition)) == Some(&meta.size_bytes))
    };
    if manifest.partition == partition && manifest.shards.iter().all(is_as_listed) {
        let Some(meta) = manifest.shards.get(TableKind::Docs.as_str()) else { return Ok(Vec::new()) };
        if let Ok(Some(file)) = store.open_shard(&layout.shard(TableKind::Docs, &partition)).await
            && fault_of_rows(file, &partition, meta.rows).await?.is_none()
        {
            return Ok(Vec::new());
        }
    }
    check_settled(store, layout, &partition).await
}

async fn check_settled(store: &Store, layout: &OriginLayout, partition: &Partition) -> Result<Vec<PartitionFault>> {
    let open = open_settled(store, layout, partition, Extent::Part, false).await?;
    let Some(text) = open.manifest.filter(|_| open.is_settled) else { return Ok(Vec::new()) };
    let path = layout.manifest(partition);
    let manifest = Manifest::from_json(&path, &text)?;
    if manifest.partition != *partition {
        let what = format!("it is the manifest of {}, but in the place of {partition}", manifest.partition);
        return Ok(vec![PartitionFault { path, what }]);
    }
    let mut faults = Vec::new();
    check_shards(layout, &manifest, &open.shards, &mut faults);
    let docs = manifest.shards.get(TableKind::Docs.as_str()).zip(open.shards.get(&TableKind::Docs));
    if let Some((meta, Ok(file))) = docs {
        let path = layout.shard(TableKind::Docs, partition);
        let fault = fault_of_rows(file.clone(), partition, meta.rows).await?;
        faults.extend(fault.map(|what| PartitionFault { path, what }));
    }
    Ok(faults)
}

/// Returns the fault of a shard of `docs` that should have `rows` rows.
async fn fault_of_rows(file: ShardFile, partition: &Partition, rows: u64) -> Result<Option<String>> {
    let partition = partition.clone();
    blocking("reading the names of a partition", move || Ok(check_rows(file, &partition, rows))).await
}

fn check_shards(
    layout: &OriginLayout,
    manifest: &Manifest,
    shards: &BTreeMap<TableKind, Result<ShardFile>>,
    faults: &mut Vec<PartitionFault>,
) {
    for (table, meta) in &manifest.shards {
        let Some(kind) = TableKind::parse(table) else { continue };
        let what = match shards.get(&kind) {
            None => "it is gone, but its manifest names it".to_owned(),
            Some(Err(error)) => error.to_string(),
            Some(Ok(file)) if file.size_bytes() != meta.size_bytes => {
                format!("it has {} bytes, and its manifest says {}", file.size_bytes(), meta.size_bytes)
            }
            Some(Ok(_)) => continue,
        };
        faults.push(PartitionFault { path: layout.shard(kind, &manifest.partition), what });
    }
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
            if !known.contains(&path) && !Store::is_put_begun(&path) {
                faults.push(PartitionFault { path, what: "it is the shard of no partition of the set".to_owned() });
            }
        }
    }
    Ok(())
}

/// Returns the fault of a shard of `docs` that should have `rows` rows. Blocks.
fn check_rows(file: ShardFile, partition: &Partition, rows: u64) -> Option<String> {
    let check = || -> Result<Option<String>> {
        let (mut count, mut last): (u64, Option<PackageName>) = (0, None);
        for batch in ShardReader::open(TableKind::Docs, file, &schema(TableKind::Docs))? {
            for DocRow { name, .. } in doc_rows(&batch?)? {
                if last.as_ref().is_some_and(|last| *last >= name) {
                    return Ok(Some(format!("the name {name:?} is out of order")));
                }
                if !partition.contains(name.as_str()) {
                    return Ok(Some(format!("the name {name:?} lies outside of {partition}")));
                }
                last = Some(name);
                count += 1;
            }
        }
        Ok((count != rows).then(|| format!("it has {count} rows, and its manifest says {rows}")))
    };
    check().unwrap_or_else(|error| Some(error.to_string()))
}
