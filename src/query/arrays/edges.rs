//! Reads edges of the dependency graph with the names of their nodes. Nothing is returned of a graph that was replaced
//! meanwhile.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringViewArray, UInt32Array};
use arrow::compute::{interleave, take};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::error::DataFusionError;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::OnceCell;

use super::{external, names};
use crate::array::{EDGE_KINDS, NodeEdges, Rows, Side, StoredGraph};
use crate::query::failure::ShardFault;

/// The names that are read together: as many as a chunk of them has.
const NAMES_AT_ONCE: u32 = 8_192;

/// The chunks of names that are read at once.
const CHUNKS_AT_ONCE: usize = 8;

/// Reads edges for all partitions of a scan, which share the names.
#[derive(Debug)]
pub(super) struct EdgeReader {
    graph: StoredGraph,
    /// The side from which the edges are read.
    side: Side,
    /// The nodes on the other side, ascending; `None` for all.
    others: Option<Vec<u32>>,
    /// Which kinds are wanted, by their codes.
    kinds: Vec<bool>,
    names: Vec<OnceCell<StringViewArray>>,
}

/// The form of the rows of a scan.
#[derive(Debug)]
pub(super) struct EdgeForm {
    pub(super) schema: SchemaRef,
    pub(super) batch_rows: usize,
}

/// An edge: the node that depends, the one that it depends on, and the code of the kind.
type Edge = (u32, u32, u8);

/// Edges of some nodes, and how many of the nodes and edges were seen.
struct Walk {
    edges: NodeEdges,
    node: usize,
    edge: usize,
}

impl EdgeReader {
    pub(super) fn new(graph: StoredGraph, side: Side, others: Option<Vec<u32>>, kinds: Vec<bool>) -> EdgeReader {
        let names = (0..graph.nodes().div_ceil(NAMES_AT_ONCE)).map(|_| OnceCell::new()).collect();
        EdgeReader { graph, side, others, kinds, names }
    }

    /// Returns the wanted edges of some nodes, batch after batch. Fails with a [`ShardFault`] if the graph was replaced.
    pub(super) fn read(self: Arc<Self>, nodes: Rows, form: Arc<EdgeForm>) -> BoxStream<'static, Result<RecordBatch>> {
        let batches = async move {
            let read = self.graph.edges_of(self.side, &nodes).await;
            // An object of a graph that was replaced may be gone, or have other edges.
            self.check().await?;
            let walk = Walk { edges: read.map_err(external)?, node: 0, edge: 0 };
            Ok::<_, DataFusionError>(stream::try_unfold((self, form, walk), |(reader, form, mut walk)| async move {
                let edges = reader.next(&mut walk, form.batch_rows)?;
                if edges.is_empty() {
                    return Ok(None);
                }
                let batch = reader.batch(&edges, &form).await?;
                Ok::<_, DataFusionError>(Some((batch, (reader, form, walk))))
            }))
        };
        stream::once(batches).try_flatten().boxed()
    }

    /// Fails if another graph is in place now. If it does not fail, all that was read belongs to one graph.
    async fn check(&self) -> Result<()> {
        match self.graph.is_current().await.map_err(external)? {
            true => Ok(()),
            false => Err(DataFusionError::External(Box::new(ShardFault::of_replaced(&"dependency_graph.zarr".into())))),
        }
    }

    /// Returns the next wanted edges, at most `most`; none at the end.
    fn next(&self, walk: &mut Walk, most: usize) -> Result<Vec<Edge>> {
        let beyond = || internal_datafusion_err!("an edge beyond the last one");
        let csr = &walk.edges.csr;
        let mut edges = Vec::with_capacity(most.min(csr.indices.len() - walk.edge.min(csr.indices.len())));
        while edges.len() < most
            && let Some(&node) = walk.edges.nodes.get(walk.node)
        {
            let end = *csr.indptr.get(walk.node + 1).ok_or_else(beyond)? as usize;
            if walk.edge >= end {
                walk.node += 1;
                continue;
            }
            let edge = csr.indices.get(walk.edge).zip(csr.kinds.get(walk.edge)).ok_or_else(beyond)?;
            let (other, kind) = (*edge.0 as u32, *edge.1);
            walk.edge += 1;
            let is_wanted = self.kinds.get(usize::from(kind)).copied().unwrap_or_default()
                && self.others.as_ref().is_none_or(|others| others.binary_search(&other).is_ok());
            if is_wanted {
                edges.push(match self.side {
                    Side::Out => (node, other, kind),
                    Side::In => (other, node, kind),
                });
            }
        }
        Ok(edges)
    }

    async fn batch(&self, edges: &[Edge], form: &EdgeForm) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(form.schema.fields().len());
        for field in form.schema.fields() {
            columns.push(match field.name().as_str() {
                "name" => self.names(edges.iter().map(|edge| edge.0)).await?,
                "dependency" => self.names(edges.iter().map(|edge| edge.1)).await?,
                _ => {
                    let kinds = StringViewArray::from_iter_values(EDGE_KINDS);
                    take(&kinds, &UInt32Array::from_iter_values(edges.iter().map(|edge| u32::from(edge.2))), None)?
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(edges.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&form.schema), columns, &options)?)
    }

    async fn names(&self, nodes: impl Iterator<Item = u32> + Clone) -> Result<ArrayRef> {
        let mut wanted: Vec<u32> = nodes.clone().map(|node| node / NAMES_AT_ONCE).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let chunks = stream::iter(wanted.clone()).map(|chunk| self.chunk(chunk));
        let chunks: Vec<&StringViewArray> = chunks.buffered(CHUNKS_AT_ONCE).try_collect().await?;
        let place = |node: u32| {
            let chunk = wanted.binary_search(&(node / NAMES_AT_ONCE)).unwrap_or_default();
            (chunk, (node % NAMES_AT_ONCE) as usize)
        };
        let chunks: Vec<&dyn Array> = chunks.into_iter().map(|chunk| chunk as &dyn Array).collect();
        Ok(interleave(&chunks, &nodes.map(place).collect::<Vec<_>>())?)
    }

    async fn chunk(&self, chunk: u32) -> Result<&StringViewArray> {
        let cell = self.names.get(chunk as usize).ok_or_else(|| internal_datafusion_err!("a node beyond the last"))?;
        let read = || async {
            let end = self.graph.nodes().min((chunk + 1).saturating_mul(NAMES_AT_ONCE));
            let names = self.graph.names(chunk * NAMES_AT_ONCE..end).await;
            self.check().await?;
            Ok::<_, DataFusionError>(names::column(&names.map_err(external)?))
        };
        cell.get_or_try_init(read).await
    }
}
