//! The `unpublished` table: a version that `time` remembers and `versions` does not.

use arrow::array::RecordBatch;

use super::column::{Column, TextColumn, TimeColumn};
use super::document::record_batch;
use super::schema::ColumnSpec;
use super::schema::ColumnType::{Text, Time};
use super::times::Forgotten;
use crate::error::Result;
use crate::table::TableKind;

pub(super) const COLUMNS: &[ColumnSpec] = &[
    ColumnSpec::required("name", Text, "The package's name."),
    ColumnSpec::required(
        "version",
        Text,
        "A version in `time` but not in `versions`. Of a package that was unpublished as a whole also those that only \
         `time.unpublished.versions` lists; that it was one event, `packages.unpublished_at` says.",
    ),
    ColumnSpec::optional("published_at", Time, "When it had been published."),
];

/// Rows of the `unpublished` table.
#[derive(Debug, Default)]
pub(super) struct UnpublishedTable {
    name: TextColumn,
    version: TextColumn,
    published_at: TimeColumn,
}

impl UnpublishedTable {
    /// Adds the versions that the package `name` no longer has.
    pub(super) fn push(&mut self, name: &str, versions: &[Forgotten<'_>]) {
        for forgotten in versions {
            self.version.push(&forgotten.version);
            self.published_at.push(forgotten.published_at);
        }
        self.name.push_n(name, versions.len());
    }

    pub(super) fn rows(&self) -> usize {
        self.name.rows()
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.name.size_bytes() + self.version.size_bytes() + self.published_at.size_bytes()
    }

    pub(super) fn take_batch(&mut self) -> Result<RecordBatch> {
        record_batch(TableKind::Unpublished, &mut [&mut self.name, &mut self.version, &mut self.published_at])
    }
}
