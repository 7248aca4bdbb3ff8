//! Summary: what one ingest read, wrote, skipped and failed. Not here: how it is shown (`cli/`).

use std::time::Duration;

use serde::Serialize;

use super::build::PartitionJob;
use super::losses::lists_too_few;
use super::progress::ProgressSnapshot;

/// Names that a dry run shows of each partition.
const DRY_RUN_NAMES: usize = 5;

/// What one ingest did.
#[derive(Debug, Clone, Serialize)]
pub struct IngestSummary {
    /// The origin's name.
    pub origin: String,
    /// Where the lake lies.
    pub lake: String,
    /// Whether nothing was fetched and written because only the plan was asked for.
    pub dry_run: bool,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// All counters.
    pub counts: ProgressSnapshot,
    /// Requests sent, retries included.
    pub requests: u64,
    /// How long it took, in seconds.
    #[serde(rename = "elapsed_seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
    /// What the scan found wrong with the listing.
    pub scan: ScanSummary,
    /// Partitions whose interrupted commit was rolled forward at the start.
    pub commits_recovered: u64,
    /// Selected names that the registry does not list: the first of them, and how many.
    pub unlisted_names: Vec<String>,
    /// How many selected names the registry does not list.
    pub unlisted_count: u64,
    /// Partitions that grew past twice their size: file stem and rows.
    pub overgrown: Vec<(String, u64)>,
    /// What a dry run found, partition by partition; those without a change are left out.
    pub plan: Vec<PlannedPartition>,
}

impl IngestSummary {
    /// Whether every selected name has its document, or needs none, and the registry listed the names that it says it
    /// has.
    pub fn is_complete(&self) -> bool {
        let counts = &self.counts;
        let without = [
            counts.packuments_gone,
            counts.packuments_malformed,
            counts.packuments_stale,
            counts.packuments_failed,
            counts.names_without_document,
            self.unlisted_count,
        ];
        without.iter().all(|count| *count == 0)
            && !self.scan.missing_of_total().is_some_and(|(missing, total)| lists_too_few(missing, total))
    }
}

/// What the scan says of the registry's listing.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ScanSummary {
    /// Rows listed, each name once.
    pub listed: u64,
    /// `total_rows` of the first page and of the last.
    pub total_rows: Option<(u64, u64)>,
    /// How many rows fewer were listed than the registry says it has; `None` where it does not say.
    pub missing_rows: Option<u64>,
    /// Sentences about rows out of order, repeated, outside their range or unusable.
    pub warnings: Vec<String>,
}

impl ScanSummary {
    /// How many names fewer were listed than the registry says it has, and how many those are; `None` where it does not
    /// say.
    pub(super) fn missing_of_total(&self) -> Option<(u64, u64)> {
        self.missing_rows.map(|missing| (missing, missing + self.listed))
    }
}

/// What a dry run says of one partition.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedPartition {
    /// Its file stem.
    pub partition: String,
    /// Its rows in `_all_docs`.
    pub rows: u64,
    /// Names that are new.
    pub added: u64,
    /// Names at another revision.
    pub changed: u64,
    /// Names that are gone.
    pub removed: u64,
    /// Documents to fetch.
    pub fetch: u64,
    /// The first names to fetch.
    pub names: Vec<String>,
}

impl PlannedPartition {
    pub(super) fn of(job: &PartitionJob) -> PlannedPartition {
        let plan = &job.plan;
        PlannedPartition {
            partition: job.partition.file_stem(),
            rows: job.rows.len() as u64,
            added: plan.counts.added,
            changed: plan.counts.changed,
            removed: plan.counts.removed,
            fetch: plan.fetch.len() as u64,
            names: plan.fetch.iter().take(DRY_RUN_NAMES).map(|item| item.name.to_string()).collect(),
        }
    }
}

pub(super) fn seconds<S: serde::Serializer>(elapsed: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((elapsed.as_secs_f64() * 1000.0).round() / 1000.0)
}
