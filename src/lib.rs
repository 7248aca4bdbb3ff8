//! all-docs turns the npm registry into columns: `_all_docs` rows and packuments, streamed over HTTP into Arrow
//! batches, written as Parquet shards, one per table and partition of the name space, and answered about in SQL.
//!
//! The modules below stand in layers, and their order is the law: a module uses only modules named above it; adapters
//! do not use adapters, stages do not use stages. `tests/it/layering.rs` reads this list and holds it.

// core: no I/O, no async, no threads
pub mod error;
pub mod version;
pub mod npm;
pub mod table;
pub mod lake;
pub mod encode;

// adapters: each knows one outside world
pub mod registry;
pub mod store;

// stages: one step each
pub mod scan;
pub mod diff;
pub mod fetch;
pub mod shard;
pub mod commit;

// runs: put stages together, or read the result
pub mod pipeline;
#[cfg(feature = "query")]
pub mod query;

// beside: a registry on loopback that imports nothing of ours
pub mod sample;

// command line: the only module that prints or reads the environment
pub mod cli;
