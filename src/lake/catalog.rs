//! `all-docs.json`: that this folder is a lake, of which format, and which origins it holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The lake's front page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LakeInfo {
    /// [`crate::version::FORMAT_VERSION`] when it was written.
    pub format_version: u32,
    /// The tool's version that wrote it last.
    pub tool_version: String,
    /// The origin whose tables SQL also finds without a schema: the first one ingested.
    pub default_origin: String,
    /// The greatest schema version of each table that anything in the lake was written by, by table name. A table that is
    /// not named has version 1. A table that this tool does not know, or a greater version, is of a newer tool.
    #[serde(default)]
    pub schema_versions: BTreeMap<String, u32>,
    /// Every origin by its folder's name, which is also its SQL schema.
    pub origins: BTreeMap<String, OriginInfo>,
}

/// Where an origin's rows and documents came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginInfo {
    /// The base URL of `_all_docs` and `_changes`.
    pub replicate_url: String,
    /// The base URL of packuments.
    pub registry_url: String,
}
