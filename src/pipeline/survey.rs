//! Survey: what the registry lists of the names in scope, and the partitions that it is stored by. Not here: what each
//! partition then needs (`plan`).

use std::collections::HashMap;
use std::sync::Arc;

use super::balance::registry_pivots;
use super::listing::{Listing, PartitionMode};
use super::losses::PartitionLoss;
use super::options::IngestOptions;
use super::progress::Progress;
use super::scope::Scope;
use super::status::read_partition_set;
use crate::commit::read_manifests;
use crate::error::{Doing, Error, Result};
use crate::lake::{
    DEFAULT_ROWS_PER_PARTITION, OriginLayout, PartSize, Partition, PartitionSet, Pivots, exact_partition_set,
};
use crate::store::Store;
use crate::table::TableKind;

/// What a run works on.
pub(super) struct Survey {
    /// The lake's partitions.
    pub(super) set: PartitionSet,
    /// The indices of those that were listed; `None` for all of them.
    pub(super) scope: Option<Vec<usize>>,
    /// The rows.
    pub(super) listing: Listing,
    /// What the rows lack of each partition that the lake holds.
    pub(super) losses: Vec<PartitionLoss>,
}

/// Scans what is in scope into a spool in `spool_store`. A lake without a partition set gets one, and keeps it.
pub(super) async fn survey(
    options: &IngestOptions,
    layout: &OriginLayout,
    spool_store: &Store,
    progress: &Arc<Progress>,
) -> Result<Survey> {
    let scan = async |ranges: Vec<Partition>, is_whole: bool| {
        Listing::scan(&options.registry, ranges, is_whole, spool_store, layout, progress).await
    };
    let held = read_partition_set(&options.store, layout).await?;
    if held.is_none() && !read_manifests(&options.store, layout).await?.is_empty() {
        // Other partitions beside those that are there would hold every name a second time.
        return Err(Error::lake(format!("{} is gone, but the lake holds partitions", layout.partition_set()))
            .hint("all-docs verify --repair makes it anew from the manifests"));
    }
    if options.scope != Scope::All {
        let set = match held {
            Some(set) => set,
            None => balanced_set(options, layout).await?,
        };
        let scope = options.scope.partitions(&set, &options.selection);
        let ranges = match &scope {
            Some(indices) => indices.iter().map(|index| set.get(*index)).collect(),
            None => set.iter().collect(),
        };
        let listing = scan(ranges, scope.is_none()).await?;
        return finish(set, scope, listing, options, layout).await;
    }
    let pivots = match (&options.pivots, &held) {
        (Some(pivots), _) => pivots.clone(),
        (None, Some(set)) => Pivots::new(set.boundaries.clone())?,
        (None, None) => balanced(options).await?,
    };
    let listing = scan(pivots.ranges().collect(), true).await?;
    let set = match held {
        Some(set) => set,
        None => {
            let set = listing.derive(&pivots, options.partitions).await?;
            keep(&set, options, layout).await?;
            set
        }
    };
    finish(set, None, listing, options, layout).await
}

/// Compares the rows of the partitions in scope with what the lake holds of them.
async fn finish(
    set: PartitionSet,
    scope: Option<Vec<usize>>,
    mut listing: Listing,
    options: &IngestOptions,
    layout: &OriginLayout,
) -> Result<Survey> {
    let manifests = read_manifests(&options.store, layout).await?;
    if manifests.is_empty() && !listing.has_misplaced() {
        return Ok(Survey { set, scope, listing, losses: Vec::new() });
    }
    let listed = listing.count(Arc::new(set.clone())).await?;
    let held: HashMap<&Partition, u64> =
        manifests.iter().map(|manifest| (&manifest.partition, manifest.rows(TableKind::Docs))).collect();
    let is_in_scope = |index: usize| scope.as_ref().is_none_or(|scope| scope.binary_search(&index).is_ok());
    let rows = set.iter().zip(listed).enumerate().filter(|(index, _)| is_in_scope(*index));
    let loss = |(_, (partition, listed)): (usize, (Partition, u64))| {
        let held = held.get(&partition).copied().unwrap_or(0);
        PartitionLoss { partition, held, listed }
    };
    let losses = rows.map(loss).collect();
    Ok(Survey { set, scope, listing, losses })
}

/// The partition set of a new lake of which only a part is listed now: even shares, so that it serves for the rest too.
async fn balanced_set(options: &IngestOptions, layout: &OriginLayout) -> Result<PartitionSet> {
    let mut set = exact_partition_set(&balanced(options).await?);
    if let PartitionMode::Derived { rows_per_partition } = options.partitions {
        set.rows_per_partition = Some(rows_per_partition.get());
    }
    keep(&set, options, layout).await?;
    Ok(set)
}

async fn balanced(options: &IngestOptions) -> Result<Pivots> {
    let most_rows = match options.partitions {
        PartitionMode::Derived { rows_per_partition } => rows_per_partition,
        PartitionMode::Exact => DEFAULT_ROWS_PER_PARTITION,
    };
    let pivots = registry_pivots(&options.registry, PartSize::MaxRows(most_rows)).await;
    pivots.doing(|| "looking for pivots that part the registry's names evenly".to_owned())
}

async fn keep(set: &PartitionSet, options: &IngestOptions, layout: &OriginLayout) -> Result<()> {
    if options.dry_run {
        return Ok(());
    }
    options.store.put_record(&layout.partition_set(), set).await
}
