//! Reads the first rows by name from the group of shards whose names come first, and opens the other groups only if these
//! rows are too few.
//!
//! The engine's merge of sorted groups begins with a batch of each group. Each delta of an overlay is a group, so the first
//! ten rows of a table would cost one open file for each delta, although almost always all of them are in the first shard.

use std::fmt;
use std::sync::Arc;

use arrow::compute::kernels::cmp::lt;
use arrow::record_batch::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{LexOrdering, OrderingRequirements, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::common::spawn_buffered;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::sorts::streaming_merge::StreamingMergeBuilder;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, PlanProperties, ReplaceChildrenOptions,
};
use futures::StreamExt;

use crate::query::overlay::SOURCE_COLUMN;
use crate::query::shard_bounds::SORT_COLUMN;
use crate::query::shard_table::LATEST_COLUMN;

/// Puts a [`FirstRowsExec`] in the place of a merge of shards that ends after some rows.
#[derive(Debug)]
pub(super) struct FirstRows;

impl PhysicalOptimizerRule for FirstRows {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let replace = |node: Arc<dyn ExecutionPlan>| {
            let first_rows = node.downcast_ref::<SortPreservingMergeExec>().and_then(FirstRowsExec::instead_of);
            Ok(match first_rows {
                Some(first_rows) => Transformed::yes(Arc::new(first_rows) as Arc<dyn ExecutionPlan>),
                None => Transformed::no(node),
            })
        };
        plan.transform_up(replace).data()
    }

    fn name(&self) -> &str {
        "first_rows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The group of shards whose names come first.
#[derive(Debug, Clone)]
struct First {
    group: usize,
    /// No other group has a name below this one.
    below: String,
}

impl First {
    /// Returns the first group of a plan that returns the rows of one group of shards in each partition, in the order of
    /// names. Returns `None` if the groups overlap at their beginning, and for a scan with a condition that may hold for few
    /// rows: its groups are better read at once.
    fn of(plan: &Arc<dyn ExecutionPlan>, order: &LexOrdering) -> Option<First> {
        let scan = plan.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<FileScanConfig>()?;
        let by_name = order.first();
        if plan.output_ordering()?.first() != by_name || by_name.options.descending || by_name.options.nulls_first {
            return None;
        }
        let holds_often = |column: &str| [SORT_COLUMN, LATEST_COLUMN, SOURCE_COLUMN].contains(&column);
        if let Some(condition) = scan.file_source().filter()
            && !collect_columns(&condition).iter().all(|column| holds_often(column.name()))
        {
            return None;
        }
        let name = scan.file_schema().index_of(SORT_COLUMN).ok()?;
        let groups = scan.file_groups.iter().enumerate();
        let mut least = groups.map(|(group, files)| Some((least(files, name)?, group))).collect::<Option<Vec<_>>>()?;
        least.sort_unstable();
        let [(first, group), (below, _), ..] = least[..] else { return None };
        (first < below).then(|| First { group, below: below.to_owned() })
    }
}

/// Returns a text that is not above any name in a group of shards.
fn least(group: &FileGroup, name: usize) -> Option<&str> {
    let mut least: Option<&str> = None;
    for file in group.iter() {
        let of_names = file.statistics.as_ref()?.column_statistics.get(name)?;
        let Precision::Exact(bound) = &of_names.min_value else { return None };
        let bound = bound.try_as_str()??;
        least = Some(least.map_or(bound, |least| least.min(bound)));
    }
    least
}

/// Returns the first rows of groups of shards in order. Its input has a partition for each group.
#[derive(Debug)]
struct FirstRowsExec {
    merge: Arc<SortPreservingMergeExec>,
    first: First,
    count: usize,
}

impl FirstRowsExec {
    fn instead_of(merge: &SortPreservingMergeExec) -> Option<FirstRowsExec> {
        let first = First::of(merge.input(), merge.expr())?;
        Some(FirstRowsExec { merge: Arc::new(merge.clone()), first, count: merge.fetch()? })
    }
}

impl DisplayAs for FirstRowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "FirstRowsExec: [{}], fetch={}, group {} until {:?}",
            self.merge.expr(),
            self.count,
            self.first.group,
            self.first.below
        )
    }
}

impl ExecutionPlan for FirstRowsExec {
    fn name(&self) -> &'static str {
        "FirstRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.merge.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.merge.children()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        self.merge.input_distribution_requirements()
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        self.merge.required_input_ordering()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.merge.maintains_input_order()
    }

    fn fetch(&self) -> Option<usize> {
        Some(self.count)
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.merge.apply_expressions(visit)
    }

    /// Returns the merge of the new input: its groups may be others.
    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let merge = Arc::clone(&self.merge).replace_children(children, options)?;
        let again = merge.downcast_ref::<SortPreservingMergeExec>().and_then(FirstRowsExec::instead_of);
        Ok(again.map_or(merge, |again| Arc::new(again)))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("there is no partition {partition}");
        }
        let group = self.merge.input().execute(self.first.group, Arc::clone(&context))?;
        let rows = Rows { merge: Arc::clone(&self.merge), first: self.first.clone(), context };
        let begin = State::First { group, missing: self.count };
        let batches = futures::stream::try_unfold((rows, begin), |(rows, state)| async move {
            let next = rows.next(state).await?;
            Ok(next.map(|(batch, state)| (batch, (rows, state))))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}

/// An execution of the node.
struct Rows {
    merge: Arc<SortPreservingMergeExec>,
    first: First,
    context: Arc<TaskContext>,
}

enum State {
    /// The first group is read alone.
    First {
        group: SendableRecordBatchStream,
        missing: usize,
    },
    /// All groups are read.
    Merged(SendableRecordBatchStream),
    Complete,
}

impl Rows {
    async fn next(&self, state: State) -> Result<Option<(RecordBatch, State)>> {
        let mut merged = match state {
            State::First { mut group, missing } => match group.next().await {
                Some(batch) => {
                    let batch = batch?;
                    let before = self.before_others(&batch)?;
                    let taken = batch.slice(0, before.min(missing));
                    let missing = missing - taken.num_rows();
                    let state = if missing == 0 {
                        State::Complete
                    } else if before < batch.num_rows() {
                        State::Merged(self.merged(
                            Some(batch.slice(before, batch.num_rows() - before)),
                            group,
                            missing,
                        )?)
                    } else {
                        State::First { group, missing }
                    };
                    return Ok(Some((taken, state)));
                }
                None => self.merged(None, group, missing)?,
            },
            State::Merged(merged) => merged,
            State::Complete => return Ok(None),
        };
        let batch = merged.next().await.transpose()?;
        Ok(batch.map(|batch| (batch, State::Merged(merged))))
    }

    /// Returns the number of rows, at the beginning of a batch, with names below those of the other groups.
    fn before_others(&self, batch: &RecordBatch) -> Result<usize> {
        let names = self.merge.expr().first().expr.evaluate(batch)?.into_array(batch.num_rows())?;
        let below = ScalarValue::from(self.first.below.as_str()).cast_to(names.data_type())?.to_scalar()?;
        Ok(lt(&names, &below)?.true_count())
    }

    /// Merges the rest of the first group, of which a batch is read already, with the other groups.
    fn merged(
        &self,
        read: Option<RecordBatch>,
        group: SendableRecordBatchStream,
        missing: usize,
    ) -> Result<SendableRecordBatchStream> {
        let (input, schema) = (self.merge.input(), self.merge.schema());
        let rest = futures::stream::iter(read.map(Ok)).chain(group);
        let mut streams: Vec<SendableRecordBatchStream> =
            vec![Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), rest))];
        let groups = 0..input.output_partitioning().partition_count();
        for other in groups.filter(|other| *other != self.first.group) {
            streams.push(spawn_buffered(input.execute(other, Arc::clone(&self.context))?, 1));
        }
        StreamingMergeBuilder::new()
            .with_streams(streams)
            .with_schema(schema)
            .with_expressions(self.merge.expr())
            .with_metrics(BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), 0))
            .with_batch_size(self.context.session_config().batch_size())
            .with_fetch(Some(missing))
            .with_reservation(MemoryConsumer::new("first rows").register(self.context.memory_pool()))
            .build()
    }
}
