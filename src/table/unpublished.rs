//! The `unpublished` table: a version that is in `time` but not in `versions`.

use super::column::{TextColumn, TimeColumn};
use super::hooks::DocumentTable;
use super::spec::TableSpec;
use super::times::Forgotten;

pub(super) const TABLE: TableSpec = TableSpec::new(1, UnpublishedTable::COLUMNS);

columns! {
    /// Rows of the `unpublished` table.
    pub(super) struct UnpublishedTable of Unpublished {
        name: TextColumn = required("The package's name."),
        version: TextColumn = required(
            "A version in `time` but not in `versions`. Of a package that was unpublished as a whole also \
             those that only `time.unpublished.versions` lists; that it was one event, \
             `packages.unpublished_at` says."
        ),
        published_at: TimeColumn = optional("When it was published.").unique(),
    }
}

impl DocumentTable for UnpublishedTable {}

impl UnpublishedTable {
    /// Adds the versions that the package `name` no longer has.
    pub(super) fn push(&mut self, name: &str, versions: &[Forgotten<'_>]) {
        for forgotten in versions {
            self.version.push(&forgotten.version);
            self.published_at.push(forgotten.published_at);
        }
        self.name.push_n(name, versions.len());
    }
}
