//! The `stars` table: a star that a user gave.

use super::column::TextColumn;
use super::hooks::DocumentTable;
use super::read::{Reader, is_truthy};
use super::spec::TableSpec;
use crate::npm::QuirkCode;

pub(super) const TABLE: TableSpec = TableSpec::new(1, StarsTable::COLUMNS);

columns! {
    /// Rows of the `stars` table.
    pub(super) struct StarsTable of Stars {
        name: TextColumn = required("The package's name."),
        user: TextColumn = required(
            "A user in its `users` map. One whose star was taken back (`false`) is here too, with the quirk \
             `falsy_star`."
        ).without_statistics().filtered(),
    }
}

impl DocumentTable for StarsTable {}

impl StarsTable {
    /// Adds the stars of a document. Returns the number of those that are not taken back.
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
}
