//! Shards: one file of one table for one partition, Parquet in and out, and the merge of an update.
//!
//! A Zarr shard is another thing and always called so. Not here: what the columns are (`table/`), and when a shard
//! counts (`commit`).

mod merge;
mod properties;
mod reader;
mod writer;

pub use merge::ShardMerge;
pub use reader::{HeldOutcome, ShardReader, abbreviated_names, doc_rows, held_outcomes};
pub use writer::ShardWriter;

#[cfg(test)]
mod tests;
