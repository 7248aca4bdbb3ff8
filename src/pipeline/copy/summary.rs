//! The settings and the result of a copy.

use std::num::NonZeroU64;
use std::time::Duration;

use serde::Serialize;

use crate::pipeline::progress::ProgressSnapshot;
use crate::pipeline::summary::seconds;

/// The settings of a copy.
#[derive(Debug, Clone, Default)]
pub struct CopyOptions {
    /// The origin; `None` for every origin of the lake that is copied.
    pub origin: Option<String>,
    /// The wanted number of rows per partition; `None` for the partitions as they are.
    pub rows_per_partition: Option<NonZeroU64>,
    /// Whether nothing is written: the summary then says what would be.
    pub dry_run: bool,
}

impl CopyOptions {
    /// Returns whether the names are cut anew.
    pub(super) fn is_cut(&self) -> bool {
        self.rows_per_partition.is_some()
    }
}

/// The result of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct CopySummary {
    /// The location of the lake that was copied.
    pub source: String,
    /// The location of the copy.
    pub lake: String,
    /// The origins.
    pub origins: Vec<String>,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// Partitions of the copy.
    pub partitions_total: u64,
    /// Partitions that were copied, or cut anew, in whole or in part.
    pub partitions_copied: u64,
    /// Partitions that the copy held already.
    pub partitions_current: u64,
    /// Partitions that were removed, because the lake that was copied does not hold them.
    pub partitions_removed: u64,
    /// Shards that were copied. Where partitions are cut anew: shards whose bytes differ from those that the copy held;
    /// their number is known only after the cut, so a dry run counts none.
    pub shards_copied: u64,
    /// Their bytes.
    pub bytes_copied: u64,
    /// Objects of the arrays that were copied or removed, with the package axis and without metadata.
    pub array_objects_copied: u64,
    /// Their bytes.
    pub array_bytes_copied: u64,
    /// Objects of the arrays that the copy held already, as far as they were compared: an array with the same metadata is not.
    pub array_objects_current: u64,
    /// Files of events that were copied.
    pub event_files_copied: u64,
    /// Views and reports that were copied.
    pub queries_copied: u64,
    /// Partitions of the copy whose interrupted commit was completed at the start.
    pub commits_recovered: u64,
    /// All counters.
    pub counts: ProgressSnapshot,
    /// How long it took, in seconds.
    #[serde(rename = "elapsed_seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
}
