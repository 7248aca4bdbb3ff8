//! A manifest: what one partition holds. Written last, so it is also the checkpoint.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Partition, ShardMeta};
use crate::table::TableKind;

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
    pub fn rows(&self, table: TableKind) -> u64 {
        self.shards.get(table.as_str()).map_or(0, |shard| shard.rows)
    }
}

/// A commit that is under way: the manifest to be, and the tables whose staged shards take their places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitIntent {
    /// The manifest that will be true once every staged shard is in its place.
    pub manifest: Manifest,
    /// The tables by name; `None` for all that the manifest names, as format 1 meant it.
    pub moved: Option<Vec<String>>,
}

impl CommitIntent {
    /// Whether the staged shard of a table takes its place by this commit.
    pub fn moves(&self, table: TableKind) -> bool {
        match &self.moved {
            Some(moved) => moved.iter().any(|name| name == table.as_str()),
            None => self.manifest.shards.contains_key(table.as_str()),
        }
    }
}
