//! The pipeline: pivots → scan → diff → fetch → table → shard → commit.
//!
//! One function, [`ingest()`], connects all stages. Every bound on concurrent work is a constant in a module below. The
//! stages know nothing of each other. Not here: printing, arguments, and the inside of a stage.

#[cfg(feature = "array")]
mod arrays;
mod balance;
#[cfg(test)]
mod beside_tests;
mod clear;
mod copy;
#[cfg(test)]
mod crash_tests;
mod doc_rows;
mod documents;
mod doubt;
#[cfg(feature = "array")]
mod downloads;
mod ending;
mod events;
#[cfg(test)]
mod far_tests;
#[cfg(feature = "queue")]
mod fleet;
mod fold;
mod follow;
mod followed;
mod hand_out;
mod ingest;
mod item_metrics;
mod items;
mod judge;
mod lease;
mod losses;
mod lost;
mod new_origin;
mod noted;
mod open;
mod open_files;
mod options;
mod overlay;
mod partitions;
mod process;
mod progress;
mod push;
mod rebuild;
mod recovery;
mod report;
mod requests;
mod run;
mod settled;
mod source;
mod status;
mod summary;
mod verify;
mod work;
mod work_off;
mod worker;

#[cfg(feature = "array")]
pub use arrays::{
    ArrayRepair, ArraysStatus, ArraysSummary, BuiltStatus, DownloadsStatus, GroupStatus, OriginArrays, arrays,
    lease_block, open_downloads, repair_arrays,
};
pub use balance::{ask_for_pivots, lake_pivots};
pub use clear::{ClearPart, Clearing};
pub use copy::{CopyOptions, CopySummary, copy};
pub use doc_rows::{DocShard, LakeRows};
pub use documents::{Absent, LakeDocuments};
#[cfg(feature = "array")]
pub use downloads::{Choice, DownloadsOptions, DownloadsSummary, Tiers, downloads};
pub use events::{EventKeeper, EventOutput, EventOutputs, EventSettings, Lines, keep_from};
#[cfg(feature = "queue")]
pub use fleet::{Consumer, QueueDispatch, QueueFleet};
pub use fold::{FoldOptions, FoldSummary, fold};
pub use follow::{Clock, FollowCounts, FollowMetrics, FollowOptions, FollowSummary, Round, RoundListing, follow};
pub use followed::FollowStatus;
pub use hand_out::Dispatch;
pub use ingest::{ingest, ingest_by_dispatch};
pub use item_metrics::ItemMetrics;
pub use items::{AFTER_HELD, ItemCounts, ItemOutcome, ItemRunner, RunnerOptions};
pub use lease::{Attempt, Lease, LeaseWatch};
pub use open::{LakeRoot, no_lake, open_lake, open_to_read, raise_lake, read_lake};
pub use options::{IngestOptions, PartitionMode};
pub use overlay::FoldPolicy;
pub use partitions::{PartitionFault, PartitionState, partition_states, validate_partitions};
pub use progress::{Progress, ProgressSnapshot};
pub use push::PushDispatch;
pub use rebuild::{RebuildOptions, RebuildSummary, rebuild};
pub use report::{PlannedDocument, PlannedPartition};
pub use run::RunStatus;
pub use source::{Changes, Scope, Share, Source};
pub use status::{EventsStatus, OriginStatus, OverlayStatus, TableStatus, lake_ages, lake_status, read_partition_set};
pub use summary::{IngestSummary, LakeState, OthersSummary, ScanSummary};
pub use verify::{
    Fault, Finding, LakeProof, Mending, OriginProof, prepare_repair, repair_overlay, repair_records, verify,
    verify_quickly,
};
pub use work::{Announced, Wanted, WorkItem};
