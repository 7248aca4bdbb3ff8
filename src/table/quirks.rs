//! The `quirks` table: a value that did not become its column unchanged.

use super::column::TextColumn;
use super::spec::{RowsOf, TableSpec};
use crate::npm::QuirkCode;
use crate::npm::quirk::sample;

pub(super) const TABLE: TableSpec = TableSpec { rows_of: RowsOf::Document, ..TableSpec::new(1, QuirksTable::COLUMNS) };

columns! {
    /// Rows of the `quirks` table.
    pub(super) struct QuirksTable of Quirks {
        name: TextColumn = required("The package's name."),
        version: TextColumn = optional("The version that has the value; null if it is outside of the versions."),
        field: TextColumn = optional("The member that has the value, as a path: `dist.tarball`."),
        code: TextColumn = required("The kind of its fault."),
        sample: TextColumn = optional("The first 200 bytes of the value as JSON.").unique().without_statistics(),
    }
}

impl QuirksTable {
    /// Adds a row. It keeps only the sample of `raw`.
    pub(super) fn push(&mut self, name: &str, version: Option<&str>, field: Option<&str>, code: QuirkCode, raw: &str) {
        self.name.push(name);
        self.version.push_option(version);
        self.field.push_option(field.map(sample));
        self.code.push(code.as_str());
        self.sample.push(sample(raw));
    }
}
