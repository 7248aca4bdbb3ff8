//! Reads edges of the dependency graph with the names of their nodes. Nothing is returned of a graph that was replaced
//! meanwhile.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringViewArray, UInt32Array};
use arrow::compute::{interleave, take};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::error::DataFusionError;
use tokio::sync::OnceCell;

use super::{external, names};
use crate::array::{EDGE_KINDS, Rows, Side, StoredGraph};
use crate::query::failure::ShardFault;

/// The names that are read together: as many as a chunk of them has.
const NAMES_AT_ONCE: u32 = 8_192;

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

impl EdgeReader {
    pub(super) fn new(graph: StoredGraph, side: Side, others: Option<Vec<u32>>, kinds: Vec<bool>) -> EdgeReader {
        let names = (0..graph.nodes().div_ceil(NAMES_AT_ONCE)).map(|_| OnceCell::new()).collect();
        EdgeReader { graph, side, others, kinds, names }
    }

    /// Reads the wanted edges of some nodes. Fails with a [`ShardFault`] if the graph was replaced.
    pub(super) async fn read(&self, nodes: &Rows, form: &EdgeForm) -> Result<Vec<RecordBatch>> {
        let edges = self.edges(nodes).await?;
        let mut batches = Vec::with_capacity(edges.len().div_ceil(form.batch_rows.max(1)));
        for edges in edges.chunks(form.batch_rows.max(1)) {
            batches.push(self.batch(edges, form).await?);
        }
        // All that was read belongs to one graph if that graph is still the one in place.
        match self.graph.is_current().await.map_err(external)? {
            true => Ok(batches),
            false => Err(DataFusionError::External(Box::new(ShardFault::of_replaced(&"dependency_graph.zarr".into())))),
        }
    }

    async fn edges(&self, nodes: &Rows) -> Result<Vec<Edge>> {
        let read = match self.graph.edges_of(self.side, nodes).await {
            Ok(read) => read,
            // An object of a graph that was replaced may be gone, or have other edges.
            Err(error) => match self.graph.is_current().await {
                Ok(false) => return Ok(Vec::new()),
                _ => return Err(external(error)),
            },
        };
        let mut edges = Vec::with_capacity(read.csr.indices.len());
        for (&node, bounds) in read.nodes.iter().zip(read.csr.indptr.windows(2)) {
            let bounds = bounds[0] as usize..bounds[1] as usize;
            let of_node = read.csr.indices.get(bounds.clone()).zip(read.csr.kinds.get(bounds));
            let (others, kinds) = of_node.ok_or_else(|| internal_datafusion_err!("edges beyond the last one"))?;
            for (&other, &kind) in others.iter().zip(kinds) {
                let other = other as u32;
                let is_wanted = self.kinds.get(usize::from(kind)).copied().unwrap_or_default()
                    && self.others.as_ref().is_none_or(|others| others.binary_search(&other).is_ok());
                if is_wanted {
                    edges.push(match self.side {
                        Side::Out => (node, other, kind),
                        Side::In => (other, node, kind),
                    });
                }
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

    async fn names(&self, nodes: impl Iterator<Item = u32>) -> Result<ArrayRef> {
        let mut chunks: Vec<&dyn Array> = Vec::new();
        let mut place_of_chunk: HashMap<u32, usize> = HashMap::new();
        let mut places = Vec::new();
        for node in nodes {
            let chunk = node / NAMES_AT_ONCE;
            let place = match place_of_chunk.get(&chunk) {
                Some(place) => *place,
                None => {
                    chunks.push(self.chunk(chunk).await?);
                    place_of_chunk.insert(chunk, chunks.len() - 1);
                    chunks.len() - 1
                }
            };
            places.push((place, (node % NAMES_AT_ONCE) as usize));
        }
        Ok(interleave(&chunks, &places)?)
    }

    async fn chunk(&self, chunk: u32) -> Result<&StringViewArray> {
        let cell = self.names.get(chunk as usize).ok_or_else(|| internal_datafusion_err!("a node beyond the last"))?;
        let read = || async {
            let end = self.graph.nodes().min((chunk + 1).saturating_mul(NAMES_AT_ONCE));
            let names = self.graph.names(chunk * NAMES_AT_ONCE..end).await.map_err(external)?;
            Ok::<_, DataFusionError>(names::column(&names))
        };
        cell.get_or_try_init(read).await
    }
}
