//! Layout: every path of the lake, relative to its root, with `/` between parts. No other file contains one.

use super::Partition;
use crate::table::TableKind;

/// How many characters of a digest tell copies of one staged shard apart: far more than there are copies.
const KEPT_DIGEST_CHARS: usize = 16;

/// The paths of a lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout;

impl Layout {
    /// The lake metadata, [`super::LakeInfo`].
    pub const INFO: &'static str = "all-docs.json";
    /// The count of requests to each host this month.
    pub const REQUESTS: &'static str = "requests.json";
    /// The folder of the user's own views and reports.
    pub const QUERIES: &'static str = "queries";

    /// The folder of the files that `verify --repair` moved out of the root.
    pub const SET_ASIDE: &'static str = "set-aside";

    /// Returns the path to which a file is moved that cannot stay in the root. `at` keeps the moves of different times
    /// apart.
    pub fn set_aside(path: &str, at: &str) -> String {
        // The path may be a file itself.
        if path == Self::SET_ASIDE { format!("{path}-{at}") } else { format!("{}/{at}/{path}", Self::SET_ASIDE) }
    }

    /// Returns whether a text can be the name of an origin: its folder, and its schema in SQL.
    pub fn is_origin_name(text: &str) -> bool {
        text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.chars().all(|each| each.is_ascii_lowercase() || each.is_ascii_digit() || each == '_')
    }

    /// Returns the file stem of the lease under which names are added to the package axis.
    pub fn package_index_lease() -> &'static str {
        "package_index"
    }

    /// Returns the file stem of the lease of the process that follows the feed.
    pub fn follow_lease() -> &'static str {
        "follow"
    }

    /// Returns the file stem of the lease under which releases and the dependency graph are written.
    pub fn arrays_lease() -> &'static str {
        "arrays"
    }

    /// Returns the file stem of the lease of a work item with this digest.
    pub fn item_lease(digest: &str) -> String {
        format!("item-{digest}")
    }

    /// Returns the file stem of the lease of a block of rows of the download counts.
    pub fn downloads_lease(block: u32) -> String {
        format!("downloads-{block:06}")
    }

    /// Returns the number of the segment at a path that [`OriginLayout::staged_counts`] made.
    pub fn parse_staged_counts(path: &str) -> Option<u32> {
        path.rsplit_once('/')?.1.strip_prefix("counts-")?.strip_suffix(".segment")?.parse().ok()
    }

    /// Returns the paths of one origin.
    pub fn origin(name: &str) -> OriginLayout {
        OriginLayout { origin: name.to_owned() }
    }
}

/// The purpose of a file of an origin, by its path alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileRole<'a> {
    /// A file of the origin as a whole: the partition set, the lock, the status of a run, its spool, the arrays.
    Own,
    /// A path in a table's folder.
    Table {
        /// Its path from there.
        file: &'a str,
    },
    /// A path in a folder of events that is none of the lake's files there.
    Events {
        /// Its path from there.
        file: &'a str,
    },
    /// A path in the folder of manifests.
    Manifest {
        /// Its path from there.
        file: &'a str,
    },
    /// A path in a folder of staging.
    Staged {
        /// The partition that the folder is named after.
        stem: &'a str,
        /// Whether the file has a name that this tool gives to staged files.
        is_named: bool,
    },
    /// A file that was moved aside.
    SetAside,
    /// A path that is not the lake's.
    Unknown {
        /// Its path from the last folder that is the lake's.
        file: &'a str,
    },
}

/// The paths of one origin of a lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginLayout {
    origin: String,
}

impl OriginLayout {
    /// Returns the origin's name: its folder and its SQL schema.
    pub fn name(&self) -> &str {
        &self.origin
    }

    /// Returns the path of the partition set, [`super::PartitionSet`].
    pub fn partition_set(&self) -> String {
        format!("{}/partitions.json", self.origin)
    }

    /// Returns the folder of a table's shards.
    pub fn table(&self, table: TableKind) -> String {
        format!("{}/{table}", self.origin)
    }

    /// Returns the path of a shard: one table, one partition.
    pub fn shard(&self, table: TableKind, partition: &Partition) -> String {
        format!("{}/{table}/{}.parquet", self.origin, partition.file_stem())
    }

    /// Returns the folder of all manifests.
    pub fn manifests(&self) -> String {
        format!("{}/manifest", self.origin)
    }

    /// Returns the path of a partition's manifest, [`super::Manifest`].
    pub fn manifest(&self, partition: &Partition) -> String {
        self.manifest_of(&partition.file_stem())
    }

    /// Returns the path of the manifest of the partition with a file stem.
    pub fn manifest_of(&self, stem: &str) -> String {
        format!("{}/manifest/{stem}.json", self.origin)
    }

    /// Returns the folder of everything that is not yet committed.
    pub fn staging(&self) -> String {
        format!("{}/staging", self.origin)
    }

    /// Returns the folder of everything that one partition has staged.
    pub fn partition_staging(&self, partition: &Partition) -> String {
        format!("{}/staging/{}", self.origin, partition.file_stem())
    }

    /// Returns the path of a new shard that waits for its commit. Its name does not end in `.parquet`, so no tool that
    /// looks for Parquet files reads it.
    pub fn staged_shard(&self, table: TableKind, partition: &Partition) -> String {
        format!("{}/staging/{}/{table}.staged", self.origin, partition.file_stem())
    }

    /// Returns the path of the copy of a staged shard that outlives the scratch folder of the process that made it. The
    /// digest of the shard, in hex, keeps the copies of two processes apart.
    pub fn kept_shard(&self, table: TableKind, partition: &Partition, sha256: &str) -> String {
        let digest = sha256.get(..KEPT_DIGEST_CHARS).unwrap_or(sha256);
        format!("{}/staging/{}/{table}-{digest}.kept", self.origin, partition.file_stem())
    }

    /// Returns the path that an earlier version gave a staged shard.
    pub fn earlier_staged_shard(&self, table: TableKind, partition: &Partition) -> String {
        format!("{}/staging/{}/{table}.parquet", self.origin, partition.file_stem())
    }

    /// Returns whether a path is one that [`OriginLayout::commit_intent`] made.
    pub fn is_commit_intent(&self, path: &str) -> bool {
        path.starts_with(&self.staging()) && path.ends_with("/commit.json")
    }

    /// Returns the path of the commit in progress: the new manifest, valid once every staged shard is in its place.
    pub fn commit_intent(&self, partition: &Partition) -> String {
        format!("{}/staging/{}/commit.json", self.origin, partition.file_stem())
    }

    /// Returns the path of a segment of uncommitted answers that a run fetched.
    pub fn staged_answers(&self, partition: &Partition, run: u32, segment: u32) -> String {
        format!("{}/answers-{run:06}-{segment:06}.segment", self.partition_staging(partition))
    }

    /// Returns the run and segment numbers of a path that [`OriginLayout::staged_answers`] of this version or an
    /// earlier one made.
    pub fn parse_staged_answers(&self, path: &str) -> Option<(u32, u32)> {
        let (_, file) = path.rsplit_once('/')?;
        let numbers = file.strip_prefix("answers-")?;
        let numbers = numbers.strip_suffix(".segment").or_else(|| numbers.strip_suffix(".zst"))?;
        let (run, segment) = numbers.split_once('-')?;
        Some((run.parse().ok()?, segment.parse().ok()?))
    }

    /// Returns the path of the rows that the run `run` has listed, until it ends.
    pub fn scan_spool(&self, run: &str) -> String {
        format!("{}/staging/scan-{run}.rows", self.origin)
    }

    /// Returns the path of the lock of the whole origin, [`super::LockRecord`].
    pub fn lock(&self) -> String {
        format!("{}/lock.json", self.origin)
    }

    /// Returns the folder of the leases of partitions.
    pub fn leases(&self) -> String {
        format!("{}/leases", self.origin)
    }

    /// Returns the path of the lease of a partition, [`super::LockRecord`].
    pub fn lease(&self, partition: &Partition) -> String {
        self.lease_of(&partition.file_stem())
    }

    /// Returns the path of the lease of the partition with a file stem.
    pub fn lease_of(&self, stem: &str) -> String {
        format!("{}/leases/{stem}.json", self.origin)
    }

    /// Returns the folder of the kept results of work items.
    pub fn items(&self) -> String {
        format!("{}/items", self.origin)
    }

    /// Returns the path of the kept result of the item with this digest, [`super::KeptResult`].
    pub fn item(&self, digest: &str) -> String {
        format!("{}/items/{digest}.json", self.origin)
    }

    /// Returns the record of the overlay, [`super::Overlay`].
    pub fn overlay(&self) -> String {
        format!("{}/overlay/overlay.json", self.origin)
    }

    /// Returns the paths of the delta that holds the commits `first` to `last`.
    pub fn delta(&self, first: u64, last: u64) -> OriginLayout {
        OriginLayout { origin: format!("{}/overlay/{first:010}-{last:010}", self.origin) }
    }

    /// Returns the folder of the events that are not in a file of their day yet. A delta keeps those of its commit in its own
    /// until it is on record.
    pub fn feed(&self) -> String {
        format!("{}/feed", self.origin)
    }

    /// Returns the folder of the events, a Parquet file for each day.
    pub fn events(&self) -> String {
        format!("{}/events", self.origin)
    }

    /// Returns the paths of the origin to which a delta belongs, or those of this origin.
    pub fn whole_origin(&self) -> OriginLayout {
        OriginLayout { origin: self.origin.split('/').next().unwrap_or_default().to_owned() }
    }

    /// Returns the path of the record of the feed's places, for `follow`.
    pub fn follow(&self) -> String {
        format!("{}/follow.json", self.origin)
    }

    /// Returns the path of the package axis of the arrays: a Parquet file with the row of each name.
    pub fn package_index(&self) -> String {
        format!("{}/package_index.parquet", self.origin)
    }

    /// Returns the folder of the array of download counts, a Zarr group.
    pub fn downloads(&self) -> String {
        format!("{}/downloads.zarr", self.origin)
    }

    /// Returns the folder of the array of releases, a Zarr group.
    pub fn releases(&self) -> String {
        format!("{}/releases.zarr", self.origin)
    }

    /// Returns the folder of the dependency graph, a Zarr group.
    pub fn dependency_graph(&self) -> String {
        format!("{}/dependency_graph.zarr", self.origin)
    }

    /// Returns the folders of all arrays.
    pub fn arrays(&self) -> [String; 3] {
        [self.downloads(), self.releases(), self.dependency_graph()]
    }

    /// Returns the folder of the counts that were received for a block of rows and are not in the array yet.
    pub fn downloads_staging(&self, block: u32) -> String {
        format!("{}/staging/downloads-{block:06}", self.origin)
    }

    /// Returns the path of a segment of such counts.
    pub fn staged_counts(&self, block: u32, segment: u32) -> String {
        format!("{}/counts-{segment:06}.segment", self.downloads_staging(block))
    }

    /// Returns the folder of everything that belongs to this origin.
    pub fn root(&self) -> &str {
        &self.origin
    }

    /// Returns the path to which a misplaced file is moved. `at` keeps the moves of different times apart.
    pub fn set_aside(&self, path: &str, at: &str) -> String {
        let below = path.strip_prefix(self.origin.as_str()).unwrap_or(path).trim_start_matches('/');
        format!("{}/{}", self.origin, Layout::set_aside(below, at))
    }

    /// Returns the folders directly below the origin's. The first is the one into which files are moved aside.
    pub fn folders(&self) -> Vec<String> {
        let others =
            [format!("{}/{}", self.origin, Layout::SET_ASIDE), self.manifests(), self.staging(), self.leases()];
        others.into_iter().chain(TableKind::ALL.iter().map(|table| self.table(*table))).collect()
    }

    /// Returns the purpose of the file at a path below the origin's folder, by the path alone.
    pub fn role<'a>(&self, path: &'a str) -> FileRole<'a> {
        let Some(below) = path.strip_prefix(self.root()).and_then(|rest| rest.strip_prefix('/')) else {
            return FileRole::Unknown { file: path };
        };
        if let Some(role) = self.role_in_overlay(path) {
            return role;
        }
        let is_of_a_run = self.parse_run_status(path).is_some() || self.parse_scan_spool(path).is_some();
        // A version that kept one run per origin left these behind.
        let is_of_format_1 = matches!(below, "staging/run.json" | "staging/scan.parquet");
        if is_of_a_run
            || is_of_format_1
            || [self.partition_set(), self.lock(), self.follow()].iter().any(|own| own == path)
        {
            return FileRole::Own;
        }
        let is_of_array =
            self.arrays().iter().any(|array| path.strip_prefix(array).is_some_and(|rest| rest.starts_with('/')));
        let is_staged_count = below.starts_with("staging/downloads-") && Layout::parse_staged_counts(path).is_some();
        let is_own = is_of_array || is_staged_count || path == self.package_index();
        if is_own
            || self.is_of_events(path)
            || [self.staged_events_of_day(), self.event_outputs()].iter().any(|own| own == path)
        {
            return FileRole::Own;
        }
        match below.split_once('/') {
            Some((folder, file)) if TableKind::parse(folder).is_some() => FileRole::Table { file },
            Some(("feed" | "events", file)) => FileRole::Events { file },
            Some(("manifest", file)) => FileRole::Manifest { file },
            Some(("leases" | "items", file)) if file.ends_with(".json") && !file.contains('/') => FileRole::Own,
            Some((Layout::SET_ASIDE, _)) => FileRole::SetAside,
            Some(("staging", rest)) => match rest.split_once('/') {
                Some((stem, file)) => FileRole::Staged { stem, is_named: self.is_staged_name(path, file) },
                None => FileRole::Unknown { file: rest },
            },
            _ => FileRole::Unknown { file: below },
        }
    }

    fn is_staged_name(&self, path: &str, file: &str) -> bool {
        let is_table = |stem: &str| TableKind::parse(stem).is_some();
        let is_kept = |stem: &str| stem.split_once('-').is_some_and(|(table, _)| is_table(table));
        let is_events = file == "events.staged" || (file.starts_with("events-") && file.ends_with(".kept"));
        is_events
            || file == "commit.json"
            || [".staged", ".parquet"].iter().any(|suffix| file.strip_suffix(suffix).is_some_and(is_table))
            || file.strip_suffix(".kept").is_some_and(is_kept)
            || (self.parse_staged_answers(path).is_some() && !file.contains('/'))
    }

    /// Returns the path of the status file that the run `run` writes.
    pub fn run_status(&self, run: &str) -> String {
        format!("{}/staging/run-{run}.json", self.origin)
    }

    /// Returns the run whose status is at a path, by [`OriginLayout::run_status`].
    pub fn parse_run_status<'a>(&self, path: &'a str) -> Option<&'a str> {
        self.run_file(path)?.strip_prefix("run-")?.strip_suffix(".json")
    }

    /// Returns the run whose rows are at a path, by [`OriginLayout::scan_spool`] of this version or an earlier one.
    pub fn parse_scan_spool<'a>(&self, path: &'a str) -> Option<&'a str> {
        let run = self.run_file(path)?.strip_prefix("scan-")?;
        run.strip_suffix(".rows").or_else(|| run.strip_suffix(".parquet"))
    }

    /// Returns the name of a file directly in staging.
    fn run_file<'a>(&self, path: &'a str) -> Option<&'a str> {
        let file = path.strip_prefix(self.origin.as_str())?.strip_prefix("/staging/")?;
        (!file.contains('/')).then_some(file)
    }
}
