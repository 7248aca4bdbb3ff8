//! Finds the partitions of the copy that are not as the other lake says, by manifests and the names of shards alone.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::cut_from::{CutFrom, overlapping};
use super::ends::Ends;
use super::partition::Work;
use super::shards::{has_same_bytes, tables};
use crate::commit::read_manifests;
use crate::error::Result;
use crate::lake::{Manifest, Partition, PartitionSet, ShardMeta};
use crate::store::Store;
use crate::table::TableKind;

/// The work on one origin.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The partitions to copy or to remove.
    pub(super) work: Vec<Work>,
    /// The partitions that need no work and hold something.
    pub(super) current: u64,
    /// How many of `work` are to be removed.
    pub(super) to_remove: u64,
    /// The shards to copy.
    pub(super) shards: u64,
    /// Their bytes; of a cut, the bytes of all shards that are read for it.
    pub(super) bytes: u64,
}

/// The contents of the copy for one origin.
pub(super) struct Held {
    manifests: BTreeMap<String, Manifest>,
    shards: BTreeMap<TableKind, BTreeSet<String>>,
}

impl Held {
    pub(super) async fn read(ends: &Ends) -> Result<Held> {
        let mut shards = BTreeMap::new();
        for table in TableKind::ALL {
            shards.insert(table, ends.to.list(&ends.layout.table(table)).await?.into_iter().collect());
        }
        Ok(Held { manifests: manifests(&ends.to, ends).await?, shards })
    }

    /// Returns the manifest of a partition.
    pub(super) fn manifest(&self, partition: &Partition) -> Option<&Manifest> {
        self.manifests.get(&partition.file_stem())
    }

    /// Returns the tables that have a shard of a partition.
    pub(super) fn present(&self, ends: &Ends, partition: &Partition) -> BTreeSet<TableKind> {
        let has = |table: &TableKind| {
            self.shards.get(table).is_some_and(|shards| shards.contains(&ends.layout.shard(*table, partition)))
        };
        TableKind::ALL.into_iter().filter(has).collect()
    }
}

/// Returns the manifests of an origin by the file stems of their partitions.
pub(super) async fn manifests(store: &Store, ends: &Ends) -> Result<BTreeMap<String, Manifest>> {
    let manifests = read_manifests(store, &ends.layout).await?;
    Ok(manifests.into_iter().map(|manifest| (manifest.partition.file_stem(), manifest)).collect())
}

impl Plan {
    /// Compares each partition of `set`, the largest first: a large one at the end would keep the others waiting.
    pub(super) async fn of(ends: &Ends, set: &PartitionSet) -> Result<Plan> {
        let (held, mut wanted) = (Held::read(ends).await?, manifests(&ends.from, ends).await?);
        let mut plan = Plan::default();
        let mut sized = Vec::new();
        for partition in set.iter() {
            let work = Work { present: held.present(ends, &partition), partition };
            let found = held.manifest(&work.partition);
            let Some(wanted) = wanted.remove(&work.partition.file_stem()) else {
                if found.is_some() || !work.present.is_empty() {
                    plan.to_remove += 1;
                    sized.push((0, work));
                }
                continue;
            };
            let named = tables(&wanted)?;
            let is_complete = named.iter().map(|(table, _)| *table).collect::<BTreeSet<_>>() == work.present;
            if is_complete && found == Some(&wanted) {
                plan.current += 1;
                continue;
            }
            let is_missing = |table: &TableKind, meta: &ShardMeta| {
                !work.present.contains(table) || found.is_none_or(|found| !has_same_bytes(found, *table, meta))
            };
            let missing = named.into_iter().filter(|(table, meta)| is_missing(table, meta));
            let sizes: Vec<u64> = missing.map(|(_, meta)| meta.size_bytes).collect();
            plan.shards += sizes.len() as u64;
            plan.bytes += sizes.iter().sum::<u64>();
            sized.push((sizes.iter().sum(), work));
        }
        sized.sort_by_key(|(bytes, _)| Reverse(*bytes));
        plan.work = sized.into_iter().map(|(_, work)| work).collect();
        Ok(plan)
    }

    /// Compares each partition of `set` with those of `source` from which it is cut, in the order of names.
    pub(super) async fn of_cut(ends: &Ends, source: &PartitionSet, set: &PartitionSet) -> Result<Plan> {
        // First the overlay: a base shard may be newer than that, but not older.
        let overlay = ends.overlay.view().await?;
        let (held, wanted) = (Held::read(ends).await?, manifests(&ends.from, ends).await?);
        let mut plan = Plan::default();
        let mut to_cut = BTreeSet::new();
        for partition in set.iter() {
            let work = Work { present: held.present(ends, &partition), partition };
            let parts = overlapping(source, &work.partition);
            let stems = parts.clone().map(|index| source.get(index).file_stem());
            let sources: Vec<&Manifest> = stems.filter_map(|stem| wanted.get(&stem)).collect();
            let rows = CutFrom::new(&overlay, sources.into_iter().cloned().collect(), &work.partition);
            let cut_from = held.manifest(&work.partition).and_then(|held| held.cut_from.clone());
            if rows.tables()? == work.present && cut_from == Some(rows.digest()) {
                plan.current += 1;
                continue;
            }
            to_cut.extend(parts);
            plan.work.push(work);
        }
        // About as many bytes as the shards that are read have.
        let read = to_cut.into_iter().filter_map(|index| wanted.get(&source.get(index).file_stem()));
        plan.bytes = read.flat_map(|manifest| manifest.shards.values()).map(|meta| meta.size_bytes).sum();
        Ok(plan)
    }
}
