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
}
