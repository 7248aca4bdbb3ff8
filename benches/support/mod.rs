//! What several benches need: documents to work on, and what the process has used so far.
#![allow(dead_code)]

pub mod corpus;
pub mod duckdb;
pub mod generated_lake;
pub mod process;
