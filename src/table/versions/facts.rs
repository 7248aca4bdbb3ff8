//! The facts about a version that do not come from its members.

use crate::npm::Representation;

/// The facts known about a version beside its members.
#[derive(Debug, Clone, Copy)]
pub(in crate::table) struct VersionFacts<'t> {
    pub(in crate::table) version: &'t str,
    pub(in crate::table) version_index: i64,
    pub(in crate::table) is_latest: bool,
    pub(in crate::table) published_at: Option<i64>,
    pub(in crate::table) representation: Representation,
    /// Whether one of its scripts runs on install.
    pub(in crate::table) runs_on_install: bool,
    /// The number of its rows of kind prod in `dependencies`.
    pub(in crate::table) dependency_count: usize,
}

/// The facts that a package's row takes from its latest version.
#[derive(Debug, Default)]
pub(in crate::table) struct LatestFacts {
    pub(in crate::table) deprecated: Option<String>,
    pub(in crate::table) has_install_script: Option<bool>,
}
