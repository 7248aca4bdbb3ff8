//! The `docs` table: a row of `_all_docs`.

use super::column::{NumberColumn, TextColumn};
use super::spec::{RowsOf, TableSpec};
use crate::npm::{DocRow, generation};

pub(super) const TABLE: TableSpec =
    TableSpec { rows_of: RowsOf::Name, stored_bytes_per_row: 40, ..TableSpec::new(1, DocsBuilder::COLUMNS) };

columns! {
    /// Builds batches of the `docs` table. Rows keep the order in which they were pushed.
    pub struct DocsBuilder of Docs {
        name: TextColumn = required("The package's name.").unique(),
        rev: TextColumn = required("The revision that the registry announced for it.").unique().without_statistics(),
        rev_generation: NumberColumn = optional("The number before the dash of `rev`: the number of edits."),
    }
}

impl DocsBuilder {
    /// Makes a builder without rows.
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
}
