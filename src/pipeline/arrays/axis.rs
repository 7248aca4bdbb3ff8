//! Brings the package axis up to date: a row for each name of the lake. A new axis is in the order of popularity, so that
//! packages that people compare are in the same chunks. Not here: the axis itself (`array`).

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;

use super::edges::latest_edges;
use super::tables::SHARDS_AT_ONCE;
use crate::array::{PackageAxis, Right};
use crate::error::Result;
use crate::lake::OriginLayout;
use crate::pipeline::{DocShard, LakeRows};
use crate::store::{Store, blocking};

/// Reads the axis, adds the names of the lake that have no row yet, and then `others`, notes which packages are gone, and
/// writes the axis if that changed it. The caller holds the lease of the axis.
///
/// New names are sorted by how many latest versions depend on them, then by name.
pub(super) async fn refresh_axis(
    store: &Store,
    layout: &OriginLayout,
    today: Date,
    others: &[String],
    right: &Right,
) -> Result<Arc<PackageAxis>> {
    let (mut axis, mut is_changed) = PackageAxis::read_or_recover(store, layout, today).await?;
    let mut is_there = vec![false; axis.rows() as usize];
    let mut new = Vec::new();
    let rows = Arc::new(LakeRows::open(store, layout).await?);
    let read = |shard: DocShard| {
        let rows = Arc::clone(&rows);
        let names = move || rows.read(&shard)?.map(|row| row.map(|row| row.name)).collect::<Result<Vec<_>>>();
        blocking("reading the names of a lake", names)
    };
    let mut shards = stream::iter(rows.shards().to_vec()).map(read).buffered(SHARDS_AT_ONCE);
    while let Some(names) = shards.try_next().await? {
        for name in names {
            match axis.row(name.as_str()) {
                Some(row) => is_there[row as usize] = true,
                None => new.push(name.to_string()),
            }
        }
    }
    new.sort_unstable();
    let is_new = |name: &&String| axis.row(name).is_none() && new.binary_search(name).is_err();
    let others: BTreeSet<String> = others.iter().filter(is_new).cloned().collect();
    is_changed |= !new.is_empty() || !others.is_empty();
    for (row, is_there) in is_there.into_iter().enumerate() {
        is_changed |= axis.set_gone(row as u32, (!is_there).then_some(today));
    }
    for name in by_popularity(store, layout, new, today).await? {
        axis.add(&name, today);
    }
    for name in others {
        let row = axis.add(&name, today);
        axis.set_gone(row, Some(today));
    }
    let axis = Arc::new(axis);
    if is_changed {
        right()?;
        axis.write(store, layout).await?;
    }
    Ok(axis)
}

/// Sorts names, which are sorted, by the number of latest versions that depend on them, then by name.
async fn by_popularity(store: &Store, layout: &OriginLayout, names: Vec<String>, today: Date) -> Result<Vec<String>> {
    if names.is_empty() {
        return Ok(names);
    }
    let by_name = blocking("the sort of names", move || {
        let mut by_name = PackageAxis::default();
        for name in &names {
            by_name.add(name, today);
        }
        Ok(by_name)
    });
    let by_name = Arc::new(by_name.await?);
    let mut dependents = vec![0u32; by_name.rows() as usize];
    let mut edges = std::pin::pin!(latest_edges(store, layout, &by_name));
    while let Some(edges) = edges.try_next().await? {
        for &to in &edges.to {
            if let Some(count) = dependents.get_mut(to as usize) {
                *count += 1;
            }
        }
    }
    let mut rows: Vec<u32> = (0..by_name.rows()).collect();
    rows.sort_by_key(|&row| Reverse(dependents[row as usize]));
    Ok(rows.into_iter().map(|row| by_name.name(row).to_owned()).collect())
}
