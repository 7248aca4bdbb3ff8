//! `dependents(name [, depth [, origin]])` and `dependencies_of(…)`: return the direct and transitive dependents of a
//! package, and its direct and transitive dependencies. They use the `dependencies` of latest versions, as npm installs
//! them. `depth` limits the number of steps; null or no value means no limit. The columns are `depth` from 1, `name`,
//! and `via`, the package through which it was first reached.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::cast::as_string_view_array;
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, plan_err};
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, col, lit};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{StreamExt, TryStreamExt};

use super::graph::{Graph, GraphBuilder, Reached, TooLarge};
use crate::query::catalog::LakeCatalog;
use crate::table::TableKind;

/// Rows of a batch of results.
const BATCH_ROWS: usize = 8192;

/// The direction in which the edges are walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// To the packages that depend on a package.
    Dependents,
    /// To the packages that a package depends on.
    Dependencies,
}

impl Direction {
    /// Returns the function's name in SQL.
    pub(super) fn function(self) -> &'static str {
        match self {
            Direction::Dependents => "dependents",
            Direction::Dependencies => "dependencies_of",
        }
    }
}

/// One of the two functions.
#[derive(Debug)]
pub(super) struct Reach {
    catalog: Arc<LakeCatalog>,
    direction: Direction,
}

impl Reach {
    pub(super) fn new(catalog: Arc<LakeCatalog>, direction: Direction) -> Self {
        Reach { catalog, direction }
    }
}

impl TableFunctionImpl for Reach {
    fn call_with_args(&self, arguments: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let function = self.direction.function();
        let usage = || format!("write {function}('react'), {function}('react', 2) or {function}('react', null, 'npm')");
        let values: Option<Vec<&ScalarValue>> = arguments.exprs().iter().map(literal).collect();
        let (name, depth, origin) = match values.as_deref() {
            Some([name]) => (*name, None, None),
            Some([name, depth]) => (*name, Some(*depth), None),
            Some([name, depth, origin]) => (*name, Some(*depth), Some(*origin)),
            _ => return plan_err!("{function} takes a name, a depth and an origin, as plain values: {}", usage()),
        };
        let Some(Some(start)) = name.try_as_str() else {
            return plan_err!("{function} takes the name of a package, not {name}: {}", usage());
        };
        let most_depth = match depth {
            None => u32::MAX,
            Some(depth) if depth.is_null() => u32::MAX,
            Some(ScalarValue::Int64(Some(depth))) if *depth >= 0 => u32::try_from(*depth).unwrap_or(u32::MAX),
            Some(depth) => {
                return plan_err!("the depth of {function} is a whole number from 0, not {depth}: {}", usage());
            }
        };
        let of_session = &arguments.session().config_options().catalog.default_schema;
        let origin = match origin {
            None => of_session.as_str(),
            Some(origin) => match origin.try_as_str() {
                Some(Some(origin)) => origin,
                _ => return plan_err!("the origin of {function} is a name, not {origin}: {}", usage()),
            },
        };
        let Some(edges) = self.catalog.table(origin, TableKind::Dependencies) else {
            let origins: Vec<&str> = self.catalog.origin_names().collect();
            return plan_err!("the lake holds no origin {origin:?}; its origins: {}", origins.join(", "));
        };
        let start = start.to_owned();
        Ok(Arc::new(ReachTable { edges, direction: self.direction, start, most_depth, schema: schema() }))
    }
}

fn literal(argument: &Expr) -> Option<&ScalarValue> {
    match argument {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("depth", DataType::Int64, false),
        Field::new("name", DataType::Utf8, false),
        Field::new("via", DataType::Utf8, false),
    ]))
}

/// One call of a function, as a table.
#[derive(Debug)]
struct ReachTable {
    edges: Arc<dyn TableProvider>,
    direction: Direction,
    start: String,
    most_depth: u32,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for ReachTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (from, to) = match self.direction {
            Direction::Dependents => ("dependency", "name"),
            Direction::Dependencies => ("name", "dependency"),
        };
        let edges = LogicalPlanBuilder::scan("dependencies", provider_as_source(Arc::clone(&self.edges)), None)?
            .filter(col("is_latest").and(col("kind").eq(lit("prod"))))?
            .project([col(from), col(to)])?
            .build()?;
        let edges = Arc::new(CoalescePartitionsExec::new(state.create_physical_plan(&edges).await?));
        let walk =
            Walk { edges, start: self.start.clone(), most_depth: self.most_depth, schema: Arc::clone(&self.schema) };
        let plan = StreamingTableExec::try_new(
            Arc::clone(&self.schema),
            vec![Arc::new(walk)],
            projection,
            Vec::new(),
            false,
            limit,
        )?;
        Ok(Arc::new(plan))
    }
}

/// A walk over the graph, which runs when its rows are read.
#[derive(Debug)]
struct Walk {
    edges: Arc<dyn ExecutionPlan>,
    start: String,
    most_depth: u32,
    schema: SchemaRef,
}

impl PartitionStream for Walk {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (edges, start, most_depth) = (Arc::clone(&self.edges), self.start.clone(), self.most_depth);
        let schema = Arc::clone(&self.schema);
        let batches = async move {
            let (graph, _memory) = read_graph(edges, context).await?;
            let reached = graph.reach(&start, most_depth);
            let batches: Vec<_> =
                reached.chunks(BATCH_ROWS).map(|rows| batch(&graph, rows, Arc::clone(&schema))).collect();
            Ok::<_, datafusion::error::DataFusionError>(futures::stream::iter(batches))
        };
        let stream = futures::stream::once(batches).try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}

/// Reads the graph of all edges, and reserves its size of the session's memory.
async fn read_graph(edges: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Result<(Graph, MemoryReservation)> {
    let memory = MemoryConsumer::new("the graph of dependencies").register(context.memory_pool());
    let too_large = |error: TooLarge| exec_datafusion_err!("{error}");
    let mut graph = GraphBuilder::default();
    let mut edges = execute_stream(edges, context)?;
    while let Some(batch) = edges.next().await {
        let batch = batch?;
        let (from, to) = (as_string_view_array(batch.column(0))?, as_string_view_array(batch.column(1))?);
        for (from, to) in from.iter().zip(to.iter()) {
            if let (Some(from), Some(to)) = (from, to) {
                graph.add(from, to).map_err(too_large)?;
            }
        }
        memory.try_resize(graph.size_bytes())?;
    }
    Ok((graph.finish().map_err(too_large)?, memory))
}

fn batch(graph: &Graph, rows: &[Reached], schema: SchemaRef) -> Result<RecordBatch> {
    let names = |node: fn(&Reached) -> u32| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| graph.name(node(row)))))
    };
    let depths: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| i64::from(row.depth))));
    Ok(RecordBatch::try_new(schema, vec![depths, names(|row| row.node), names(|row| row.via)])?)
}
