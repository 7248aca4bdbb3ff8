//! What several benches need: documents to work on, and what the process has used so far.
#![allow(dead_code)]

/// The binary's own, so that what is measured is what runs.
#[cfg(unix)]
#[path = "../../src/allocator.rs"]
mod allocator;
pub mod corpus;
pub mod duckdb;
pub mod generated_lake;
pub mod process;
