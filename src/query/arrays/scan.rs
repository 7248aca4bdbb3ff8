//! A scan of a table over arrays, as the engine runs it: keeps the conditions that the engine pushes down, and divides the
//! work among partitions. Not here: the rows of a table (`grid`, `graph`).

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, Result, Statistics, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions, SchedulingType};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::stream::BoxStream;
use futures::{TryStreamExt, stream};
use tokio::sync::OnceCell;

use super::conditions::{Axes, Conditions};

/// The rows of a table over arrays.
pub(super) trait Source: fmt::Debug + Send + Sync + 'static {
    /// The state that all partitions of a scan share: the wanted rows of the arrays, and names.
    type Wanted: fmt::Debug + Send + Sync + 'static;

    /// Returns the table's name, for a plan.
    fn name(&self) -> &'static str;

    /// Estimates the number of rows.
    fn statistics(&self, schema: &SchemaRef, conditions: &Conditions) -> Result<Statistics>;

    /// Finds out what is wanted. Is called once for a scan, when its first row is asked for: then the conditions that other
    /// parts of the statement find out are known.
    fn want(
        &self,
        schema: &SchemaRef,
        conditions: &Conditions,
        context: &Arc<TaskContext>,
    ) -> impl Future<Output = Result<Self::Wanted>> + Send;

    /// Returns the rows of a partition, with the columns of `schema`. More may become known of the conditions meanwhile: a
    /// statement that asks for the last day needs no earlier ones once it has seen some rows.
    fn rows(
        self: Arc<Self>,
        schema: SchemaRef,
        conditions: Conditions,
        wanted: Arc<Self::Wanted>,
        part: Part,
    ) -> BoxStream<'static, Result<RecordBatch>>;
}

/// One of the partitions of a scan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    number: usize,
    parts: usize,
    /// The most rows of a batch.
    pub(super) batch_rows: usize,
}

impl Part {
    /// Returns the pieces of work of this part.
    pub(super) fn of<T: Clone>(&self, work: &[T]) -> Vec<T> {
        work.iter().skip(self.number).step_by(self.parts.max(1)).cloned().collect()
    }
}

/// Says of each filter whether a scan applies it exactly.
pub(super) fn supported(axes: Axes, filters: &[&Expr]) -> Vec<TableProviderFilterPushDown> {
    let supported = |filter: &&Expr| match Conditions::is_exact(axes, filter) {
        true => TableProviderFilterPushDown::Exact,
        false => TableProviderFilterPushDown::Unsupported,
    };
    filters.iter().map(supported).collect()
}

/// Makes conditions of the filters that are [`supported`].
pub(super) fn conditions(state: &dyn Session, axes: Axes, schema: &SchemaRef, filters: &[Expr]) -> Result<Conditions> {
    let schema = DFSchema::try_from(Arc::clone(schema))?;
    let mut conditions = Conditions::new(axes);
    for filter in filters {
        if !conditions.add(&state.create_physical_expr(filter.clone(), &schema)?)? {
            return internal_err!("a filter that was not to be pushed down: {filter}");
        }
    }
    Ok(conditions)
}

/// A scan of a table over arrays.
#[derive(Debug)]
pub(super) struct ArrayScan<S: Source> {
    source: Arc<S>,
    conditions: Conditions,
    statistics: Arc<Statistics>,
    properties: Arc<PlanProperties>,
    wanted: Arc<OnceCell<Arc<S::Wanted>>>,
    metrics: ExecutionPlanMetricsSet,
}

impl<S: Source> ArrayScan<S> {
    /// Makes a scan with the columns of `schema`, in at most `parts` partitions.
    pub(super) fn new(
        source: S,
        schema: SchemaRef,
        conditions: Conditions,
        statistics: Statistics,
        parts: usize,
    ) -> ArrayScan<S> {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(parts.max(1)),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        ArrayScan {
            source: Arc::new(source),
            conditions,
            statistics: Arc::new(statistics),
            properties: Arc::new(properties),
            wanted: Arc::default(),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// Returns the scan with other conditions, as if it had never run.
    fn with(&self, conditions: Conditions, statistics: Arc<Statistics>) -> ArrayScan<S> {
        ArrayScan {
            source: Arc::clone(&self.source),
            conditions,
            statistics,
            properties: Arc::clone(&self.properties),
            wanted: Arc::default(),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl<S: Source> DisplayAs for ArrayScan<S> {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.properties.eq_properties.schema().fields().iter().map(|field| field.name().as_str());
        write!(f, "ArrayScan: {}, columns=[{}]", self.source.name(), columns.collect::<Vec<_>>().join(", "))?;
        let conditions: Vec<String> = self.conditions.expressions().map(ToString::to_string).collect();
        if conditions.is_empty() { Ok(()) } else { write!(f, ", conditions=[{}]", conditions.join(" AND ")) }
    }
}

impl<S: Source> ExecutionPlan for ArrayScan<S> {
    fn name(&self) -> &'static str {
        "ArrayScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for condition in self.conditions.expressions() {
            if f(condition)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("an array scan has no children") }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("an array scan has no children") }
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(self.with(self.conditions.clone(), Arc::clone(&self.statistics))))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let part = Part {
            number: partition,
            parts: self.properties.partitioning.partition_count(),
            batch_rows: context.session_config().batch_size(),
        };
        let (source, conditions, schema) = (Arc::clone(&self.source), self.conditions.clone(), self.schema());
        let wanted = Arc::clone(&self.wanted);
        let rows = async move {
            let want = || async { source.want(&schema, &conditions.now()?, &context).await.map(Arc::new) };
            let wanted = Arc::clone(wanted.get_or_try_init(want).await?);
            Ok::<_, DataFusionError>(source.rows(schema, conditions, wanted, part))
        };
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let rows = stream::once(rows).try_flatten().inspect_ok(move |batch: &RecordBatch| {
            metrics.record_output(batch.num_rows());
        });
        Ok(make_cooperative(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(match args.partition() {
            None => Arc::clone(&self.statistics),
            Some(_) => Arc::new(Statistics::new_unknown(&self.schema())),
        })
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        pushed: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let mut conditions = self.conditions.clone();
        let mut answers = Vec::with_capacity(pushed.parent_filters.len());
        for pushed in pushed.parent_filters {
            let is_exact = match phase {
                FilterPushdownPhase::Pre => conditions.add(&pushed.filter)?,
                // A join or a sort still finds out what it wants.
                FilterPushdownPhase::Post => {
                    conditions.advise(pushed.filter);
                    false
                }
            };
            answers.push(if is_exact { PushedDown::Yes } else { PushedDown::No });
        }
        let with = || self.with(conditions, Arc::new(Statistics::clone(&self.statistics).to_inexact()));
        let updated: Option<Arc<dyn ExecutionPlan>> = if answers.is_empty() { None } else { Some(Arc::new(with())) };
        let propagation = FilterPushdownPropagation::with_parent_pushdown_result(answers);
        Ok(updated.into_iter().fold(propagation, FilterPushdownPropagation::with_updated_node))
    }
}
