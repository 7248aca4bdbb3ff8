//! The `packuments` table: a document as served, byte for byte.

use bytes::Bytes as SharedBytes;

use super::column::{BytesColumn, NumberColumn, SharedTextColumn, TextColumn};
use super::hooks::DocumentTable;
use super::spec::{ColumnEncoding, RowsOf, TableSpec};
use crate::npm::Representation;

pub(super) const TABLE: TableSpec = TableSpec {
    rows_of: RowsOf::Name,
    group_size: 5 << 19,
    stored_bytes_per_row: 10_000,
    ..TableSpec::new(1, PackumentsTable::COLUMNS)
};

columns! {
    /// Rows of the `packuments` table.
    pub(super) struct PackumentsTable of Packuments {
        name: TextColumn = required("The package's name.").unique(),
        rev: TextColumn = required("The document's `_rev`; the announced one if it has none.")
            .unique().without_statistics(),
        representation: TextColumn = required("full, or abbreviated (the install-v1 form).").without_statistics(),
        size_bytes: NumberColumn = required("The size of the document.").in_unit("bytes").unique(),
        json: SharedTextColumn = optional("The document as served; null if it is not valid UTF-8.")
            .unique().without_statistics().encoded_as(ColumnEncoding::Documents),
        bytes: BytesColumn = optional("The document as served, if it is not valid UTF-8.")
            .unique().without_statistics(),
    }
}

impl DocumentTable for PackumentsTable {}

impl PackumentsTable {
    /// Adds a document, without copying it.
    pub(super) fn push(
        &mut self,
        name: &str,
        rev: &str,
        representation: Representation,
        document: &SharedBytes,
        is_text: bool,
    ) {
        self.name.push(name);
        self.rev.push(rev);
        self.representation.push(representation.as_str());
        self.size_bytes.push(i64::try_from(document.len()).ok());
        self.json.push(is_text.then(|| document.clone()));
        self.bytes.push(if is_text { None } else { Some(document) });
    }
}
