//! The `packuments` table: a document as served, byte for byte.

use arrow::array::RecordBatch;
use bytes::Bytes as SharedBytes;

use super::column::{BytesColumn, Column, NumberColumn, SharedTextColumn, TextColumn};
use super::document::record_batch;
use super::schema::ColumnSpec;
use super::schema::ColumnType::{Bytes, Number, Text};
use crate::error::Result;
use crate::npm::Representation;
use crate::table::TableKind;

pub(super) const COLUMNS: &[ColumnSpec] = &[
    ColumnSpec::required("name", Text, "The package's name."),
    ColumnSpec::required("rev", Text, "The document's `_rev`; the announced one if it has none."),
    ColumnSpec::required("representation", Text, "full, or abbreviated (the install-v1 form)."),
    ColumnSpec::required("size_bytes", Number, "The size of the document.").in_unit("bytes"),
    ColumnSpec::optional("json", Text, "The document as served; null if it is not valid UTF-8."),
    ColumnSpec::optional("bytes", Bytes, "The document as served, if it is not valid UTF-8."),
];

/// Rows of the `packuments` table.
#[derive(Debug, Default)]
pub(super) struct PackumentsTable {
    name: TextColumn,
    rev: TextColumn,
    representation: TextColumn,
    size: NumberColumn,
    json: SharedTextColumn,
    bytes: BytesColumn,
}

impl PackumentsTable {
    /// Adds a document, which is not copied.
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
        self.size.push(i64::try_from(document.len()).ok());
        self.json.push(is_text.then(|| document.clone()));
        self.bytes.push(if is_text { None } else { Some(document) });
    }

    pub(super) fn rows(&self) -> usize {
        self.name.rows()
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.name.size_bytes() + self.rev.size_bytes() + self.json.size_bytes() + self.bytes.size_bytes()
    }

    pub(super) fn take_batch(&mut self) -> Result<RecordBatch> {
        record_batch(
            TableKind::Packuments,
            &mut [
                &mut self.name,
                &mut self.rev,
                &mut self.representation,
                &mut self.size,
                &mut self.json,
                &mut self.bytes,
            ],
        )
    }
}
