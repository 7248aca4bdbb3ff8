//! The arrays of a lake: their package axis, the releases and the dependency graph from its tables, and the array of
//! download counts opened. Not here: the format of the arrays (`array`), and requests for counts.

mod axis;
mod edges;
mod releases;
mod repair;
mod status;
mod tables;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use self::axis::refresh_axis;
use self::edges::read_graph;
use self::releases::read_releases;
pub use self::repair::{ArrayRepair, repair_arrays};
pub(super) use self::status::arrays_status;
pub use self::status::{ArraysStatus, BuiltStatus, DownloadsStatus, GroupStatus};
use self::tables::digest_of_tables;
use super::fold::fold_all;
use super::lease::{Attempt, Lease, given_back, held_by};
use super::open::{no_lake, raise_lake, read_lake};
use super::summary::seconds;
use crate::array::{Downloads, FIRST_DAY, PackageAxis, Right, Written, note_tables};
use crate::commit::{Right as _, read_manifests};
use crate::error::{Doing, Error, Result};
use crate::lake::{Layout, OriginLayout};
use crate::store::Store;

/// The command for which a repair takes leases.
const PURPOSE_OF_REPAIR: &str = "verify --repair";

/// The result of building the arrays of a lake.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ArraysSummary {
    /// The location of the lake.
    pub lake: String,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// The arrays that were built, by origin.
    pub origins: Vec<OriginArrays>,
    /// How long it took, in seconds.
    #[serde(rename = "elapsed_seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
}

/// The arrays of one origin.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct OriginArrays {
    /// The origin.
    pub origin: String,
    /// The rows of the package axis.
    pub packages: u64,
    /// Versions that are in a month of `releases.zarr`.
    pub versions: u64,
    /// Versions that have no time, or one outside the months.
    pub versions_without_month: u64,
    /// Objects of `releases.zarr` that were written.
    pub releases_shards_written: u64,
    /// The generation of `releases.zarr`.
    pub releases_generation: u64,
    /// The nodes of the graph.
    pub graph_nodes: u64,
    /// Those of them that have no row in the package axis.
    pub graph_nodes_outside: u64,
    /// The edges of the graph.
    pub graph_edges: u64,
    /// Objects of `dependency_graph.zarr` that were written.
    pub graph_shards_written: u64,
    /// The generation of `dependency_graph.zarr`.
    pub graph_generation: u64,
}

/// Builds `releases.zarr` and `dependency_graph.zarr` of an origin, or of all, from the tables of a lake. `stop` ends it
/// before the next array.
///
/// Fails with [`crate::error::ErrorKind::Lake`] if there is no lake or no such origin, for a lake of a newer version, while
/// another process builds arrays, and if a shard is lost or damaged.
pub async fn arrays(store: &Store, origin: Option<&str>, stop: CancellationToken) -> Result<ArraysSummary> {
    let started = Instant::now();
    let info = read_lake(store).await?.ok_or_else(|| no_lake(&store.location()))?;
    let names: Vec<String> =
        info.origins.into_keys().filter(|name| origin.is_none_or(|wanted| wanted == name)).collect();
    if names.is_empty() {
        return Err(Error::lake(format!("the lake {} has no origin {}", store.location(), origin.unwrap_or_default()))
            .hint("all-docs status shows its origins"));
    }
    raise_lake(store).await?;
    let mut summary = ArraysSummary { lake: store.location(), ..ArraysSummary::default() };
    for name in names {
        if stop.is_cancelled() {
            break;
        }
        let built = build(store, &Layout::origin(&name), today(), &stop).await;
        match built.doing(|| format!("building the arrays of {name}"))? {
            Some(built) => summary.origins.push(built),
            None => break,
        }
    }
    summary.interrupted = stop.is_cancelled();
    summary.elapsed = started.elapsed();
    Ok(summary)
}

/// Builds the arrays of an origin; `None` if it was stopped before all were written.
async fn build(
    store: &Store,
    layout: &OriginLayout,
    today: Date,
    stop: &CancellationToken,
) -> Result<Option<OriginArrays>> {
    let lease = match Lease::of_stem(store, layout, Layout::arrays_lease(), "arrays").await? {
        Attempt::Taken(lease) => lease,
        Attempt::HeldBy(holder) => return Err(held_by(&holder, store, layout)),
    };
    let right = right_of(&lease);
    let built = async {
        // The arrays are built from the base alone.
        fold_all(store, layout, stop).await?;
        if stop.is_cancelled() {
            return Ok(None);
        }
        // Tables that change meanwhile are newer than the arrays.
        let tables = digest_of_tables(&read_manifests(store, layout).await?);
        let (of_axis, axis) = hold_axis(store, layout, today, &[]).await?;
        of_axis.end().await?;
        if stop.is_cancelled() {
            return Ok(None);
        }
        let releases = read_releases(store, layout, &axis, today).await?;
        let (versions, versions_without_month) = (releases.versions(), releases.without_month());
        let Written { shards: releases_shards_written, generation: releases_generation } =
            releases.write(store, layout, &axis, today, &right).await?;
        if stop.is_cancelled() {
            return Ok(None);
        }
        let graph = read_graph(store, layout, &axis).await?;
        let (nodes, outside, edges) = (graph.nodes() as u64, graph.outside() as u64, graph.edges() as u64);
        let Written { shards: graph_shards_written, generation: graph_generation } =
            graph.write(store, layout, &right).await?;
        right()?;
        note_tables(store, layout, &tables).await?;
        Ok(Some(OriginArrays {
            origin: layout.name().to_owned(),
            packages: axis.rows().into(),
            versions,
            versions_without_month,
            releases_shards_written,
            releases_generation,
            graph_nodes: nodes,
            graph_nodes_outside: outside,
            graph_edges: edges,
            graph_shards_written,
            graph_generation,
        }))
    };
    lease.end_after(built.await).await
}

/// Opens `downloads.zarr` of an origin with a row for each name of the lake and of `others`, and the days up to `last_day`.
/// Waits while another process brings the package axis up to date.
pub async fn open_downloads(
    store: &Store,
    layout: &OriginLayout,
    last_day: Date,
    today: Date,
    others: &[String],
) -> Result<(Arc<PackageAxis>, Downloads)> {
    let (lease, axis) = hold_axis(store, layout, today, others).await?;
    let opened = Downloads::open(store, layout, &axis, last_day, &right_of(&lease)).await;
    Ok((axis, lease.end_after(opened).await?))
}

/// Opens `downloads.zarr` under the lease of the axis, without more days.
async fn open_held(store: &Store, layout: &OriginLayout, axis: &PackageAxis, right: &Right) -> Result<Downloads> {
    Downloads::open(store, layout, axis, FIRST_DAY, right).await
}

/// Tries to take the lease of a block of rows of `downloads.zarr`.
pub async fn lease_block(store: &Store, layout: &OriginLayout, block: u32, purpose: &str) -> Result<Attempt> {
    Lease::of_stem(store, layout, &Layout::downloads_lease(block), purpose).await
}

/// Takes the lease of the package axis, and brings the axis up to date. Waits while another process does so. The caller ends
/// the lease with [`Lease::end_after`].
async fn hold_axis(
    store: &Store,
    layout: &OriginLayout,
    today: Date,
    others: &[String],
) -> Result<(Lease, Arc<PackageAxis>)> {
    let stem = Layout::package_index_lease();
    let lease = loop {
        match Lease::of_stem(store, layout, stem, "the package axis").await? {
            Attempt::Taken(lease) => break lease,
            Attempt::HeldBy(_) => drop(given_back(store, layout, &[stem.to_owned()].into()).await?),
        }
    };
    match refresh_axis(store, layout, today, others, &right_of(&lease)).await {
        Ok(axis) => Ok((lease, axis)),
        Err(error) => lease.end_after(Err(error)).await,
    }
}

/// Returns the right to write that a lease gives.
fn right_of(lease: &Lease) -> Right {
    let watch = lease.watch();
    Arc::new(move || watch.check())
}

fn today() -> Date {
    jiff::Timestamp::now().to_zoned(TimeZone::UTC).date()
}
