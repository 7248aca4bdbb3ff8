//! all-docs turns the npm registry into columns. It streams `_all_docs` rows and packuments over HTTP into Arrow
//! batches, writes them as Parquet shards, one per table and partition of the name space, and queries them in SQL.
//!
//! The modules below form layers, and their order is binding: a module uses only modules listed above it; adapters do
//! not use adapters, stages do not use stages. `tests/it/layering.rs` reads this list and enforces it.

// core: no I/O, no async, no threads; compiles alone
pub mod error;
pub mod version;
pub mod npm;
pub mod table;
pub mod lake;
pub mod encode;

// adapters: each knows one outside world
#[cfg(feature = "pipeline")]
pub mod registry;
#[cfg(feature = "pipeline")]
pub mod store;
#[cfg(feature = "queue")]
pub mod queue;
#[cfg(feature = "pipeline")]
pub mod script;
#[cfg(feature = "pipeline")]
pub mod text;
#[cfg(feature = "plot")]
pub mod plot;

// stages: one step each
#[cfg(feature = "pipeline")]
pub mod scan;
#[cfg(feature = "pipeline")]
pub mod diff;
#[cfg(feature = "pipeline")]
pub mod fetch;
#[cfg(feature = "pipeline")]
pub mod follow;
#[cfg(feature = "pipeline")]
pub mod shard;
#[cfg(feature = "pipeline")]
pub mod commit;
#[cfg(feature = "pipeline")]
pub mod event;
#[cfg(feature = "array")]
pub mod array;

// runs: put stages together, or read the result
#[cfg(feature = "pipeline")]
pub mod pipeline;
#[cfg(feature = "query")]
pub mod query;
#[cfg(feature = "pipeline")]
pub mod worker;

// beside: a registry on loopback that imports nothing of ours
#[cfg(feature = "pipeline")]
pub mod sample;

// command line: the only module that prints or reads the environment
#[cfg(feature = "pipeline")]
pub mod cli;
