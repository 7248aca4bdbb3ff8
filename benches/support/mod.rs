//! Shared code of several benches: documents to work on, and the process's use of resources.
#![allow(dead_code)]

/// The binary's own allocator, so the bench measures the real program.
#[cfg(unix)]
#[path = "../../src/allocator.rs"]
mod allocator;
pub mod corpus;
pub mod document_files;
pub mod duckdb;
pub mod generated_lake;
pub mod loopback;
pub mod process;
