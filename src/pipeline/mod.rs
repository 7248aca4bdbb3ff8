//! The river, put together: pivots → scan → diff → fetch → table → shard → commit.
//!
//! One function, [`ingest()`], is the whole wiring; every bound on what is under way at once is a constant below. The
//! stages know nothing of each other. Not here: printing, arguments, and what a stage does inside.

mod balance;
mod build;
mod clear;
mod doc_rows;
mod documents;
mod ingest;
mod listing;
mod open;
mod partitions;
mod plan;
mod progress;
mod run;
mod scope;
mod status;
mod summary;
mod survey;

pub use balance::{ask_for_pivots, lake_pivots};
pub use clear::{ClearPart, Clearing};
pub use doc_rows::{DocShard, LakeRows};
pub use documents::{Absent, LakeDocuments};
pub use ingest::{IngestOptions, ingest};
pub use listing::PartitionMode;
pub use open::{open_lake, read_lake};
pub use partitions::{PartitionFault, PartitionState, partition_states, validate_partitions};
pub use progress::{Progress, ProgressSnapshot};
pub use run::RunStatus;
pub use scope::Scope;
pub use status::{OriginStatus, TableStatus, lake_status};
pub use summary::{IngestSummary, PlannedPartition, ScanSummary};
