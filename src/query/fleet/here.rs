//! The parts of a plan that run on the machine of the session, because a worker cannot: they read what only this machine
//! has, or cannot be divided. And the other way round: the plans that a worker refuses.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::sink::DataSinkExec;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion_distributed::NetworkBoundaryExt;

use super::leaf::Leaf;
use super::scan::shard_scan;
use crate::error::Error;
use crate::query::lake_location::LakeLocation;
use crate::query::shard_reader::ShardReaderFactory;

/// Makes leaves of the parts that a worker of the lake at `location` cannot run.
pub(super) fn kept_here(plan: Arc<dyn ExecutionPlan>, location: &LakeLocation) -> Result<Arc<dyn ExecutionPlan>> {
    let keep = |node: Arc<dyn ExecutionPlan>| {
        // Each round of a recursion runs the same part again, which workers forget. The value of a subquery is known where
        // the subquery runs.
        let stays = node.is::<RecursiveQueryExec>()
            || node.is::<ScalarSubqueryExec>()
            || node.children().is_empty() && !is_of_any_machine(&node, location);
        Ok(match stays {
            true => Transformed::new(Leaf::here(node), true, TreeNodeRecursion::Jump),
            false => Transformed::no(node),
        })
    };
    plan.transform_down(keep).data()
}

fn is_of_any_machine(leaf: &Arc<dyn ExecutionPlan>, location: &LakeLocation) -> bool {
    let is_of_lake = |readers: Arc<ShardReaderFactory>| readers.location.is_same_lake(location);
    leaf.is::<EmptyExec>()
        || leaf.is::<PlaceholderRowExec>()
        || shard_scan(leaf).is_some_and(|(_, readers)| is_of_lake(readers))
}

/// Refuses a plan that does not only read shards of the worker's lake: whoever can connect to a worker could send one that
/// reads or writes the worker's own files.
pub(in crate::query) fn refuse_foreign(plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
    plan.apply(|node| {
        let is_ours = match node.downcast_ref::<DataSourceExec>() {
            Some(source) => source.data_source().downcast_ref::<FileScanConfig>().is_some_and(reads_shards),
            None if node.is_network_boundary() => true,
            None if node.children().is_empty() => node.is::<EmptyExec>() || node.is::<PlaceholderRowExec>(),
            None => !node.is::<DataSinkExec>(),
        };
        if is_ours {
            return Ok(TreeNodeRecursion::Continue);
        }
        let refused = Error::input(format!("a worker does not run {}: it only reads shards of its lake", node.name()));
        Err(DataFusionError::External(Box::new(refused)))
    })
    .map(|_| ())
}

fn reads_shards(scan: &FileScanConfig) -> bool {
    let mut files = scan.file_groups.iter().flat_map(|group| group.iter());
    files.all(|file| ShardReaderFactory::of(file).is_some())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::datatypes::Schema;
    use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
    use datafusion::execution::object_store::ObjectStoreUrl;
    use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;

    use super::*;

    #[test]
    fn a_worker_refuses_to_read_any_other_file() {
        let schema = Arc::new(Schema::empty());
        let file = datafusion::datasource::listing::PartitionedFile::new("etc/shadow", 10);
        let scan = FileScanConfigBuilder::new(
            ObjectStoreUrl::local_filesystem(),
            Arc::new(ParquetSource::new(Arc::clone(&schema))),
        );
        let scan = scan.with_file_groups(vec![FileGroup::new(vec![file])]).build();
        let plan: Arc<dyn ExecutionPlan> =
            Arc::new(CoalescePartitionsExec::new(DataSourceExec::from_data_source(scan)));
        let refused = refuse_foreign(&plan).unwrap_err().to_string();
        assert!(refused.contains("a worker does not run DataSourceExec"), "{refused}");
        let nothing: Arc<dyn ExecutionPlan> = Arc::new(EmptyExec::new(schema));
        refuse_foreign(&nothing).unwrap();
    }
}
