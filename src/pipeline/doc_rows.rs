//! Reads all rows of `docs` that a lake holds of one origin, in the order of names, one shard in memory at a time: those
//! of the base, with the newer ones of the overlay. Read-only.

use crate::error::{Doing, Result};
use crate::lake::{Manifest, OriginLayout, Partition};
use crate::npm::DocRow;
use crate::shard::{ShardReader, doc_rows};
use crate::store::{Store, blocking};
use crate::table::TableKind;
use crate::table::schema;

use super::lost::lost_error;
use super::overlay::OverlayView;
use super::partitions::{PartitionState, partition_states};

/// The names and revisions of one origin, by its manifests.
#[derive(Debug, Clone)]
pub struct LakeRows {
    store: Store,
    layout: OriginLayout,
    shards: Vec<DocShard>,
    partitions_total: usize,
    overlay: OverlayView,
}

/// One partition's shard of `docs`.
#[derive(Debug, Clone)]
pub struct DocShard {
    /// Its partition.
    pub partition: Partition,
    /// Its rows, according to the manifest and the overlay.
    pub rows: u64,
}

impl LakeRows {
    /// Reads the manifests of an origin.
    pub async fn open(store: &Store, layout: &OriginLayout) -> Result<LakeRows> {
        let overlay = OverlayView::read(store, layout, &OverlayView::empty()).await?;
        let states = partition_states(store, layout).await?;
        let partitions_total = states.len();
        let is_listed = |manifest: &Manifest| manifest.shards.contains_key(TableKind::Docs.as_str());
        let listed = |state: PartitionState| {
            let rows = state.rows();
            let is_held = state.manifest.as_ref().is_some_and(is_listed) || !overlay.has_none_of(&state.partition);
            is_held.then_some(DocShard { partition: state.partition, rows })
        };
        let shards = states.into_iter().filter_map(listed).collect();
        let mut rows = LakeRows { store: store.clone(), layout: layout.clone(), shards, partitions_total, overlay };
        if !rows.overlay.deltas.is_empty() {
            rows = blocking("counting the names of a lake", move || rows.counted()).await?;
        }
        Ok(rows)
    }

    /// Counts the rows of partitions of which the overlay has newer ones. Blocks.
    fn counted(mut self) -> Result<LakeRows> {
        for index in 0..self.shards.len() {
            let Some(shard) = self.shards.get(index).filter(|shard| !self.overlay.has_none_of(&shard.partition)) else {
                continue;
            };
            let rows = self.read(shard)?.count() as u64;
            if let Some(shard) = self.shards.get_mut(index) {
                shard.rows = rows;
            }
        }
        Ok(self)
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
        let has_changed = !self.overlay.has_none_of(&shard.partition);
        let file = match self.store.blocking().open(&path)? {
            // All of its names are in the overlay.
            None if has_changed => None,
            opened => Some(opened.ok_or_else(|| lost_error(&path))?),
        };
        let schema = schema(TableKind::Docs);
        let open = |file| ShardReader::open(TableKind::Docs, file, &schema).doing(|| reading(&path));
        let batches = file.map(open).transpose()?;
        let rows = batches.into_iter().flatten().flat_map(move |batch| {
            match batch.and_then(|batch| doc_rows(&batch)).doing(|| reading(&path)) {
                Ok(rows) => rows.into_iter().map(Ok).collect::<Vec<_>>(),
                Err(error) => vec![Err(error)],
            }
        });
        let rows: Box<dyn Iterator<Item = Result<DocRow>>> = match has_changed {
            true => {
                let base = rows.collect::<Result<Vec<_>>>()?;
                Box::new(self.overlay.doc_rows_over(&shard.partition, base).into_iter().map(Ok))
            }
            false => Box::new(rows),
        };
        Ok(rows)
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
