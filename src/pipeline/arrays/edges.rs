//! The edges of the latest versions, from the table `dependencies`. Not here: the graph (`array`).

use std::collections::HashMap;
use std::sync::Arc;

use futures::{Stream, TryStreamExt};

use super::tables::{each_shard, texts};
use crate::array::{DependencyGraph, EDGE_KINDS, Edges, PackageAxis};
use crate::error::{Error, Result};
use crate::lake::OriginLayout;
use crate::shard::ShardReader;
use crate::store::{ShardFile, Store, blocking};
use crate::table::{TableKind, schema};

/// The edges of one partition. A target beyond the rows of the axis is a place in `outside`, after them.
pub(super) struct PartitionEdges {
    pub(super) from: Vec<u32>,
    pub(super) to: Vec<u32>,
    pub(super) kinds: Vec<u8>,
    /// Names that have no row.
    pub(super) outside: Vec<String>,
}

/// Returns the edges of the latest versions, partition by partition. A package without a row has no edges here.
pub(super) fn latest_edges(
    store: &Store,
    layout: &OriginLayout,
    axis: &Arc<PackageAxis>,
) -> impl Stream<Item = Result<PartitionEdges>> {
    let axis = Arc::clone(axis);
    each_shard(store, layout, TableKind::Dependencies, move |_, file| read(file, &axis))
}

fn read(file: ShardFile, axis: &PackageAxis) -> Result<PartitionEdges> {
    const COLUMNS: [&str; 3] = ["name", "kind", "dependency"];
    let table = TableKind::Dependencies;
    let mut edges = PartitionEdges { from: Vec::new(), to: Vec::new(), kinds: Vec::new(), outside: Vec::new() };
    let mut outside: HashMap<String, u32> = HashMap::new();
    let mut last: (String, Option<u32>) = (String::new(), axis.row(""));
    for batch in ShardReader::open_where(table, file, &schema(table), &COLUMNS, "is_latest")? {
        let batch = batch?;
        let [names, kinds, dependencies] = COLUMNS.map(|column| texts(&batch, column));
        let (names, kinds, dependencies) = (names?, kinds?, dependencies?);
        for row in 0..batch.num_rows() {
            let name = names.value(row);
            // The rows of a package are together.
            if last.0 != name {
                last = (name.to_owned(), axis.row(name));
            }
            let Some(from) = last.1 else { continue };
            let kind = EDGE_KINDS.iter().position(|kind| *kind == kinds.value(row));
            let kind = kind.ok_or_else(|| Error::lake(format!("there is no kind {} of edges", kinds.value(row))))?;
            let dependency = dependencies.value(row);
            let to = axis.row(dependency).unwrap_or_else(|| {
                let next = axis.rows() + edges.outside.len() as u32;
                *outside.entry(dependency.to_owned()).or_insert_with_key(|name| {
                    edges.outside.push(name.clone());
                    next
                })
            });
            edges.from.push(from);
            edges.to.push(to);
            edges.kinds.push(kind as u8);
        }
    }
    Ok(edges)
}

/// Reads the graph of the latest versions.
pub(super) async fn read_graph(
    store: &Store,
    layout: &OriginLayout,
    axis: &Arc<PackageAxis>,
) -> Result<DependencyGraph> {
    let rows = axis.rows();
    let mut all = Edges::default();
    // Names in the order in which they were met, by their place after the rows of the axis.
    let mut places: HashMap<String, u32> = HashMap::new();
    let mut partitions = std::pin::pin!(latest_edges(store, layout, axis));
    while let Some(edges) = partitions.try_next().await? {
        let outside: Vec<u32> = edges
            .outside
            .into_iter()
            .map(|name| {
                let next = places.len() as u32;
                *places.entry(name).or_insert(next)
            })
            .collect();
        for ((from, to), kind) in edges.from.into_iter().zip(edges.to).zip(edges.kinds) {
            let to = to.checked_sub(rows).map_or(to, |place| rows + outside[place as usize]);
            all.push(from, to, kind);
        }
    }
    let axis = Arc::clone(axis);
    blocking("the sort of the graph", move || {
        let mut outside: Vec<(String, u32)> = places.into_iter().collect();
        outside.sort_unstable();
        let mut sorted = vec![0u32; outside.len()];
        for (place, (_, met)) in (0u32..).zip(&outside) {
            sorted[*met as usize] = place;
        }
        all.map_targets(|to| to.checked_sub(rows).map_or(to, |met| rows + sorted[met as usize]));
        let outside = outside.into_iter().map(|(name, _)| name).collect();
        Ok(DependencyGraph::new(axis, outside, all))
    })
    .await
}
