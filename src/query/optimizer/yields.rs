//! Lets other work of the process have its turn while a join makes many rows of few.
//!
//! The engine lets a task pause at the nodes that read. One batch that a join reads may become thousands of batches, which
//! an aggregate above it takes in a loop without a pause. Meanwhile a worker would answer no other machine, and a statement
//! that nobody waits for would not end.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};

/// Puts a node that pauses above each join.
#[derive(Debug)]
pub(super) struct Yields;

impl PhysicalOptimizerRule for Yields {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let pause = |node: Arc<dyn ExecutionPlan>| {
            let is_join = node.is::<HashJoinExec>()
                || node.is::<CrossJoinExec>()
                || node.is::<NestedLoopJoinExec>()
                || node.is::<SortMergeJoinExec>();
            Ok(match is_join {
                true => Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>),
                false => Transformed::no(node),
            })
        };
        plan.transform_up(pause).data()
    }

    fn name(&self) -> &str {
        "yields"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
