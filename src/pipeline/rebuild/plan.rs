//! Selects the tables of a partition to rebuild, by its manifest and the sizes of its shards.

use std::collections::BTreeSet;

use futures::future::try_join_all;

use crate::error::{Error, Result};
use crate::lake::{Manifest, OriginLayout, ShardMeta};
use crate::pipeline::lost::Sizes;
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
    /// Returns the tables of a partition to rebuild: so many that it never has shards of two schema versions. `sizes` are
    /// those of the shards that exist.
    pub(super) fn of(&self, layout: &OriginLayout, manifest: &Manifest, sizes: &Sizes) -> BTreeSet<TableKind> {
        let mut tables: BTreeSet<TableKind> = manifest.old_tables().map(|(table, _)| table).collect();
        for table in TableKind::ALL {
            let Some(meta) = manifest.shards.get(table.as_str()) else { continue };
            let is_to_be_made = self.tables.contains(&table) && (self.force || !is_of_this_version(table, meta));
            if is_to_be_made || sizes.get(&layout.shard(table, &manifest.partition)) != Some(&meta.size_bytes) {
                tables.insert(table);
            }
        }
        tables
    }

    /// Returns the same by opening the shards that the manifest names.
    pub(in crate::pipeline) async fn of_opened(
        &self,
        store: &Store,
        layout: &OriginLayout,
        manifest: &Manifest,
    ) -> Result<BTreeSet<TableKind>> {
        Ok(self.of(layout, manifest, &opened_sizes(store, layout, manifest).await?))
    }
}

fn is_of_this_version(table: TableKind, meta: &ShardMeta) -> bool {
    meta.schema_version == schema_version(table) && meta.tool_version == TOOL_VERSION
}

/// Opens the shards that a manifest names, all at once, and returns the sizes of those that exist.
async fn opened_sizes(store: &Store, layout: &OriginLayout, manifest: &Manifest) -> Result<Sizes> {
    let named = TableKind::ALL.into_iter().filter(|table| manifest.shards.contains_key(table.as_str()));
    let open = async |table| {
        let path = layout.shard(table, &manifest.partition);
        Ok::<_, Error>(store.open_shard(&path).await?.map(|file| (path, file.size_bytes())))
    };
    Ok(try_join_all(named.map(open)).await?.into_iter().flatten().collect())
}
