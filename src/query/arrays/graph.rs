//! The table `graph`: the edges of the dependency graph. Not here: reading some of them (`edges`).

use std::sync::Arc;

use arrow::array::StringViewArray;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};

use super::conditions::{Conditions, holds_for};
use super::edges::{EdgeForm, EdgeReader};
use super::index::{IndexTable, OpenIndex};
use super::scan::{Part, Source};
use super::{ArrayTable, external, lost_index, names};
use crate::array::{EDGE_KINDS, Rows, Side, StoredGraph};
use crate::lake::OriginLayout;
use crate::store::Store;

/// The graph and the file that a scan reads.
#[derive(Debug)]
pub(super) struct GraphSource {
    graph: StoredGraph,
    index: Option<OpenIndex>,
}

/// The reader and the nodes that all partitions of a scan share.
#[derive(Debug)]
pub(super) struct Wanted {
    reader: Arc<EdgeReader>,
    /// The nodes whose edges are wanted, in parts.
    parts: Vec<Rows>,
}

impl GraphSource {
    /// Opens the graph; `None` if there is none.
    pub(super) async fn open(
        store: &Store,
        layout: &OriginLayout,
        index: &IndexTable,
        state: &dyn Session,
    ) -> Result<Option<GraphSource>> {
        let Some(graph) = StoredGraph::find(store, layout).await.map_err(external)? else { return Ok(None) };
        Ok(Some(GraphSource { graph, index: index.open(state).await? }))
    }

    /// Returns the nodes for whose names a condition holds, ascending.
    async fn nodes(&self, condition: &Arc<dyn PhysicalExpr>, context: &Arc<TaskContext>) -> Result<Vec<u32>> {
        let index = self.index.as_ref().ok_or_else(|| external(lost_index(ArrayTable::Graph)))?;
        let packages = self.graph.packages();
        let mut nodes = index.names(Some(condition), context).await?.into_rows();
        nodes.retain(|&node| node < packages);
        // The nodes outside the axis are not in the file.
        let outside = self.graph.names(packages..self.graph.nodes()).await.map_err(external)?;
        let hold = holds_for(condition, Arc::new(names::column(&outside)))?;
        nodes.extend((packages..).zip(hold.values()).filter(|(_, holds)| *holds).map(|(node, _)| node));
        Ok(nodes)
    }
}

impl Source for GraphSource {
    type Wanted = Wanted;

    fn name(&self) -> &'static str {
        ArrayTable::Graph.as_str()
    }

    fn statistics(&self, schema: &SchemaRef, _: &Conditions) -> Result<Statistics> {
        let mut statistics = Statistics::new_unknown(schema);
        statistics.num_rows = Precision::Inexact(usize::try_from(self.graph.edges()).unwrap_or(usize::MAX));
        Ok(statistics)
    }

    async fn want(&self, _: &SchemaRef, conditions: &Conditions, context: &Arc<TaskContext>) -> Result<Wanted> {
        let mut found = [None, None];
        for (column, found) in ["name", "dependency"].into_iter().zip(&mut found) {
            if let Some(condition) = conditions.on(column) {
                *found = Some(self.nodes(&condition, context).await?);
            }
        }
        let kinds = StringViewArray::from_iter_values(EDGE_KINDS);
        let kinds = conditions.hold_for("kind", Arc::new(kinds))?.values().iter().collect();
        let [names, dependencies] = found;
        // The edges of the fewer nodes are read, and those filtered that do not lead to one of the others.
        let is_inward = match (&names, &dependencies) {
            (Some(names), Some(dependencies)) => dependencies.len() < names.len(),
            (names, dependencies) => names.is_none() && dependencies.is_some(),
        };
        let (side, from, to) = match is_inward {
            true => (Side::In, dependencies, names),
            false => (Side::Out, names, dependencies),
        };
        let parts = self.graph.node_tiles(&from.map_or(Rows::All, Rows::of));
        Ok(Wanted { reader: Arc::new(EdgeReader::new(self.graph.clone(), side, to, kinds)), parts })
    }

    fn rows(
        self: Arc<Self>,
        schema: SchemaRef,
        _: Conditions,
        wanted: Arc<Wanted>,
        part: Part,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        let form = Arc::new(EdgeForm { schema, batch_rows: part.batch_rows });
        let reader = Arc::clone(&wanted.reader);
        let parts = stream::iter(part.of(&wanted.parts));
        parts.flat_map(move |nodes| Arc::clone(&reader).read(nodes, Arc::clone(&form))).boxed()
    }
}
