//! Selects the tables of a partition to rebuild, by its manifest and the sizes of its shards.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::lake::{Manifest, OriginLayout, ShardMeta};
use crate::store::Store;
use crate::table::{TableKind, schema_version};
use crate::version::TOOL_VERSION;

/// The tables to rebuild, besides lost ones and those with the schema of an earlier version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::pipeline) struct Wanted {
    /// The tables to rebuild if another version of the tool made them.
    pub(in crate::pipeline) tables: BTreeSet<TableKind>,
    /// Whether they are rebuilt even if this version made them.
    pub(in crate::pipeline) force: bool,
}

impl Wanted {
    /// Returns the tables of a partition to rebuild. They include so many tables that the partition never has shards of
    /// two schema versions. Reads the sizes of the shards, so it blocks.
    pub(super) fn of(&self, store: &Store, layout: &OriginLayout, manifest: &Manifest) -> Result<BTreeSet<TableKind>> {
        let mut tables: BTreeSet<TableKind> = manifest.old_tables().map(|(table, _)| table).collect();
        for table in TableKind::ALL {
            let Some(meta) = manifest.shards.get(table.as_str()) else { continue };
            let is_to_be_made = self.tables.contains(&table) && (self.force || !is_of_this_version(table, meta));
            if is_to_be_made || !is_as_named(store, &layout.shard(table, &manifest.partition), meta)? {
                tables.insert(table);
            }
        }
        Ok(tables)
    }
}

fn is_of_this_version(table: TableKind, meta: &ShardMeta) -> bool {
    meta.schema_version == schema_version(table) && meta.tool_version == TOOL_VERSION
}

/// Returns whether a shard exists with the size that its manifest names.
fn is_as_named(store: &Store, path: &str, meta: &ShardMeta) -> Result<bool> {
    let file = store.blocking().open(path)?;
    Ok(file.is_some_and(|file| file.size_bytes() == meta.size_bytes))
}
