//! What a manifest knows of one shard.

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
    /// The version of the table's schema that it was written by. Manifests of format 1 do not say; theirs is 1.
    #[serde(default = "first_schema_version")]
    pub schema_version: u32,
    /// The version of the tool that encoded it; empty where the manifest does not say. The same documents give the same
    /// bytes only by the same version.
    #[serde(default)]
    pub tool_version: String,
}

fn first_schema_version() -> u32 {
    1
}
