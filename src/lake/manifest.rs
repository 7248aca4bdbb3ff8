//! A manifest: what one partition holds. Written last, so it is also the checkpoint.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Partition, ShardMeta};

/// What one partition of an origin holds. A package's own package.json is never called so here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`crate::version::FORMAT_VERSION`] when it was written.
    pub format_version: u32,
    /// The tool's version that wrote it.
    pub tool_version: String,
    /// The partition.
    pub partition: Partition,
    /// When, RFC 3339 in UTC.
    pub written_at: String,
    /// Its shards by table name. A table that is not listed has no shard.
    pub shards: BTreeMap<String, ShardMeta>,
    /// How many names ended in which outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// When the listing began whose rows `docs` holds, in microseconds since 1970. `None` where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed_at_us: Option<i64>,
    /// The smallest of the limits on a document's size, in bytes, by which its names of outcome `oversize` were refused.
    /// `None` where there are none, or it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oversize_limit_bytes: Option<u64>,
}

impl Manifest {
    /// Rows of a table, 0 where it has no shard.
    pub fn rows(&self, table: crate::table::TableKind) -> u64 {
        self.shards.get(table.as_str()).map_or(0, |shard| shard.rows)
    }
}
