//! Balanced pivots: keys that cut all names into equal shares, from a lake or from a registry. Reads names only, and
//! fetches no document.

use std::num::NonZeroUsize;

use super::doc_rows::LakeRows;
use super::requests::counted;
use super::source::Pages;
use crate::error::{Error, Result};
use crate::lake::{PartSize, Pivots, boundary_between};
use crate::registry::Registry;
use crate::scan::balanced_boundaries;
use crate::store::Store;

/// Requests in flight at once: as many as a scan makes.
const CONCURRENCY: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// Computes the pivots that cut a registry's names into shares of `size`. Sends some requests for each pivot, and no
/// more than listing all names would take if they are few. The requests are counted in the lake, if `store` holds one.
///
/// Fails as a scan does: if the origin is no registry, refuses for too long, or the month's budget is spent.
pub async fn ask_for_pivots(store: &Store, registry: &Registry, size: PartSize) -> Result<Pivots> {
    let ask = async {
        registry.info().await?;
        registry_pivots(registry, size).await
    };
    counted(store, registry, true, ask).await
}

/// Computes the same pivots for a run that counts its requests itself.
pub(super) async fn registry_pivots(registry: &Registry, size: PartSize) -> Result<Pivots> {
    let balance = balanced_boundaries(&Pages(registry.clone()), size, CONCURRENCY).await?;
    Pivots::new(balance.boundaries)
}

/// Computes the pivots that cut a lake's names into shares of `size`. Blocks, and reads the shards of `docs` in which a
/// share ends.
///
/// Fails with [`crate::error::ErrorKind::Lake`] if the lake holds no names yet, or a shard cannot be read.
pub fn lake_pivots(rows: &LakeRows, size: PartSize) -> Result<Pivots> {
    let row_count = rows.count();
    if row_count == 0 {
        return Err(Error::lake("the lake holds no names of this origin yet")
            .hint("ask the registry itself: all-docs pivots --ask --origin npm|URL"));
    }
    let mut cuts = size.cut_ranks(row_count).into_iter().peekable();
    let mut keys = Vec::new();
    let mut rank = 0;
    let mut last_name = String::new();
    for shard in rows.shards() {
        let end = rank + shard.rows;
        // The name below a cut is needed too, and it may be the last one of the previous shard.
        if cuts.peek().is_none_or(|cut| *cut > end) {
            rank = end;
            continue;
        }
        for row in rows.read(shard)? {
            let name = row?.name;
            if cuts.next_if_eq(&rank).is_some() {
                keys.push(boundary_between(&last_name, name.as_str()).to_owned());
            }
            name.as_str().clone_into(&mut last_name);
            rank += 1;
        }
    }
    Pivots::new(keys)
}
