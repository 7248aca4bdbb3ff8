//! Shards: one Parquet file of one table for one partition. Here is how batches become a file's bytes.
//!
//! Not here: what the columns are (`table/`), and where a file is put (`store/`, `commit`).

mod properties;
mod writer;

pub use writer::ShardWriter;
