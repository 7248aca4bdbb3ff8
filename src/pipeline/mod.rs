//! The river, put together: pivots → scan → diff → fetch → table → shard → commit.
//!
//! One function, [`ingest()`], is the whole wiring; every bound on what is under way at once is a constant below. The
//! stages know nothing of each other. Not here: printing, arguments, and what a stage does inside.

mod bounds;
mod build;
#[cfg(test)]
mod crash_tests;
mod ingest;
mod lease;
mod listing;
mod losses;
mod open;
mod plan;
mod process;
mod progress;
mod run;
mod status;
mod summary;
mod verify;

pub use ingest::{IngestOptions, ingest};
pub use lease::{Lease, LeaseWatch};
pub use listing::PartitionMode;
pub use open::{open_lake, read_lake};
pub use progress::{Progress, ProgressSnapshot};
pub use run::RunStatus;
pub use status::{OriginStatus, TableStatus, lake_status, read_partition_set};
pub use summary::{IngestSummary, PlannedPartition, ScanSummary};
pub use verify::{Fault, Finding, Mending, OriginProof, prepare_repair, verify};
