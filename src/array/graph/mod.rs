//! `dependency_graph.zarr`: which package depends on which, of the latest versions, in compressed sparse rows.
//!
//! A graph is replaced as a whole. Its generations write objects of two kinds of names by turns, `c/0` and `c.0`, so that
//! neither overwrites the other; the metadata of the group says last which of them counts. A reader that opens the group
//! sees one of both. The objects of the generation before stay for readers that have it open. Not here: reading the edges
//! from the tables (`pipeline`).

mod csr;
mod read;
mod specs;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use self::specs::NODE_BOUND;
use super::axis::PackageAxis;
use super::form::ArrayForm;
use super::group::{Group, StoredGroup, other_separator};
use super::packages;
use super::shards::{Right, Written};
use super::spec::{GENERATION, created};
use crate::error::{Error, Result};
use crate::lake::OriginLayout;
use crate::store::{Store, blocking};

pub use csr::{Csr, Edges};
pub use read::{NodeEdges, Side, StoredGraph};
pub use specs::EDGE_KINDS;
pub(super) use specs::{Direction, IN, IN_LAKE, OUT};

/// The shards that are encoded and written at once. Each takes at most 70 MB of memory, and a core.
const SHARDS_AT_ONCE: usize = 2;

/// A dependency graph: the rows of the axis, then names outside the lake.
pub struct DependencyGraph {
    axis: Arc<PackageAxis>,
    outside: Vec<String>,
    out: Csr,
    back: Csr,
}

impl DependencyGraph {
    /// Makes a graph. `outside` are the names of the nodes after the rows of the axis, sorted.
    pub fn new(axis: Arc<PackageAxis>, outside: Vec<String>, edges: Edges) -> DependencyGraph {
        let out = Csr::of(edges, axis.rows() as usize + outside.len());
        let back = out.reversed();
        DependencyGraph { axis, outside, out, back }
    }

    /// Returns the number of nodes.
    pub fn nodes(&self) -> usize {
        self.out.nodes()
    }

    /// Returns the number of edges.
    pub fn edges(&self) -> usize {
        self.out.indices.len()
    }

    /// Returns the number of nodes outside the axis.
    pub fn outside(&self) -> usize {
        self.outside.len()
    }

    /// Replaces the graph in the store, if it is another one. `right` is called before each object is written.
    pub async fn write(self, store: &Store, layout: &OriginLayout, right: &Right) -> Result<Written> {
        let group = Group::new(store, layout.dependency_graph());
        group.discard_damaged().await?;
        let held = group.find().await?;
        let in_place = held.as_ref().map_or('.', StoredGroup::separator);
        let [old, new] = [in_place, other_separator(in_place)].map(|separator| self.metadata(held.as_ref(), separator));
        let graph = Arc::new(self);
        let mut written = Written::default();
        let is_same_shape = held.as_ref().is_some_and(|held| shapes(held.json()) == shapes(&old));
        if is_same_shape && graph.is_stored(&group, &old).await? {
            // A process that died may have left copies of older metadata.
            let (now, _) = group.update(|_| Ok(None)).await?;
            written.generation = now.generation();
            return Ok(written);
        }
        written.shards = graph.put_all(&group, &new, right).await?;
        right()?;
        let (now, _) = group.update(|_| Ok(Some(new.clone()))).await?;
        written.generation = now.generation();
        Ok(written)
    }

    fn metadata(&self, held: Option<&StoredGroup>, separator: char) -> Value {
        let (nodes, edges) = (self.nodes() as u64, self.edges() as u64);
        let lengths = [(packages::NAME, nodes), (NODE_BOUND, nodes + 1), (OUT.edge[0], edges), (IN.edge[0], edges)];
        let title = "Dependencies between the latest versions of npm packages";
        let mut json = created(
            title,
            "the dependencies of the documents of an npm registry",
            &specs::specs(separator, nodes, edges),
            &lengths,
        );
        json["attributes"][GENERATION] = json!(held.map_or(0, StoredGroup::generation) + 2);
        json["attributes"][specs::PACKAGES] = json!(self.axis.rows());
        json["attributes"]["packages_outside"] = json!(self.outside.len());
        json
    }

    /// Returns whether the objects of a generation have these values.
    async fn is_stored(self: &Arc<Self>, group: &Group, metadata: &Value) -> Result<bool> {
        let compared = self.shards(group, metadata)?.into_iter().map(|shard| async move {
            let encoded = shard.encode().await?;
            Ok::<_, Error>(group.store().get(&shard.path()).await? == encoded)
        });
        let mut compared = stream::iter(compared).buffered(SHARDS_AT_ONCE);
        while let Some(is_same) = compared.try_next().await? {
            if !is_same {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes the objects of a generation that is not the one in place, and removes those that an earlier one left.
    async fn put_all(self: &Arc<Self>, group: &Group, metadata: &Value, right: &Right) -> Result<u64> {
        let shards = self.shards(group, metadata)?;
        let mut stale = BTreeSet::new();
        for name in specs::NAMES {
            let first = ArrayForm::of_group(metadata, group.folder(), name)?.path(&[0]);
            let prefix = first.trim_end_matches('0');
            let there = group.store().list(&format!("{}/{name}", group.folder())).await?;
            stale.extend(there.into_iter().filter(|path| path.starts_with(prefix)));
        }
        for shard in &shards {
            stale.remove(&shard.path());
        }
        let puts = shards.into_iter().map(|shard| async move {
            let (path, encoded) = (shard.path(), shard.encode().await?);
            if group.store().get(&path).await? == encoded {
                return Ok(0);
            }
            right()?;
            match encoded {
                Some(encoded) => group.store().put(&path, encoded).await?,
                None => group.store().delete(&path).await?,
            }
            Ok::<u64, Error>(1)
        });
        let put = stream::iter(puts).buffer_unordered(SHARDS_AT_ONCE);
        let put = put.try_fold(0, |sum, one| std::future::ready(Ok(sum + one))).await?;
        for path in stale {
            right()?;
            group.store().delete(&path).await?;
        }
        Ok(put)
    }

    fn shards(self: &Arc<Self>, group: &Group, metadata: &Value) -> Result<Vec<Shard>> {
        let mut shards = Vec::new();
        for name in specs::NAMES {
            let form = ArrayForm::of_group(metadata, group.folder(), name)?;
            let length = form.shape().first().copied().unwrap_or_default();
            let count = length.div_ceil(form.shard_elements() as u64);
            shards.extend((0..count).map(|number| Shard {
                graph: Arc::clone(self),
                form: form.clone(),
                array: name,
                number,
            }));
        }
        Ok(shards)
    }
}

/// One shard of one array of a graph.
struct Shard {
    graph: Arc<DependencyGraph>,
    form: ArrayForm,
    array: &'static str,
    number: u64,
}

impl Shard {
    fn path(&self) -> String {
        self.form.path(&[self.number])
    }

    async fn encode(&self) -> Result<Option<Bytes>> {
        let (graph, form, array, number) = (Arc::clone(&self.graph), self.form.clone(), self.array, self.number);
        blocking("the encoder of the graph", move || {
            let length = form.shard_elements();
            let range = number as usize * length..(number as usize + 1) * length;
            let (out, back) = (&graph.out, &graph.back);
            match array {
                packages::NAME => form.encode(range.map(|node| graph.name(node).to_owned()).collect::<Vec<_>>()),
                IN_LAKE => form.encode(range.map(|node| graph.is_in_lake(node)).collect::<Vec<_>>()),
                array if array == OUT.indptr => form.encode_numbers(&part(&out.indptr, range)),
                array if array == OUT.indices => form.encode_numbers(&part(&out.indices, range)),
                array if array == OUT.kind => form.encode_numbers(&part(&out.kinds, range)),
                array if array == IN.indptr => form.encode_numbers(&part(&back.indptr, range)),
                array if array == IN.indices => form.encode_numbers(&part(&back.indices, range)),
                _ => form.encode_numbers(&part(&back.kinds, range)),
            }
        })
        .await
    }
}

impl DependencyGraph {
    fn name(&self, node: usize) -> &str {
        let rows = self.axis.rows() as usize;
        match node.checked_sub(rows) {
            None => self.axis.name(node as u32),
            Some(outside) => self.outside.get(outside).map_or("", String::as_str),
        }
    }

    fn is_in_lake(&self, node: usize) -> bool {
        node < self.axis.rows() as usize && !self.axis.is_gone(node as u32)
    }
}

/// Returns the elements of a shard; beyond the end of the array they are zero.
fn part<T: Copy + Default>(all: &[T], range: std::ops::Range<usize>) -> Vec<T> {
    let length = range.len();
    let mut part = all[range.start.min(all.len())..range.end.min(all.len())].to_vec();
    part.resize(length, T::default());
    part
}

/// Returns all that says how the values are laid out: the metadata of the arrays.
fn shapes(group: &Value) -> &Value {
    &group["consolidated_metadata"]
}
