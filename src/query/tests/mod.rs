//! Tests of the module's guarantees, each on a small lake that the test writes itself.
#![allow(clippy::unwrap_used)]

mod events;
#[cfg(feature = "distributed")]
mod fleet;
mod formats;
mod beside_a_writer;
mod functions;
mod lake;
mod lost_shards;
mod mistakes;
mod named;
mod optimizer;
mod overlay;
mod own_files;
mod own_parquet;
mod statements;
mod terminal;
