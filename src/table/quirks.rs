//! The `quirks` table: a value that did not become its column as it stood.

use arrow::array::RecordBatch;

use super::column::{Column, TextColumn};
use super::document::record_batch;
use super::schema::ColumnSpec;
use super::schema::ColumnType::Text;
use crate::error::Result;
use crate::npm::QuirkCode;
use crate::npm::quirk::sample;
use crate::table::TableKind;

pub(super) const COLUMNS: &[ColumnSpec] = &[
    ColumnSpec::required("name", Text, "The package's name."),
    ColumnSpec::optional("version", Text, "The version that the value stands in; null if it stands beside them."),
    ColumnSpec::optional("field", Text, "The member that the value stands in, as a path: `dist.tarball`."),
    ColumnSpec::required("code", Text, "What was wrong with it."),
    ColumnSpec::optional("sample", Text, "The first 200 bytes of the value as JSON."),
];

/// Rows of the `quirks` table.
#[derive(Debug, Default)]
pub(super) struct QuirksTable {
    name: TextColumn,
    version: TextColumn,
    field: TextColumn,
    code: TextColumn,
    sample: TextColumn,
}

impl QuirksTable {
    /// Adds a row; of `raw` only the sample is kept.
    pub(super) fn push(&mut self, name: &str, version: Option<&str>, field: Option<&str>, code: QuirkCode, raw: &str) {
        self.name.push(name);
        self.version.push_option(version);
        self.field.push_option(field.map(sample));
        self.code.push(code.as_str());
        self.sample.push(sample(raw));
    }

    pub(super) fn rows(&self) -> usize {
        self.name.rows()
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.name.size_bytes() + self.field.size_bytes() + self.sample.size_bytes()
    }

    pub(super) fn take_batch(&mut self) -> Result<RecordBatch> {
        record_batch(
            TableKind::Quirks,
            &mut [&mut self.name, &mut self.version, &mut self.field, &mut self.code, &mut self.sample],
        )
    }
}
