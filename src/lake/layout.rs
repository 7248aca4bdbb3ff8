//! Every path of the lake, relative to its root, with `/` between parts. No other file spells one.

use super::{Partition, TableKind};

/// The paths of a lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout;

impl Layout {
    /// The lake's front page, [`super::LakeInfo`].
    pub const INFO: &'static str = "all-docs.json";
    /// How many requests each host was sent this month.
    pub const REQUESTS: &'static str = "requests.json";
    /// The folder of the user's own views and reports.
    pub const QUERIES: &'static str = "queries";

    /// The paths of one origin.
    pub fn origin(name: &str) -> OriginLayout {
        OriginLayout { origin: name.to_owned() }
    }
}

/// The paths of one origin of a lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginLayout {
    origin: String,
}

impl OriginLayout {
    /// The origin's name: its folder and its SQL schema.
    pub fn name(&self) -> &str {
        &self.origin
    }

    /// The partition set, [`super::PartitionSet`].
    pub fn partition_set(&self) -> String {
        format!("{}/partitions.json", self.origin)
    }

    /// The folder of a table's shards.
    pub fn table(&self, table: TableKind) -> String {
        format!("{}/{table}", self.origin)
    }

    /// A shard: one table, one partition.
    pub fn shard(&self, table: TableKind, partition: &Partition) -> String {
        format!("{}/{table}/{}.parquet", self.origin, partition.file_stem())
    }

    /// The folder of all manifests.
    pub fn manifests(&self) -> String {
        format!("{}/manifest", self.origin)
    }

    /// A partition's manifest, [`super::Manifest`].
    pub fn manifest(&self, partition: &Partition) -> String {
        format!("{}/manifest/{}.json", self.origin, partition.file_stem())
    }

    /// The folder of all that is not yet committed.
    pub fn staging(&self) -> String {
        format!("{}/staging", self.origin)
    }

    /// The folder of what one partition has staged.
    pub fn partition_staging(&self, partition: &Partition) -> String {
        format!("{}/staging/{}", self.origin, partition.file_stem())
    }

    /// A new shard that waits for its commit.
    pub fn staged_shard(&self, table: TableKind, partition: &Partition) -> String {
        format!("{}/staging/{}/{table}.parquet", self.origin, partition.file_stem())
    }

    /// Whether a path is one that [`OriginLayout::commit_intent`] made.
    pub fn is_commit_intent(&self, path: &str) -> bool {
        path.starts_with(&self.staging()) && path.ends_with("/commit.json")
    }

    /// The commit that is under way: the manifest that will be true once every staged shard is in its place.
    pub fn commit_intent(&self, partition: &Partition) -> String {
        format!("{}/staging/{}/commit.json", self.origin, partition.file_stem())
    }

    /// A segment of answers that a run fetched and that are not committed yet.
    pub fn staged_answers(&self, partition: &Partition, run: u32, segment: u32) -> String {
        format!("{}/answers-{run:06}-{segment:06}.zst", self.partition_staging(partition))
    }

    /// The run and segment numbers of a path that [`OriginLayout::staged_answers`] made.
    pub fn parse_staged_answers(&self, path: &str) -> Option<(u32, u32)> {
        let (_, file) = path.rsplit_once('/')?;
        let numbers = file.strip_prefix("answers-")?.strip_suffix(".zst")?;
        let (run, segment) = numbers.split_once('-')?;
        Some((run.parse().ok()?, segment.parse().ok()?))
    }

    /// The rows of a first scan, from which the partition set is derived.
    pub fn scan_spool(&self) -> String {
        format!("{}/staging/scan.parquet", self.origin)
    }

    /// Who works on this origin, [`super::LockRecord`].
    pub fn lock(&self) -> String {
        format!("{}/lock.json", self.origin)
    }

    /// The folder of all that belongs to this origin.
    pub fn root(&self) -> &str {
        &self.origin
    }

    /// Where a file is put that lay where it did not belong. `at` tells one putting aside from another.
    pub fn set_aside(&self, path: &str, at: &str) -> String {
        let below = path.strip_prefix(self.origin.as_str()).unwrap_or(path).trim_start_matches('/');
        format!("{}/set-aside/{at}/{below}", self.origin)
    }

    /// What the process that works on this origin says of itself.
    pub fn run_status(&self) -> String {
        format!("{}/staging/run.json", self.origin)
    }
}
