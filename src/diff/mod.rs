//! What a new listing means for the lake: which names were added, changed or removed, and which documents to fetch.
//!
//! Pure merge-joins of sequences that are sorted by name, in constant memory. Not here: where the rows come from
//! (`scan`, the docs shards), and who acts on the answer (`fetch`, `shard`).

mod changes;
mod fetch_plan;
mod join;

pub use changes::{ChangeCounts, diff};
pub use fetch_plan::{FetchReason, Known, PlannedStep, Selection, Step, plan_fetch};
