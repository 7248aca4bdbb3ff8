//! The report of a worker about one partition. The summary of a run is made of such reports.

use std::collections::BTreeMap;

use serde::Serialize;

use super::worker::PartitionPlan;
use crate::diff::FetchReason;
use crate::lake::{LockRecord, Manifest, Partition};
use crate::npm::{DocRow, PackageName};

/// The number of names per partition that a dry run shows.
const DRY_RUN_NAMES: usize = 5;
/// The number of documents per partition that a dry run lists with their reasons. It bounds the memory for a first
/// ingest, which requests all documents; an update requests some dozens of each partition.
const DRY_RUN_DOCUMENTS: usize = 1_000;

/// The result of one item of work.
#[derive(Debug, Clone)]
pub(super) struct PartitionReport {
    /// The file stem of the partition.
    pub(super) stem: String,
    /// How its work ended.
    pub(super) ended: Ended,
    /// Its rows of `_all_docs`.
    pub(super) rows: u64,
    /// Whether an interrupted commit was rolled forward first.
    pub(super) is_recovered: bool,
    /// Selected names that the registry does not list.
    pub(super) unlisted: Vec<PackageName>,
    /// The planned work, if there is any.
    pub(super) planned: Option<PlannedPartition>,
    /// The time at which the manifest was written that the plan began with, RFC 3339.
    pub(super) written_at: Option<String>,
    /// The events of its commit.
    pub(super) events: u64,
}

/// How the work on a partition ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// It matches the registry, and did before.
    Unchanged,
    /// New shards are in place.
    Committed,
    /// It was only planned.
    Planned,
    /// The run ends early; received documents are staged.
    LeftOut,
    /// Another process works on it.
    HeldBy(Box<LockRecord>),
}

/// The plan of a dry run for one partition.
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
    /// How many documents are to be fetched for each reason.
    pub reasons: BTreeMap<FetchReason, u64>,
    /// The first 1,000 documents to fetch, by name.
    pub documents: Vec<PlannedDocument>,
}

/// A document that a dry run would fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedDocument {
    /// The name of its package.
    pub name: String,
    /// Why it would be fetched.
    pub reason: FetchReason,
    /// The outcome of the last request; `None` if there was none.
    pub last_outcome: Option<&'static str>,
    /// How often that outcome was seen in a row.
    pub repetitions: Option<u32>,
}

impl PartitionReport {
    /// Returns the report of a planned partition: its new rows of `docs`, and its manifest before.
    pub(super) fn of(
        partition: &Partition,
        rows: &[DocRow],
        plan: &PartitionPlan,
        previous: Option<&Manifest>,
        ended: Ended,
    ) -> PartitionReport {
        let stem = partition.file_stem();
        let planned = (ended == Ended::Planned && !plan.is_unchanged()).then(|| PlannedPartition {
            partition: stem.clone(),
            rows: rows.len() as u64,
            added: plan.counts.added,
            changed: plan.counts.changed,
            removed: plan.counts.removed,
            fetch: plan.fetch.len() as u64,
            names: plan.fetch.iter().take(DRY_RUN_NAMES).map(|item| item.name.to_string()).collect(),
            reasons: reasons(plan),
            documents: documents(plan),
        });
        PartitionReport {
            stem,
            ended,
            rows: rows.len() as u64,
            is_recovered: false,
            unlisted: plan.unlisted.clone(),
            planned,
            written_at: previous.map(|manifest| manifest.written_at.clone()),
            events: 0,
        }
    }

    /// Returns the report of a partition that another process works on.
    pub(super) fn held_by(partition: &Partition, holder: LockRecord) -> PartitionReport {
        PartitionReport {
            stem: partition.file_stem(),
            ended: Ended::HeldBy(Box::new(holder)),
            rows: 0,
            is_recovered: false,
            unlisted: Vec::new(),
            planned: None,
            written_at: None,
            events: 0,
        }
    }
}

fn reasons(plan: &PartitionPlan) -> BTreeMap<FetchReason, u64> {
    let mut counts = BTreeMap::new();
    plan.reasons.iter().for_each(|reason| *counts.entry(*reason).or_default() += 1);
    counts
}

fn documents(plan: &PartitionPlan) -> Vec<PlannedDocument> {
    let planned = plan.fetch.iter().zip(&plan.reasons).take(DRY_RUN_DOCUMENTS);
    let document = planned.map(|(item, reason)| PlannedDocument {
        name: item.name.to_string(),
        reason: *reason,
        last_outcome: item.last.map(|last| last.outcome.as_str()),
        repetitions: item.last.map(|last| last.repetitions),
    });
    document.collect()
}
