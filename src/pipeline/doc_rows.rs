//! Reads all rows of `docs` that a lake holds of one origin, in the order of names, one shard in memory at a time.
//! Read-only.

use crate::error::{Doing, Result};
use crate::lake::{OriginLayout, Partition};
use crate::npm::DocRow;
use crate::shard::{ShardReader, doc_rows};
use crate::store::Store;
use crate::table::TableKind;
use crate::table::schema;

use super::lost::lost_error;
use super::partitions::{PartitionState, partition_states};

/// The names and revisions of one origin, by its manifests.
#[derive(Debug, Clone)]
pub struct LakeRows {
    store: Store,
    layout: OriginLayout,
    shards: Vec<DocShard>,
    partitions_total: usize,
}

/// One partition's shard of `docs`.
#[derive(Debug, Clone)]
pub struct DocShard {
    /// Its partition.
    pub partition: Partition,
    /// Its rows, according to the manifest.
    pub rows: u64,
}

impl LakeRows {
    /// Reads the manifests of an origin.
    pub async fn open(store: &Store, layout: &OriginLayout) -> Result<LakeRows> {
        let states = partition_states(store, layout).await?;
        let partitions_total = states.len();
        let listed = |state: PartitionState| {
            let rows = state.rows();
            let is_listed = state.manifest?.shards.contains_key(TableKind::Docs.as_str());
            is_listed.then_some(DocShard { partition: state.partition, rows })
        };
        let shards = states.into_iter().filter_map(listed).collect();
        Ok(LakeRows { store: store.clone(), layout: layout.clone(), shards, partitions_total })
    }

    /// Returns how many rows there are, according to the manifests.
    pub fn count(&self) -> u64 {
        self.shards.iter().map(|shard| shard.rows).sum()
    }

    /// Returns how many partitions have no rows recorded: they were never committed.
    pub fn partitions_missing(&self) -> usize {
        self.partitions_total - self.shards.len()
    }

    /// Returns the shards in the order of names.
    pub fn shards(&self) -> &[DocShard] {
        &self.shards
    }

    /// Reads the rows of one shard in order. Blocks during the read.
    pub fn read(&self, shard: &DocShard) -> Result<impl Iterator<Item = Result<DocRow>> + use<>> {
        let path = self.layout.shard(TableKind::Docs, &shard.partition);
        let file = self.store.blocking().open(&path)?.ok_or_else(|| lost_error(&path))?;
        let reader = ShardReader::open(TableKind::Docs, file, &schema(TableKind::Docs)).doing(|| reading(&path))?;
        Ok(reader.flat_map(move |batch| match batch.and_then(|batch| doc_rows(&batch)).doing(|| reading(&path)) {
            Ok(rows) => rows.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        }))
    }

    /// Reads all rows in order. Blocks during the read.
    pub fn iter(&self) -> impl Iterator<Item = Result<DocRow>> + use<'_> {
        self.shards.iter().flat_map(|shard| match self.read(shard) {
            Ok(rows) => Box::new(rows) as Box<dyn Iterator<Item = Result<DocRow>>>,
            Err(error) => Box::new(std::iter::once(Err(error))),
        })
    }
}

fn reading(path: &str) -> String {
    format!("reading {path}")
}
