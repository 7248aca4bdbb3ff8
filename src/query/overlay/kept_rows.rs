//! The rows that count of shards, which a session has found. Not here: finding them (`counting`).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use object_store::ObjectMeta;
use object_store::path::Path as ObjectPath;
use parquet::arrow::arrow_reader::RowSelection;

/// The rows that count of shards, by the path, with the ETag of the version.
#[derive(Debug, Default)]
pub(super) struct KeptRows(Mutex<HashMap<ObjectPath, (Option<String>, RowSelection)>>);

impl KeptRows {
    /// Returns the rows of a version of a shard.
    pub(super) fn get(&self, shard: &ObjectMeta) -> Option<RowSelection> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&shard.location).filter(|(e_tag, _)| *e_tag == shard.e_tag).map(|(_, rows)| rows.clone())
    }

    pub(super) fn keep(&self, shard: &ObjectMeta, rows: RowSelection) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(shard.location.clone(), (shard.e_tag.clone(), rows));
    }
}
