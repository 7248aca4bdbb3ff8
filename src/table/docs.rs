//! The `docs` table: a row of `_all_docs`.

use arrow::array::RecordBatch;

use super::column::{Column, NumberColumn, TextColumn};
use super::document::record_batch;
use super::schema::ColumnSpec;
use super::schema::ColumnType::{Number, Text};
use crate::error::Result;
use crate::npm::{DocRow, generation};
use crate::table::TableKind;

pub(super) const COLUMNS: &[ColumnSpec] = &[
    ColumnSpec::required("name", Text, "The package's name."),
    ColumnSpec::required("rev", Text, "The revision that the registry announced for it."),
    ColumnSpec::optional("rev_generation", Number, "The number before the dash of `rev`: how often it was edited."),
];

/// Builds batches of the `docs` table. Rows stand as they were pushed.
#[derive(Debug, Default)]
pub struct DocsBuilder {
    name: TextColumn,
    rev: TextColumn,
    rev_generation: NumberColumn,
}

impl DocsBuilder {
    /// A builder without rows.
    pub fn new() -> Self {
        DocsBuilder::default()
    }

    /// Adds a row.
    pub fn push(&mut self, row: &DocRow) {
        self.push_parts(row.name.as_str(), row.rev.as_str());
    }

    /// Adds a row of a name and its revision.
    pub fn push_parts(&mut self, name: &str, rev: &str) {
        self.name.push(name);
        self.rev.push(rev);
        self.rev_generation.push(generation(rev).and_then(|number| i64::try_from(number).ok()));
    }

    /// Rows since the last batch.
    pub fn rows(&self) -> usize {
        self.name.rows()
    }

    /// Bytes that the rows since the last batch take, about.
    pub fn buffered_bytes(&self) -> usize {
        self.name.size_bytes() + self.rev.size_bytes() + self.rev_generation.size_bytes()
    }

    /// The rows since the last batch. Fails only by a mistake of this program's own.
    pub fn take_batch(&mut self) -> Result<RecordBatch> {
        record_batch(TableKind::Docs, &mut [&mut self.name, &mut self.rev, &mut self.rev_generation])
    }
}
