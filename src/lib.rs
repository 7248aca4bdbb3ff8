//! all-docs turns the npm registry into columns: `_all_docs` rows and packuments, streamed over HTTP into Arrow
//! batches, written as Parquet shards, one per table and partition of the name space, and answered about in SQL.
//!
//! The rooms below stand in the order of the law: a room uses only rooms named above it; doors do not use doors,
//! stages do not use stages. `tests/it/layering.rs` reads this list and holds it.

// words: no I/O, no async
pub mod error;
pub mod npm;
pub mod lake;

// doors: each knows one outside world
pub mod registry;
pub mod store;

// stages: one step each
pub mod scan;
pub mod diff;
pub mod fetch;
pub mod table;
pub mod shard;
pub mod commit;

// runs: put stages together, or read the result
pub mod pipeline;
#[cfg(feature = "query")]
pub mod query;

// beside: a registry on loopback that imports nothing of ours
pub mod sample;

// face: the only room that prints or reads the environment
pub mod cli;
