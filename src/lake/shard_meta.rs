//! The facts that a manifest holds about one shard.

use serde::{Deserialize, Serialize};

/// One file of one table for one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardMeta {
    /// Rows in the file.
    pub rows: u64,
    /// Size of the file.
    pub size_bytes: u64,
    /// SHA-256 of the file, in lower-case hex.
    pub sha256: String,
    /// The schema version of the table with which it was written. Manifests of format 1 do not hold it; theirs is 1.
    #[serde(default = "first_schema_version")]
    pub schema_version: u32,
    /// The version of the tool that encoded it; empty if the manifest does not hold it. The same documents give the
    /// same bytes only with the same version.
    #[serde(default)]
    pub tool_version: String,
}

fn first_schema_version() -> u32 {
    1
}
