//! A part of a plan that the engine does not look into when it divides a statement: to it, the part is a leaf.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_err};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions};

use crate::query::shard_reader::ShardReaderFactory;

/// A part of a plan, as a leaf.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) plan: Arc<dyn ExecutionPlan>,
    /// The readers of a scan that is sent to a worker; `None` of a part that runs on the machine of the session.
    pub(super) readers: Option<Arc<ShardReaderFactory>>,
}

impl Leaf {
    /// Makes a part that runs on the machine of the session.
    pub(super) fn here(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Leaf { plan, readers: None })
    }

    /// Makes a scan that is sent.
    pub(super) fn sent(plan: Arc<dyn ExecutionPlan>, readers: Arc<ShardReaderFactory>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Leaf { plan, readers: Some(readers) })
    }
}

/// Returns whether a node runs on the machine of the session.
pub(super) fn is_here(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.downcast_ref::<Leaf>().is_some_and(|leaf| leaf.readers.is_none())
}

impl DisplayAs for Leaf {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.readers.is_none() {
            f.write_str("on this machine: ")?;
        }
        self.plan.fmt_as(format, f)
    }
}

impl ExecutionPlan for Leaf {
    fn name(&self) -> &str {
        if self.readers.is_none() { "HereExec" } else { "SentScanExec" }
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.plan.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a leaf has no children") }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a leaf has no children") }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.plan.execute(partition, context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.plan.metrics()
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        // The statistics of a whole plan would be those of its inputs too.
        match self.plan.children().is_empty() {
            true => self.plan.statistics_from_inputs(inputs, args),
            false => Ok(Arc::new(Statistics::new_unknown(&self.schema()))),
        }
    }
}
