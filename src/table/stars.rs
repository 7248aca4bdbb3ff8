//! The `stars` table: a star that a user gave.

use arrow::array::RecordBatch;

use super::column::{Column, TextColumn};
use super::document::record_batch;
use super::read::{Reader, is_truthy};
use super::schema::ColumnSpec;
use super::schema::ColumnType::Text;
use crate::error::Result;
use crate::npm::QuirkCode;
use crate::table::TableKind;

pub(super) const COLUMNS: &[ColumnSpec] = &[
    ColumnSpec::required("name", Text, "The package's name."),
    ColumnSpec::required(
        "user",
        Text,
        "A user in its `users` map. One whose star was taken back (`false`) is here too, with the quirk `falsy_star`.",
    ),
];

/// Rows of the `stars` table.
#[derive(Debug, Default)]
pub(super) struct StarsTable {
    name: TextColumn,
    user: TextColumn,
}

impl StarsTable {
    /// Adds the stars of a document, and counts those that hold.
    pub(super) fn push(&mut self, reader: &mut Reader<'_>, raw: Option<&str>) -> i64 {
        let entries = reader.entries("users", raw).unwrap_or_default();
        let mut count = 0;
        for entry in &entries {
            if is_truthy(entry.raw) {
                count += 1;
            } else {
                reader.note(&format!("users.{}", entry.key), QuirkCode::FalsyStar, entry.raw);
            }
            self.user.push(&entry.key);
        }
        self.name.push_n(reader.name, entries.len());
        count
    }

    pub(super) fn rows(&self) -> usize {
        self.name.rows()
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.name.size_bytes() + self.user.size_bytes()
    }

    pub(super) fn take_batch(&mut self) -> Result<RecordBatch> {
        record_batch(TableKind::Stars, &mut [&mut self.name, &mut self.user])
    }
}
