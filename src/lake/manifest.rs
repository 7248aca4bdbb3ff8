//! A manifest: the contents of one partition. It is written last, so it is also the checkpoint.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Partition, ShardMeta};
use crate::npm::Representation;
use crate::table::TableKind;

/// The contents of one partition of an origin. A package's own package.json is never called a manifest here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`crate::version::FORMAT_VERSION`] when it was written.
    pub format_version: u32,
    /// The version of the tool that wrote it.
    pub tool_version: String,
    /// The partition.
    pub partition: Partition,
    /// The time of writing, RFC 3339 in UTC.
    pub written_at: String,
    /// Its shards by table name. A table that is not listed has no shard.
    pub shards: BTreeMap<String, ShardMeta>,
    /// How many names have each outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// The time at which the listing of the rows in `docs` began, in microseconds since 1970. `None` if it is not
    /// known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed_at_us: Option<i64>,
    /// The smallest document size limit, in bytes, by which its names of outcome `oversize` were refused. `None` if
    /// there are no such names, or the limit is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oversize_limit_bytes: Option<u64>,
    /// The form of all its documents, as [`crate::npm::Representation`] names it. `None` if they have several forms, or
    /// if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents_form: Option<String>,
    /// The SHA-256 of the digests of the shards in another lake from which `copy` cut this partition, in lower-case hex.
    /// `None` if the partition is not a cut of others, or an ingest has changed it since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_from: Option<String>,
    /// The names whose first request failed, and that were listed before the partition had documents: their first
    /// documents are no new packages. Ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfilled: Vec<String>,
    /// In the manifest of a delta, the names that the registry no longer lists. Ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
}

impl Manifest {
    /// Returns the rows of a table, 0 if it has no shard.
    pub fn rows(&self, table: TableKind) -> u64 {
        self.shards.get(table.as_str()).map_or(0, |shard| shard.rows)
    }

    /// Returns the form of all its documents, if they have one and it is known.
    pub fn form_of_documents(&self) -> Option<Representation> {
        let forms = [Representation::Full, Representation::Abbreviated];
        forms.into_iter().find(|form| self.documents_form.as_deref() == Some(form.as_str()))
    }
}

/// A commit in progress: the new manifest, and the tables whose staged shards are moved into place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitIntent {
    /// The manifest that will be true once every staged shard is in its place.
    pub manifest: Manifest,
    /// The tables by name; `None` for all tables that the manifest names, which is the meaning in format 1.
    pub moved: Option<Vec<String>>,
    /// The SHA-256 of the text of the manifest that the new one replaces, in lower-case hex; that of no bytes if there
    /// was none. `None` if an earlier version wrote the intent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_sha256: Option<String>,
    /// The multipart uploads that were begun for the shards of these tables, each by the name that the store gave it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub uploads: BTreeMap<String, String>,
    /// The events of the commit; `None` if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<EventsFile>,
}

/// The file of one commit's events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsFile {
    /// Its name in the feed.
    pub name: String,
    /// The SHA-256 of its bytes, in lower-case hex.
    pub sha256: String,
    /// How many events it has.
    #[serde(default)]
    pub events: u64,
}

impl CommitIntent {
    /// Returns whether this commit moves the staged shard of a table.
    pub fn moves(&self, table: TableKind) -> bool {
        match &self.moved {
            Some(moved) => moved.iter().any(|name| name == table.as_str()),
            None => self.manifest.shards.contains_key(table.as_str()),
        }
    }
}
