//! The counters of an item's work, as its result holds them.

use serde::{Deserialize, Serialize};

use super::progress::ProgressSnapshot;

/// The counters of an item's work.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ItemMetrics {
    /// The counters of the run.
    pub counts: ProgressSnapshot,
    /// Requests that the worker sent since it told of them last. Over all of its results each request counts once.
    pub requests: u64,
    /// Partitions whose interrupted commit was rolled forward first.
    pub commits_recovered: u64,
    /// Partitions that grew past twice their size: file stem and rows.
    pub overgrown: Vec<(String, u64)>,
}
