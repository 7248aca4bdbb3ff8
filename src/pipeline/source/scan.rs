//! Scan: lists the names in scope, and yields them as work for the partitions that store them. For a list of names it
//! scans their partitions.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt, TryStreamExt};

use super::listing::{Listing, SpoolPlace};
use super::{Scope, Source};
use crate::commit::read_manifests;
use crate::error::{Context, Doing, Error, ErrorKind, Result};
use crate::lake::{
    DEFAULT_ROWS_PER_PARTITION, Manifest, OriginLayout, PartSize, Partition, PartitionSet, Pivots, exact_partition_set,
};
use crate::pipeline::balance::registry_pivots;
use crate::pipeline::doubt::Sample;
use crate::pipeline::lease::{Attempt, Lease, given_back};
use crate::pipeline::losses::PartitionLoss;
use crate::pipeline::options::{IngestOptions, PartitionMode};
use crate::pipeline::overlay::OverlayView;
use crate::pipeline::progress::Progress;
use crate::pipeline::status::{keep_partition_set, read_partition_set};
use crate::pipeline::summary::ScanSummary;
use crate::pipeline::work::{Announced, Wanted, WorkItem};
use crate::store::Store;
use crate::table::TableKind;

/// The file stem of the lease under which a process makes the partition set, and the purpose in it.
const SET_LEASE: &str = "partitions";
const SET_PURPOSE: &str = "ingest";

/// A finished scan.
pub(in crate::pipeline) struct Scan {
    /// The lake's partitions.
    set: Arc<PartitionSet>,
    /// The indices of the listed partitions, ascending.
    scope: Vec<usize>,
    listing: Listing,
    /// The number of names that the listing lacks, for each partition that the lake holds.
    losses: Vec<PartitionLoss>,
    wanted: Arc<Wanted>,
    /// The spool folder of a dry run, which writes nothing into the lake.
    _elsewhere: Option<tempfile::TempDir>,
}

/// The keys between which a scan pages, and the lake's partitions if it has them already.
struct ScanPlan {
    set: Option<PartitionSet>,
    /// The indices of the partitions in scope; `None` for all of them.
    scope: Option<Vec<usize>>,
    /// The pivots, if they make the ranges.
    pivots: Option<Pivots>,
}

impl Scan {
    /// Lists the names in scope. A lake without a partition set gets one, and keeps it. `run` identifies the run among
    /// others that list the same origin.
    pub(in crate::pipeline) async fn run(
        options: &IngestOptions,
        layout: &OriginLayout,
        run: &str,
        wanted: Arc<Wanted>,
        progress: &Arc<Progress>,
    ) -> Result<Scan> {
        let elsewhere = match options.dry_run {
            true => {
                Some(tempfile::tempdir().or_error(ErrorKind::Lake, || "cannot make a temporary folder".to_owned())?)
            }
            false => None,
        };
        let spool_store = match &elsewhere {
            Some(folder) => Store::open(&folder.path().to_string_lossy())?,
            None => options.store.clone(),
        };
        let plan = plan(options, layout).await?;
        let (ranges, keys) = match (&plan.pivots, &plan.set, &plan.scope) {
            (Some(pivots), Some(set), _) => (pivots.ranges().collect(), set.boundaries.clone()),
            (Some(pivots), None, _) => (pivots.ranges().collect(), pivots.keys().to_vec()),
            (None, Some(set), Some(scope)) => {
                (scope.iter().map(|index| set.get(*index)).collect(), set.boundaries.clone())
            }
            (None, Some(set), None) => (set.iter().collect(), set.boundaries.clone()),
            (None, None, _) => return Err(Error::internal("a scan has neither pivots nor partitions")),
        };
        let place = SpoolPlace { store: &spool_store, path: layout.scan_spool(run) };
        let is_whole = plan.scope.is_none();
        let listing = Listing::scan(&options.registry, ranges, is_whole, keys, place, progress).await?;
        let set = match (plan.set, &plan.pivots) {
            (Some(set), _) => set,
            (None, Some(pivots)) => keep(listing.derive(pivots, options.partitions).await?, options, layout).await?,
            (None, None) => return Err(Error::internal("a scan has neither pivots nor partitions")),
        };
        let scope = plan.scope.unwrap_or_else(|| (0..set.count()).collect());
        let losses = losses(&set, &scope, &listing, options, layout).await?;
        Ok(Scan { set: Arc::new(set), scope, listing, losses, wanted, _elsewhere: elsewhere })
    }

    /// Takes some names, drawn evenly from the listing.
    pub(in crate::pipeline) fn take_sample(&mut self) -> Sample {
        std::mem::take(&mut self.listing.sample)
    }

    /// Returns the facts that the scan found about the registry.
    pub(in crate::pipeline) fn summary(&self) -> &ScanSummary {
        &self.listing.summary
    }

    /// Returns the number of names that the listing lacks, for each partition that the lake holds.
    pub(in crate::pipeline) fn losses(&self) -> &[PartitionLoss] {
        &self.losses
    }

    /// Returns the lake's partitions.
    pub(in crate::pipeline) fn partition_set(&self) -> &PartitionSet {
        &self.set
    }

    /// Removes the listed rows.
    pub(in crate::pipeline) async fn end(&self) -> Result<()> {
        self.listing.end().await
    }
}

impl Source for Scan {
    fn partition_count(&self) -> usize {
        self.scope.len()
    }

    fn work(&self, only: Option<BTreeSet<String>>) -> BoxStream<'_, Result<WorkItem>> {
        let mut wanted = self.scope.clone();
        if let Some(only) = only {
            wanted.retain(|index| only.contains(&self.set.get(*index).file_stem()));
        }
        let item = |(index, rows)| WorkItem {
            partition: self.set.get(index),
            announced: Announced::Listing { rows: Arc::new(rows), began_at_us: self.listing.began_at_us },
            wanted: Arc::clone(&self.wanted),
        };
        self.listing.partitions(Arc::clone(&self.set), wanted).map_ok(item).boxed()
    }
}

async fn plan(options: &IngestOptions, layout: &OriginLayout) -> Result<ScanPlan> {
    let held = read_partition_set(&options.store, layout).await?;
    if held.is_none() && !read_manifests(&options.store, layout).await?.is_empty() {
        // Other partitions beside the existing ones would hold every name a second time.
        return Err(Error::lake(format!("{} is gone, but the lake holds partitions", layout.partition_set()))
            .hint("all-docs verify --repair restores it from the manifests"));
    }
    if options.scope != Scope::All {
        let set = match held {
            Some(set) => set,
            None => first_set(options, layout).await?,
        };
        let scope = options.scope.partitions(&set, &options.selection);
        return Ok(ScanPlan { set: Some(set), scope, pivots: None });
    }
    let pivots = match (&options.pivots, &held) {
        (Some(pivots), _) => Some(pivots.clone()),
        (None, Some(_)) => None,
        (None, None) => Some(balanced(options).await?),
    };
    Ok(ScanPlan { set: held, scope: None, pivots })
}

/// Compares the rows of the partitions in scope with the rows that the lake holds of them. If the listing has just
/// defined the partition set, the lake is new, and nothing is compared.
async fn losses(
    set: &PartitionSet,
    scope: &[usize],
    listing: &Listing,
    options: &IngestOptions,
    layout: &OriginLayout,
) -> Result<Vec<PartitionLoss>> {
    let manifests = read_manifests(&options.store, layout).await?;
    if manifests.is_empty() {
        return Ok(Vec::new());
    }
    let overlay = OverlayView::read(&options.store, layout, &OverlayView::empty()).await?;
    // Names that a delta says are gone are no loss of this listing.
    let rows =
        |manifest: &Manifest| manifest.rows(TableKind::Docs).saturating_sub(overlay.gone_of(&manifest.partition));
    let held: HashMap<&Partition, u64> =
        manifests.iter().map(|manifest| (&manifest.partition, rows(manifest))).collect();
    let listed = listing.rows_between(&set.boundaries);
    let Some(listed) = listed else { return Ok(Vec::new()) };
    let loss = |&index: &usize| {
        let partition = set.get(index);
        let held = held.get(&partition).copied().unwrap_or(0);
        PartitionLoss { held, listed: listed.get(index).copied().unwrap_or(0), partition }
    };
    Ok(scope.iter().map(loss).collect())
}

/// Returns the partition set of a lake that had none, if only a part is listed now. Of several processes one makes it,
/// and the others wait, because it takes many requests.
async fn first_set(options: &IngestOptions, layout: &OriginLayout) -> Result<PartitionSet> {
    if options.dry_run {
        return balanced_set(options, layout).await;
    }
    loop {
        match Lease::of_stem(&options.store, layout, SET_LEASE, SET_PURPOSE).await? {
            Attempt::Taken(lease) => {
                let made = match read_partition_set(&options.store, layout).await {
                    Ok(None) => balanced_set(options, layout).await,
                    Ok(Some(set)) => Ok(set),
                    Err(error) => Err(error),
                };
                return lease.end_after(made).await;
            }
            Attempt::HeldBy(_) => drop(given_back(&options.store, layout, &[SET_LEASE.to_owned()].into()).await?),
        }
    }
}

/// Makes the partition set of a new lake if only a part is listed now. The shares are even, so the set serves for the
/// rest too.
async fn balanced_set(options: &IngestOptions, layout: &OriginLayout) -> Result<PartitionSet> {
    let mut set = exact_partition_set(&balanced(options).await?);
    if let PartitionMode::Derived { rows_per_partition } = options.partitions {
        set.rows_per_partition = Some(rows_per_partition.get());
    }
    keep(set, options, layout).await
}

async fn balanced(options: &IngestOptions) -> Result<Pivots> {
    let most_rows = match options.partitions {
        PartitionMode::Derived { rows_per_partition } => rows_per_partition,
        PartitionMode::Exact => DEFAULT_ROWS_PER_PARTITION,
    };
    let pivots = registry_pivots(&options.registry, PartSize::MaxRows(most_rows)).await;
    pivots.doing(|| "looking for pivots that cut the registry's names into equal shares".to_owned())
}

/// Stores the partition set of a new lake; if another process stored one meanwhile, that one is used.
async fn keep(set: PartitionSet, options: &IngestOptions, layout: &OriginLayout) -> Result<PartitionSet> {
    if options.dry_run {
        return Ok(set);
    }
    keep_partition_set(&options.store, layout, set).await
}
