//! Lakes in buckets: the servers that stand in for S3 and Google Cloud Storage, the store over them, and the binary.

/// The arrays of a lake.
#[cfg(feature = "array")]
mod arrays;
/// A bucket with a proxy before it.
pub mod fixture;
/// The servers do as the documentation of their originals says.
mod servers;
/// Ingest through the library: the bytes of a local lake, and the operations that it takes.
mod lake;
/// The binary: every command, two processes at once, and processes that are killed.
mod processes;
/// Copies between a disk and buckets.
mod copy;
/// DuckDB, pyarrow and Polars as readers.
mod readers;
/// The operations that it takes.
mod operations;
/// The promises of a store.
mod conformance;
