//! Status: the contents of a lake by its manifests, shards that are lost, and the status of running
//! commands. Reads no shard.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::followed::{FollowStatus, follow_status};
use super::lease::{live_holder, live_workers};
use super::lost::{lost_shards, refuse_lost_origin};
use super::open::open_to_read;
use super::overlay::{ChangedCounts, changed_counts, refuse_lost_record};
use super::run::RunStatus;
use crate::commit::read_manifests;
use crate::error::{Error, Result};
use crate::lake::{Delta, LakeInfo, Layout, Manifest, OriginAge, OriginLayout, Overlay, PartitionSet};
use crate::store::{Listed, Store};
use crate::table::TableKind;

/// The contents of one origin of a lake.
#[derive(Debug, Clone, Serialize)]
pub struct OriginStatus {
    /// The origin's name.
    pub origin: String,
    /// The source of its rows.
    pub replicate_url: String,
    /// The source of its documents.
    pub registry_url: String,
    /// How many partitions there are; `None` before the first scan has ended.
    pub partitions_total: Option<u64>,
    /// How many have a manifest.
    pub partitions_committed: u64,
    /// The partitions and tables that earlier versions of the tool wrote; `all-docs rebuild` rebuilds them.
    pub old: OriginAge,
    /// The arrays; `None` if there are none.
    #[cfg(feature = "array")]
    pub arrays: Option<super::arrays::ArraysStatus>,
    /// The changes beside the tables; `None` if there are none. `tables` and `outcomes` do not count them.
    pub overlay: Option<OverlayStatus>,
    /// The events; `None` if there are none.
    pub events: Option<EventsStatus>,
    /// How far the registry's feed was followed; `None` if nothing is known of it.
    pub follow: Option<FollowStatus>,
    /// The paths of shards that manifests name and that are not there.
    pub lost: Vec<String>,
    /// Rows and bytes of each table.
    pub tables: BTreeMap<String, TableStatus>,
    /// How many names have each outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// The times at which the oldest and the newest manifest were written, RFC 3339.
    pub written: Option<(String, String)>,
    /// Partitions with files in staging: a run is in progress, or one died.
    pub partitions_staged: u64,
    /// The status of the commands that write it now.
    pub runs: Vec<RunStatus>,
    /// The last status of commands that died while they wrote it.
    pub dead_runs: Vec<RunStatus>,
    /// Whether a process that may write the origin is alive, by its lock and the leases of partitions.
    pub is_at_work: bool,
}

/// The contents of an overlay.
#[derive(Debug, Clone, Serialize)]
pub struct OverlayStatus {
    /// Its deltas.
    pub deltas: u64,
    /// The names whose newest rows it has, those that are gone included, as far as the record tells: a name that changed
    /// repeatedly counts repeatedly.
    pub names: u64,
    /// The bytes of its shards.
    pub size_bytes: u64,
    /// The time at which the oldest of its rows was committed, RFC 3339.
    pub oldest_at: String,
    /// How many names `docs` has with it, more or fewer than without.
    pub names_changed: i64,
    /// The same of documents.
    pub documents_changed: i64,
    /// Why its names cannot be counted.
    pub unreadable: Option<String>,
}

/// The files of events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EventsStatus {
    /// Days with events.
    pub days: u64,
    /// The first of them, and the last.
    pub first_day: Option<String>,
    /// The last of them.
    pub last_day: Option<String>,
    /// Commits whose events are in no file of a day yet.
    pub commits_in_feed: u64,
    /// Bytes over all files.
    pub size_bytes: u64,
}

/// The contents of one table.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct TableStatus {
    /// Shards.
    pub shards: u64,
    /// Rows over all shards.
    pub rows: u64,
    /// Bytes over all shards.
    pub size_bytes: u64,
}

/// Reads the contents of a lake, origin by origin; returns `None` if there is no lake.
pub async fn lake_status(store: &Store) -> Result<Option<Vec<OriginStatus>>> {
    let Some(root) = open_to_read(store).await? else { return Ok(None) };
    let mut origins = Vec::new();
    for (name, urls) in root.info.origins {
        let layout = Layout::origin(&name);
        let manifests = read_manifests(store, &layout).await?;
        refuse_lost_origin(store, &layout).await?;
        let staged = store.list(&layout.staging()).await?;
        let runs = RunStatus::among(store, &layout, &staged).await?;
        let (runs, dead_runs) = runs.into_iter().partition(RunStatus::is_alive);
        // An unreadable lock hides nothing else of the lake; `ingest` and `verify` name it.
        let is_at_work = matches!(live_holder(store, &layout.lock()).await, Ok(Some(_)))
            || live_workers(store, &layout).await.is_ok_and(|workers| !workers.is_empty());
        let listed = objects_there(store, &layout).await?;
        let there: BTreeSet<String> = listed.iter().map(|listed| listed.path.clone()).collect();
        let mut status = OriginStatus {
            #[cfg(feature = "array")]
            arrays: super::arrays::arrays_status(store, &layout, &manifests, &listed).await?,
            origin: name,
            replicate_url: urls.replicate_url,
            registry_url: urls.registry_url,
            partitions_total: read_partition_set(store, &layout).await?.map(|set| set.count() as u64),
            partitions_committed: manifests.len() as u64,
            old: OriginAge::of(&manifests),
            overlay: overlay_status(store, &layout, &there).await?,
            events: events_status(&layout, &listed),
            follow: match listed.iter().any(|listed| listed.path == layout.follow()) {
                true => follow_status(store, &layout, jiff::Timestamp::now().as_microsecond()).await?,
                false => None,
            },
            lost: lost_shards(store, &layout, &manifests, &there).await?,
            tables: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            written: None,
            partitions_staged: staged_partitions(&layout, &staged),
            runs,
            dead_runs,
            is_at_work,
        };
        for manifest in &manifests {
            for (table, shard) in &manifest.shards {
                let table = status.tables.entry(table.clone()).or_default();
                table.shards += 1;
                table.rows += shard.rows;
                table.size_bytes += shard.size_bytes;
            }
            for (outcome, count) in &manifest.outcomes {
                *status.outcomes.entry(outcome.clone()).or_insert(0) += count;
            }
        }
        let times = manifests.iter().map(|manifest| &manifest.written_at);
        status.written = times.clone().min().cloned().zip(times.max().cloned());
        origins.push(status);
    }
    Ok(Some(origins))
}

/// Reads the record of an overlay, and counts its names. `there` are the files of the origin.
async fn overlay_status<'p>(
    store: &Store,
    layout: &OriginLayout,
    there: impl IntoIterator<Item = &'p String>,
) -> Result<Option<OverlayStatus>> {
    let Some(record) = store.read_record::<Overlay>(&layout.overlay()).await? else {
        return refuse_lost_record(layout, there).map(|()| None);
    };
    let Some(oldest_at_us) = record.deltas.iter().map(|delta| delta.oldest_at_us).min() else { return Ok(None) };
    let set = read_partition_set(store, layout).await?;
    let (changed, unreadable) = match changed_counts(store, layout, set).await {
        Ok(changed) => (changed, None),
        Err(error) => (ChangedCounts::default(), Some(error.report())),
    };
    let sum = |count: fn(&Delta) -> u64| record.deltas.iter().map(count).sum();
    Ok(Some(OverlayStatus {
        deltas: record.deltas.len() as u64,
        names: sum(|delta| delta.names),
        size_bytes: sum(|delta| delta.size_bytes),
        oldest_at: jiff::Timestamp::from_microsecond(oldest_at_us).map_or_else(|_| String::new(), |at| at.to_string()),
        names_changed: changed.names,
        documents_changed: changed.documents,
        unreadable,
    }))
}

/// Counts the files of events among those that were listed.
fn events_status(layout: &OriginLayout, listed: &[Listed]) -> Option<EventsStatus> {
    let mut status = EventsStatus::default();
    for file in listed {
        if let Some(day) = layout.parse_events_of_day(&file.path).map(|day| day.to_string()) {
            status.days += 1;
            status.first_day = Some(status.first_day.take().map_or(day.clone(), |first| first.min(day.clone())));
            status.last_day = status.last_day.take().max(Some(day));
        } else if layout.parse_feed_file(&file.path).is_some() {
            status.commits_in_feed += 1;
        } else {
            continue;
        }
        status.size_bytes += file.size_bytes;
    }
    (status != EventsStatus::default()).then_some(status)
}

/// Lists the shards of an origin, the objects of its arrays, its events, and its overlay.
async fn objects_there(store: &Store, layout: &OriginLayout) -> Result<Vec<Listed>> {
    if store.is_far() {
        // Whole pages of one listing are fewer than the pages of a listing for each table.
        return store.list_sized(layout.root()).await;
    }
    let mut listed = store.list_folder(layout.root()).await?.objects;
    let folders = TableKind::ALL.into_iter().map(|table| layout.table(table));
    let others = [layout.events(), layout.feed(), layout.overlay_folder()];
    for folder in folders.chain(layout.arrays()).chain(others) {
        listed.extend(store.list_sized(&folder).await?);
    }
    Ok(listed)
}

/// Returns what earlier versions of the tool wrote of each origin. Unreadable manifests are passed over.
pub async fn lake_ages(store: &Store, info: &LakeInfo) -> Result<BTreeMap<String, OriginAge>> {
    let mut ages = BTreeMap::new();
    for name in info.origins.keys() {
        // On a disk the manifests are at hand, and tell what the partitions are whoever wrote them.
        if store.is_far() && info.is_current(name) {
            ages.insert(name.clone(), OriginAge::default());
            continue;
        }
        let listed = store.list_sized(&Layout::origin(name).manifests()).await?;
        let texts = store.get_all_listed(listed).await?;
        let manifests: Vec<Manifest> = texts.iter().filter_map(|(_, text)| serde_json::from_slice(text).ok()).collect();
        if manifests.is_empty() {
            refuse_lost_origin(store, &Layout::origin(name)).await?;
        }
        ages.insert(name.clone(), OriginAge::of(&manifests));
    }
    Ok(ages)
}

/// Reads the partition set of an origin; returns `None` before its first scan has ended.
pub async fn read_partition_set(store: &Store, layout: &OriginLayout) -> Result<Option<PartitionSet>> {
    store.read_record(&layout.partition_set()).await
}

/// Stores the partition set of an origin that has none yet, and returns the set that it then has: another process may
/// have been faster.
pub(super) async fn keep_partition_set(
    store: &Store,
    layout: &OriginLayout,
    set: PartitionSet,
) -> Result<PartitionSet> {
    let path = layout.partition_set();
    if let Some(created) = store.create_record(&path, set).await? {
        return Ok(created.record);
    }
    store.read_record(&path).await?.ok_or_else(|| Error::lake(format!("{path} vanished")))
}

fn staged_partitions(layout: &OriginLayout, staged: &[String]) -> u64 {
    let prefix = format!("{}/", layout.staging());
    let partitions = staged.iter().filter_map(|path| path.strip_prefix(&prefix)?.split_once('/'));
    let mut partitions: Vec<&str> = partitions.map(|(partition, _)| partition).collect();
    partitions.dedup();
    partitions.len() as u64
}

impl OriginStatus {
    /// Returns the tables in the order of the documentation.
    pub fn tables_in_order(&self) -> impl Iterator<Item = (&'static str, &TableStatus)> {
        TableKind::ALL.into_iter().filter_map(|kind| Some((kind.as_str(), self.tables.get(kind.as_str())?)))
    }
}
