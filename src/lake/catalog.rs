//! `all-docs.json`: marks a folder as a lake, and names its format and its origins.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::table::{TableKind, schema_version};
use crate::version::{FORMAT_VERSION, TOOL_VERSION};

/// The lake metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LakeInfo {
    /// [`crate::version::FORMAT_VERSION`] when it was written.
    pub format_version: u32,
    /// The version of the tool that wrote it last.
    pub tool_version: String,
    /// The origin whose tables SQL also finds without a schema: the first one ingested.
    pub default_origin: String,
    /// The greatest schema version of each table in the lake, by table name. A table that is not named has version 1. A
    /// greater version, or a table that this tool does not know, comes from a newer tool.
    #[serde(default)]
    pub schema_versions: BTreeMap<String, u32>,
    /// By origin and table, a schema version that no shard is below, and that no partition lacks. Where it is not known,
    /// only the manifests tell it. It spares a reader of a few rows all of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub least_schema_versions: BTreeMap<String, BTreeMap<String, u32>>,
    /// Every origin by its folder's name, which is also its SQL schema.
    pub origins: BTreeMap<String, OriginInfo>,
}

impl LakeInfo {
    /// Makes the metadata of an empty lake.
    pub fn new(default_origin: &str) -> LakeInfo {
        let mut info = LakeInfo {
            format_version: FORMAT_VERSION,
            tool_version: TOOL_VERSION.to_owned(),
            default_origin: default_origin.to_owned(),
            schema_versions: BTreeMap::new(),
            least_schema_versions: BTreeMap::new(),
            origins: BTreeMap::new(),
        };
        info.raise();
        info
    }

    /// Records that this version may write into the lake. Earlier versions then refuse it.
    pub fn raise(&mut self) {
        self.format_version = self.format_version.max(FORMAT_VERSION);
        for table in TableKind::ALL {
            let version = self.schema_versions.entry(table.to_string()).or_default();
            *version = (*version).max(schema_version(table));
        }
    }
}

impl LakeInfo {
    /// Returns whether this version could have written all shards of an origin, as far as the lake metadata knows.
    pub fn is_current(&self, origin: &str) -> bool {
        let least = self.least_schema_versions.get(origin);
        let is_current = |table: TableKind| {
            least.and_then(|least| least.get(table.as_str())).is_some_and(|least| *least >= schema_version(table))
        };
        TableKind::ALL.into_iter().all(is_current)
    }

    /// Records that no shard of an origin is of an earlier version.
    pub fn note_current(&mut self, origin: &str) {
        let least = TableKind::ALL.map(|table| (table.to_string(), schema_version(table)));
        self.least_schema_versions.insert(origin.to_owned(), least.into());
    }

    /// Records that the shards of an origin may be of any version up to this one.
    pub fn forget_age(&mut self, origin: &str) {
        self.least_schema_versions.remove(origin);
    }
}

/// The sources of an origin's rows and documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginInfo {
    /// The base URL of `_all_docs` and `_changes`.
    pub replicate_url: String,
    /// The base URL of packuments.
    pub registry_url: String,
}
