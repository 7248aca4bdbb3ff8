//! Takes the rows of names out of deltas, to write them into a base shard or into a larger delta.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;

use super::view::{HeldDelta, Said};
use crate::error::{Doing, Result};
use crate::pipeline::lost::lost_error;
use crate::pipeline::verify::open_sound;
use crate::shard::NamedRows;
use crate::store::Store;
use crate::table::TableKind;

/// The shards of deltas whose bytes were compared with their manifests, by the numbers of the delta.
#[derive(Debug, Clone, Default)]
pub(super) struct Proven {
    shards: Arc<Mutex<HashSet<(u64, u64, TableKind)>>>,
}

/// The rows of one table in several deltas, read forwards.
pub(in crate::pipeline) struct DeltaRows<'a> {
    store: &'a Store,
    proven: &'a Proven,
    table: TableKind,
    open: BTreeMap<u64, Option<NamedRows>>,
}

impl<'a> DeltaRows<'a> {
    pub(super) fn new(store: &'a Store, proven: &'a Proven, table: TableKind) -> DeltaRows<'a> {
        DeltaRows { store, proven, table, open: BTreeMap::new() }
    }

    /// Returns the rows that a delta has of a name. Calls must be in ascending order of names.
    pub(in crate::pipeline) fn take(&mut self, held: &HeldDelta, name: &str) -> Result<Vec<RecordBatch>> {
        if held.says(name) == Some(Said::Gone) {
            return Ok(Vec::new());
        }
        let rows = match self.open.entry(held.delta.last) {
            std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(open(self.store, self.proven, held, self.table)?)
            }
        };
        let path = || format!("reading {}", held.current_shard(self.table));
        rows.as_mut().map_or(Ok(Vec::new()), |rows| rows.take(name).doing(path))
    }
}

/// Opens a shard of a delta, if it has one of the table. Its bytes are compared with the manifest once: otherwise the manifest of
/// its rows' new place would vouch for damage.
fn open(store: &Store, proven: &Proven, held: &HeldDelta, table: TableKind) -> Result<Option<NamedRows>> {
    if !held.manifest.shards.contains_key(table.as_str()) {
        return Ok(None);
    }
    let key = (held.delta.first, held.delta.last, table);
    let is_proven = proven.shards.lock().unwrap_or_else(PoisonError::into_inner).contains(&key);
    let file = match is_proven || held.staged.contains(&table) {
        true => {
            let path = held.current_shard(table);
            store.blocking().open(&path)?.ok_or_else(|| lost_error(&path))?
        }
        false => {
            let file = open_sound(store, &held.layout, &held.manifest, table)?;
            proven.shards.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
            file
        }
    };
    NamedRows::open(table, file).map(Some)
}
