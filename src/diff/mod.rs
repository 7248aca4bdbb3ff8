//! The meaning of a new listing for the lake: which names were added, changed or removed, and which documents to fetch.
//!
//! Pure merge-joins of sequences sorted by name, in constant memory. Not here: the source of the rows (`scan`, the docs
//! shards), and acting on the result (`fetch`, `shard`).

mod changes;
mod fetch_plan;
mod join;

pub use changes::{ChangeCounts, diff};
pub use fetch_plan::{FetchReason, PlannedName, Selection, Step, WantedDocuments, plan_fetch};
