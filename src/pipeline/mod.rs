//! The river, put together: pivots → scan → diff → fetch → table → shard → commit.
//!
//! One function, [`ingest()`], is the whole wiring; every bound on what is under way at once is a constant below. The
//! stages know nothing of each other. Not here: printing, arguments, and what a stage does inside.

mod balance;
mod bounds;
mod build;
mod clear;
#[cfg(test)]
mod crash_tests;
mod doc_rows;
mod document_shards;
mod documents;
mod ending;
mod ingest;
mod lease;
mod listing;
mod losses;
mod one_partition;
mod open;
mod options;
mod partitions;
mod plan;
mod process;
mod progress;
mod rebuild;
mod requests;
mod run;
mod scope;
mod status;
mod summary;
mod survey;
mod verify;

pub use balance::{ask_for_pivots, lake_pivots};
pub use clear::{ClearPart, Clearing};
pub use doc_rows::{DocShard, LakeRows};
pub use documents::{Absent, LakeDocuments};
pub use ingest::ingest;
pub use lease::{Lease, LeaseWatch};
pub use listing::PartitionMode;
pub use open::{no_lake, open_lake, raise_lake, read_lake};
pub use options::IngestOptions;
pub use partitions::{PartitionFault, PartitionState, partition_states, validate_partitions};
pub use progress::{Progress, ProgressSnapshot};
pub use rebuild::{RebuildOptions, RebuildSummary, rebuild};
pub use run::RunStatus;
pub use scope::Scope;
pub use status::{OriginStatus, TableStatus, lake_ages, lake_status, read_partition_set};
pub use summary::{IngestSummary, PlannedPartition, ScanSummary};
pub use verify::{Fault, Finding, LakeProof, Mending, OriginProof, prepare_repair, repair_records, verify};
