//! The names whose rows are decided and not yet written.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;

use crate::error::{Doing, Result};
use crate::shard::ShardMerge;
use crate::store::StagedFile;
use crate::table::TableKind;

/// Names whose rows in the document tables are decided since the last flush: replaced, or dropped.
#[derive(Default)]
pub(super) struct Decided {
    pub(super) names: Vec<String>,
    /// How many of them the shard of `packuments`, which is written sooner, has received.
    pub(super) told_packuments: usize,
}

impl Decided {
    pub(super) fn push(&mut self, name: &str) {
        self.names.push(name.to_owned());
    }

    /// Returns the names that the shard of `table` has not received.
    pub(super) fn untold(&self, table: TableKind) -> Vec<&str> {
        let told = if table == TableKind::Packuments { self.told_packuments } else { 0 };
        self.names.iter().skip(told).map(String::as_str).collect()
    }

    pub(super) fn clear(&mut self) {
        *self = Decided::default();
    }
}

/// Writes rows of the document tables in place of all rows of the decided names.
pub(super) fn write_rows(
    merges: &mut BTreeMap<TableKind, ShardMerge<StagedFile>>,
    decided: &mut Decided,
    rows: Vec<(TableKind, RecordBatch)>,
) -> Result<()> {
    let mut batches: BTreeMap<TableKind, Vec<RecordBatch>> = BTreeMap::new();
    for (table, rows) in rows {
        batches.entry(table).or_default().push(rows);
    }
    for (table, merge) in merges.iter_mut().filter(|(table, _)| **table != TableKind::Outcomes) {
        let rows = batches.remove(table).unwrap_or_default();
        merge.replace(&decided.untold(*table), rows).doing(|| format!("writing the shard of {table}"))?;
    }
    decided.clear();
    Ok(())
}
