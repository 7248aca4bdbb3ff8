//! How many workers read a table, and which of its shards each of them reads.

use std::sync::Arc;

use datafusion::common::tree_node::TreeNode;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_expr::Partitioning;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion_distributed::{
    DesiredTaskCountEvent, DesiredTaskCountEventResponse, DistributedLeafExec, ScaleUpLeafNodeEvent,
    ScaleUpLeafNodeEventResponse,
};

use super::leaf::{Leaf, is_here};
use crate::query::shard_reader::ShardReaderFactory;

/// Returns a scan of shards, and its readers; `None` for any other node.
pub(super) fn shard_scan(node: &Arc<dyn ExecutionPlan>) -> Option<(&FileScanConfig, Arc<ShardReaderFactory>)> {
    let source = node.downcast_ref::<DataSourceExec>()?;
    let scan = source.data_source().downcast_ref::<FileScanConfig>()?;
    let readers = scan.file_groups.iter().flat_map(|group| group.iter()).find_map(ShardReaderFactory::of)?;
    Some((scan, readers))
}

/// Returns the number of workers that a node is worth. The engine takes the greatest of a stage, and as many workers as
/// there are at most. A part that depends on one that stays on this machine stays there too.
pub(super) fn wanted_tasks(event: DesiredTaskCountEvent<'_>) -> Option<Result<DesiredTaskCountEventResponse>> {
    let stays = event.plan.exists(|node| Ok(is_here(node) || divides_in_order(node)));
    if stays.is_ok_and(|stays| stays) {
        return Some(Ok(DesiredTaskCountEventResponse::maximum(1)));
    }
    let (scan, _) = shard_scan(event.plan)?;
    // The plan may take the rows of a single group for all rows.
    if scan.file_groups.len() == 1 {
        return Some(Ok(DesiredTaskCountEventResponse::maximum(1)));
    }
    let shards = scan.file_groups.iter().map(FileGroup::len).sum();
    Some(Ok(DesiredTaskCountEventResponse::desired(shards)))
}

/// Returns whether a node divides rows by a hash and keeps them in order, on which the rest of the plan may rely. Between
/// workers the order would be lost. Scans say nothing of their order for that reason, so this is rare.
fn divides_in_order(node: &Arc<dyn ExecutionPlan>) -> bool {
    let divides = node.downcast_ref::<RepartitionExec>();
    divides.is_some_and(|divides| matches!(divides.partitioning(), Partitioning::Hash(..)))
        && node.output_ordering().is_some()
}

/// Divides the shards of a scan among workers.
pub(super) fn divide(event: ScaleUpLeafNodeEvent<'_>) -> Option<Result<ScaleUpLeafNodeEventResponse>> {
    let (scan, readers) = shard_scan(event.plan)?;
    let parts = divided(&scan.file_groups, event.task_count).into_iter().map(|groups| {
        let mut part = scan.clone();
        part.file_groups = groups;
        Leaf::sent(DataSourceExec::from_data_source(part), Arc::clone(&readers))
    });
    let leaf = DistributedLeafExec::try_new(Arc::clone(event.plan), parts);
    Some(leaf.map(|leaf| ScaleUpLeafNodeEventResponse::new(Arc::new(leaf))))
}

/// Divides each group into neighbouring shards, one part for each worker, so that they stay in the order of names. Each
/// worker has as many groups as there are, of which some may be empty: the rest of the plan is made for that many.
fn divided(groups: &[FileGroup], workers: usize) -> Vec<Vec<FileGroup>> {
    let workers = workers.max(1);
    let mut parts = vec![Vec::with_capacity(groups.len()); workers];
    for (place, group) in groups.iter().enumerate() {
        let size = group.len().div_ceil(workers).max(1);
        let mut pieces = group.files().chunks(size).map(<[PartitionedFile]>::to_vec);
        // Each group begins with another worker: otherwise the first would get the rest of all.
        for turn in 0..workers {
            let piece = FileGroup::new(pieces.next().unwrap_or_default());
            if let Some(part) = parts.get_mut((place + turn) % workers) {
                part.push(piece);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_shard_has_one_worker_and_the_work_is_even() {
        for (sizes, workers) in [(vec![5, 5, 1], 3), (vec![1, 1, 1, 1], 2), (vec![2], 4), (vec![7, 0], 1)] {
            let group = |(place, size): (usize, &usize)| {
                let file = |shard| PartitionedFile::new(format!("{place}/{shard}"), 10);
                FileGroup::new((0..*size).map(file).collect())
            };
            let groups: Vec<FileGroup> = sizes.iter().enumerate().map(group).collect();
            let parts = divided(&groups, workers);
            assert!(parts.len() == workers && parts.iter().all(|part| part.len() == groups.len()));
            let paths = |part: &Vec<FileGroup>| -> Vec<String> {
                part.iter().flat_map(FileGroup::iter).map(|file| file.path().to_string()).collect()
            };
            let all: Vec<String> = parts.iter().flat_map(paths).collect();
            assert_eq!(all.len(), sizes.iter().sum::<usize>());
            assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
            let most = parts.iter().map(|part| paths(part).len()).max().unwrap_or_default();
            assert!(most <= all.len().div_ceil(workers) + 1, "{sizes:?} {workers}");
            for group in parts.iter().flatten() {
                assert!(group.files().is_sorted_by_key(|file| file.path().to_string()));
            }
        }
    }
}
