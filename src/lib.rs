//! all-docs turns the npm registry into columns: `_all_docs` rows and packuments, streamed over HTTP into Arrow
//! batches, written as Parquet shards, one per table and partition of the name space, and answered about in SQL.
//!
//! The rooms below stand in the order of the law: a room uses only rooms named above it; doors do not use doors,
//! stages do not use stages. `tests/it/layering.rs` reads this list and holds it.

// words: no I/O, no async
pub mod error;
pub mod lake;
pub mod npm;

// stages: one step each
pub mod table;

pub mod shard;
