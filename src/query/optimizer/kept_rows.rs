//! Keeps rows that are the same in every round of a recursive statement, instead of reading them in each round.
//!
//! `with recursive` runs its recursive part once per round. The engine runs all of it, and so reads and joins its
//! tables repeatedly. This rule reads an input once, and keeps its rows in memory, if the input does not depend on the
//! rows of the previous round.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, internal_datafusion_err};
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::work_table::WorkTableExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt};

/// Inserts a [`KeptRowsExec`] above each largest input of a recursive part that is the same in every round.
#[derive(Debug)]
pub(super) struct KeepRows;

impl PhysicalOptimizerRule for KeepRows {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let keep = |node: Arc<dyn ExecutionPlan>| {
            let Some(query) = node.downcast_ref::<RecursiveQueryExec>() else { return Ok(Transformed::no(node)) };
            let children = vec![Arc::clone(query.static_term()), keep_below(query.recursive_term())?];
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            Ok(Transformed::yes(node.replace_children(children, options)?))
        };
        plan.transform_up(keep).data()
    }

    fn name(&self) -> &str {
        "keep_rows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Returns `plan`, which depends on the rows of the previous round, with those inputs kept that do not.
fn keep_below(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let keep = |child: &Arc<dyn ExecutionPlan>| -> Result<Arc<dyn ExecutionPlan>> {
        if sees_the_round_before(child)? {
            keep_below(child)
        } else {
            Ok(Arc::new(KeptRowsExec::new(Arc::clone(child))))
        }
    };
    let children: Vec<Arc<dyn ExecutionPlan>> = plan.children().into_iter().map(keep).collect::<Result<_>>()?;
    if children.is_empty() {
        return Ok(Arc::clone(plan));
    }
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    collect_the_round_before(Arc::clone(plan).replace_children(children, options)?)
}

/// Makes an inner join build its hash table from the few rows of the previous round, not from all kept rows. The join
/// builds the table again in each round.
fn collect_the_round_before(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(join) = plan.downcast_ref::<HashJoinExec>().filter(|join| *join.join_type() == JoinType::Inner) else {
        return Ok(plan);
    };
    if join.left().is::<KeptRowsExec>() {
        join.swap_inputs(PartitionMode::CollectLeft)
    } else {
        join.builder().with_partition_mode(PartitionMode::CollectLeft).build_exec()
    }
}

fn sees_the_round_before(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    plan.exists(|node| Ok(node.is::<WorkTableExec>()))
}

/// Returns the rows of its input each time it runs, but runs the input only once. It does not report their number to
/// the optimizer, so the optimizer does not swap the sides of a join.
#[derive(Debug)]
struct KeptRowsExec {
    input: Arc<dyn ExecutionPlan>,
    /// The kept rows of each partition. The copies of the node, one for each round, share them.
    kept: Arc<[Mutex<Kept>]>,
}

#[derive(Debug, Default)]
enum Kept {
    #[default]
    Nothing,
    Rows {
        rows: Arc<[RecordBatch]>,
        /// Held as long as the rows.
        _memory: MemoryReservation,
    },
    /// The session's memory does not hold the rows, so the input is read in each round.
    TooMany,
}

impl KeptRowsExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        let partitions = input.output_partitioning().partition_count();
        KeptRowsExec { kept: (0..partitions).map(|_| Mutex::default()).collect(), input }
    }
}

impl DisplayAs for KeptRowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeptRowsExec")
    }
}

impl ExecutionPlan for KeptRowsExec {
    fn name(&self) -> &'static str {
        "KeptRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| internal_datafusion_err!("kept rows without an input"))?;
        let mut replaced = KeptRowsExec::new(input);
        if replaced.kept.len() == self.kept.len() {
            replaced.kept = Arc::clone(&self.kept);
        }
        Ok(Arc::new(replaced))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let kept = self.kept.get(partition).ok_or_else(|| internal_datafusion_err!("no partition {partition}"))?;
        match &*kept.lock().unwrap_or_else(PoisonError::into_inner) {
            Kept::Nothing => {}
            Kept::TooMany => return self.input.execute(partition, context),
            Kept::Rows { rows, .. } => {
                let rows = Arc::clone(rows);
                let batches = (0..rows.len()).filter_map(move |place| rows.get(place).cloned().map(Ok));
                let batches = futures::stream::iter(batches);
                return Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)));
            }
        }
        let memory = MemoryConsumer::new("rows kept between rounds").register(context.memory_pool());
        let input = self.input.execute(partition, context)?;
        let batches = futures::stream::once(read(input, Arc::clone(&self.kept), partition, memory)).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}

/// Reads all rows and keeps them. If they are too many for `memory`, it returns the rows read so far and the rest.
async fn read(
    mut input: SendableRecordBatchStream,
    kept: Arc<[Mutex<Kept>]>,
    partition: usize,
    memory: MemoryReservation,
) -> Result<SendableRecordBatchStream> {
    let schema = input.schema();
    let mut rows: Vec<RecordBatch> = Vec::new();
    let mut fits = true;
    while fits && let Some(batch) = input.next().await {
        let batch = own_texts(&batch?)?;
        fits = memory.try_grow(batch.get_array_memory_size()).is_ok();
        rows.push(batch);
    }
    let batches = futures::stream::iter(rows.clone().into_iter().map(Ok));
    if let Some(kept) = kept.get(partition) {
        let now = if fits { Kept::Rows { rows: rows.into(), _memory: memory } } else { Kept::TooMany };
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches.chain(input))))
}

/// Copies the texts of a batch together. Before, a few texts may keep the whole page in memory that they come from.
fn own_texts(batch: &RecordBatch) -> Result<RecordBatch> {
    let own = |column: &ArrayRef| -> ArrayRef {
        match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()),
            _ => Arc::clone(column),
        }
    };
    Ok(RecordBatch::try_new(batch.schema(), batch.columns().iter().map(own).collect())?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use arrow::array::{ArrayRef, StringViewArray};
    use arrow::datatypes::SchemaRef;
    use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::physical_plan::execution_plan::reset_plan_states;
    use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

    use super::*;

    /// Three batches, and the number of times that they were read.
    #[derive(Debug)]
    struct Counted {
        schema: SchemaRef,
        reads: Arc<AtomicUsize>,
    }

    fn batch(text: &str) -> RecordBatch {
        let column: ArrayRef = Arc::new(StringViewArray::from(vec![text.repeat(20)]));
        RecordBatch::try_from_iter([("text", column)]).unwrap()
    }

    impl PartitionStream for Counted {
        fn schema(&self) -> &SchemaRef {
            &self.schema
        }

        fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
            self.reads.fetch_add(1, Ordering::Relaxed);
            let batches = futures::stream::iter(["a", "b", "c"].map(|text| Ok(batch(text))));
            Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
        }
    }

    #[tokio::test]
    async fn rows_are_read_once_and_in_each_round_where_memory_is_too_small_for_them() {
        let size_bytes = own_texts(&batch("a")).unwrap().get_array_memory_size();
        for (memory_bytes, expected_reads, held_bytes) in
            [(3 * size_bytes, 1, 3 * size_bytes), (2 * size_bytes, 3, 0), (0, 3, 0)]
        {
            let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(memory_bytes));
            let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::clone(&pool)).build_arc().unwrap();
            let context = Arc::new(TaskContext::default().with_runtime(runtime));
            let reads = Arc::new(AtomicUsize::new(0));
            let source = Arc::new(Counted { schema: batch("a").schema(), reads: Arc::clone(&reads) });
            let schema = Arc::clone(&source.schema);
            let input = StreamingTableExec::try_new(schema, vec![source], None, Vec::new(), false, None).unwrap();
            let plan: Arc<dyn ExecutionPlan> = Arc::new(KeptRowsExec::new(Arc::new(input)));
            for _round in 0..3 {
                let round = reset_plan_states(Arc::clone(&plan)).unwrap();
                let rows: Vec<RecordBatch> =
                    round.execute(0, Arc::clone(&context)).unwrap().try_collect().await.unwrap();
                assert_eq!(rows, ["a", "b", "c"].map(batch));
            }
            assert_eq!(reads.load(Ordering::Relaxed), expected_reads, "{memory_bytes}");
            assert_eq!(pool.reserved(), held_bytes, "{memory_bytes}");
            drop(plan);
            assert_eq!(pool.reserved(), 0);
        }
    }
}
