//! Summary: everything that one ingest read, wrote, skipped and failed. Not here: how it is shown (`cli/`).

use std::time::Duration;

use futures::future::try_join;
use serde::Serialize;

use super::item_metrics::ItemMetrics;
use super::losses::lists_too_few;
use super::open::note_age;
use super::options::IngestOptions;
use super::overlay::changed_counts;
use super::progress::{Progress, ProgressSnapshot};
use super::report::{Ended, PartitionReport, PlannedPartition};
use super::status::read_partition_set;
use crate::commit::read_manifests;
use crate::error::Result;
use crate::lake::{OriginLayout, PartitionSet};
use crate::table::TableKind;

/// How many unlisted names a summary shows.
const UNLISTED_NAMES_SHOWN: usize = 10;

/// The result of one ingest.
#[derive(Debug, Clone, Serialize)]
pub struct IngestSummary {
    /// The origin's name.
    pub origin: String,
    /// The location of the lake.
    pub lake: String,
    /// Whether only the plan was wanted, so that nothing was fetched or written.
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
    /// The faults that the scan found in the listing.
    pub scan: ScanSummary,
    /// Partitions whose interrupted commit was rolled forward at the start.
    pub commits_recovered: u64,
    /// The first of the selected names that the registry does not list.
    pub unlisted_names: Vec<String>,
    /// How many selected names the registry does not list.
    pub unlisted_count: u64,
    /// Partitions that grew past twice their size: file stem and rows.
    pub overgrown: Vec<(String, u64)>,
    /// The result of a dry run, partition by partition; partitions without a change are left out.
    pub plan: Vec<PlannedPartition>,
    /// The work of other processes meanwhile.
    pub others: OthersSummary,
    /// The contents of the origin in the lake now.
    pub state: LakeState,
}

impl IngestSummary {
    /// Returns whether every selected name has its document, or needs none, and the registry listed the names that it
    /// claims to have.
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

/// The facts that the scan found about the registry's listing.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ScanSummary {
    /// Rows listed, each name once.
    pub listed: u64,
    /// `total_rows` of the first page and of the last.
    pub total_rows: Option<(u64, u64)>,
    /// How many rows fewer were listed than the registry claims to have; `None` if it does not state a number.
    pub missing_rows: Option<u64>,
    /// Warnings about rows out of order, repeated, outside their range or unusable.
    pub warnings: Vec<String>,
}

impl ScanSummary {
    /// Returns how many names fewer were listed than the registry claims to have, and the claimed number; `None` if it
    /// does not state one.
    pub(super) fn missing_of_total(&self) -> Option<(u64, u64)> {
        self.missing_rows.map(|missing| (missing, missing + self.listed))
    }
}

/// Collects the parts of the summary beyond the counters.
pub(super) struct SummaryBuilder {
    began_at_us: i64,
    scan: ScanSummary,
    rows_per_partition: Option<u64>,
    commits_recovered: u64,
    unlisted_names: Vec<String>,
    unlisted_count: u64,
    overgrown: Vec<(String, u64)>,
    plan: Vec<PlannedPartition>,
    others: OthersSummary,
    requests_of_others: u64,
}

impl SummaryBuilder {
    /// Starts the summary of a run that began at a moment, in microseconds since 1970.
    pub(super) fn new(began_at_us: i64) -> SummaryBuilder {
        SummaryBuilder {
            began_at_us,
            scan: ScanSummary::default(),
            rows_per_partition: None,
            commits_recovered: 0,
            unlisted_names: Vec::new(),
            unlisted_count: 0,
            overgrown: Vec::new(),
            plan: Vec::new(),
            others: OthersSummary::default(),
            requests_of_others: 0,
        }
    }

    pub(super) fn add_scan(&mut self, scan: &ScanSummary, set: &PartitionSet, warning: Option<String>) {
        self.scan = scan.clone();
        self.scan.warnings.extend(warning);
        self.rows_per_partition = set.rows_per_partition;
    }

    pub(super) fn add(&mut self, report: PartitionReport) {
        if let Ended::HeldBy(holder) = report.ended {
            let process = format!("process {} on {}", holder.process_id, holder.host);
            if !self.others.processes.contains(&process) {
                self.others.processes.push(process);
            }
            return;
        }
        self.commits_recovered += u64::from(report.is_recovered);
        self.unlisted_count += report.unlisted.len() as u64;
        let room = UNLISTED_NAMES_SHOWN.saturating_sub(self.unlisted_names.len());
        self.unlisted_names.extend(report.unlisted.iter().take(room).map(ToString::to_string));
        if self.rows_per_partition.is_some_and(|rows| report.rows > rows * 2) {
            self.overgrown.push((report.stem.clone(), report.rows));
        }
        let was_written = report.written_at.as_deref().and_then(|at| at.parse::<jiff::Timestamp>().ok());
        if report.ended == Ended::Unchanged && was_written.is_some_and(|at| at.as_microsecond() >= self.began_at_us) {
            self.others.partitions += 1;
        }
        self.plan.extend(report.planned);
    }

    /// Adds the work of another process.
    pub(super) fn add_item(&mut self, metrics: ItemMetrics) {
        self.requests_of_others += metrics.requests;
        self.commits_recovered += metrics.commits_recovered;
        self.overgrown.extend(metrics.overgrown);
    }

    /// Returns the counters of an item that this was the work of, and who held a partition of it.
    pub(super) fn into_item(self, progress: &Progress, requests: u64) -> (ItemMetrics, Vec<String>) {
        let metrics = ItemMetrics {
            counts: progress.snapshot(),
            requests,
            commits_recovered: self.commits_recovered,
            overgrown: self.overgrown,
        };
        (metrics, self.others.processes)
    }

    pub(super) async fn finish(
        self,
        options: &IngestOptions,
        layout: &OriginLayout,
        progress: &Progress,
        interrupted: bool,
        elapsed: Duration,
    ) -> Result<IngestSummary> {
        let state = LakeState::read(options, layout).await?;
        Ok(IngestSummary {
            origin: layout.name().to_owned(),
            lake: options.store.location(),
            dry_run: options.dry_run,
            interrupted,
            counts: progress.snapshot(),
            requests: options.registry.statistics().requests + self.requests_of_others,
            elapsed,
            scan: self.scan,
            commits_recovered: self.commits_recovered,
            unlisted_names: self.unlisted_names,
            unlisted_count: self.unlisted_count,
            overgrown: self.overgrown,
            plan: self.plan,
            others: self.others,
            state,
        })
    }
}

/// The work of other processes meanwhile, as far as this one observed it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OthersSummary {
    /// Partitions that they brought up to date before this process came to them.
    pub partitions: u64,
    /// The processes that held a partition when this one came to it.
    pub processes: Vec<String>,
}

/// The contents of an origin in a lake, by its manifests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LakeState {
    /// Partitions that are committed.
    pub partitions_committed: u64,
    /// Partitions of the set; 0 before the first scan has ended.
    pub partitions_total: u64,
    /// Names in `docs`.
    pub names: u64,
    /// Documents that are held.
    pub documents: u64,
}

impl LakeState {
    async fn read(options: &IngestOptions, layout: &OriginLayout) -> Result<LakeState> {
        let set = read_partition_set(&options.store, layout);
        let (set, manifests) = try_join(set, read_manifests(&options.store, layout)).await?;
        if !options.dry_run {
            note_age(&options.store, layout.name(), &manifests).await?;
        }
        let rows = |table| manifests.iter().map(|manifest| manifest.rows(table)).sum::<u64>();
        let (names, documents) = (rows(TableKind::Docs), rows(TableKind::Packuments));
        let partitions_total = set.as_ref().map_or(0, |set| set.count() as u64);
        let over = changed_counts(&options.store, layout, set).await?;
        Ok(LakeState {
            partitions_committed: manifests.len() as u64,
            partitions_total,
            names: names.saturating_add_signed(over.names),
            documents: documents.saturating_add_signed(over.documents),
        })
    }
}

pub(super) fn seconds<S: serde::Serializer>(elapsed: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((elapsed.as_secs_f64() * 1000.0).round() / 1000.0)
}
