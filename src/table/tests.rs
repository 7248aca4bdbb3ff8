//! Tests the columns, the quirks and the outcome of each odd shape (npm-facts C.2).
#![allow(clippy::unwrap_used)]

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::{Decoded, DocumentInput, DocumentTables};
use crate::npm::{Outcome, Representation};
use crate::table::TableKind;

mod documents;
mod hostile;
mod members;
mod schemas;
mod versions;

/// The rows of one document.
struct Rows {
    decoded: Decoded,
    batches: Vec<(TableKind, RecordBatch)>,
}

/// Decodes a full document that was requested as `x`.
fn decode(document: impl AsRef<[u8]>) -> Rows {
    decode_as("x", Representation::Full, document.as_ref())
}

fn decode_as(name: &str, representation: Representation, bytes: &[u8]) -> Rows {
    let mut tables = DocumentTables::new(true);
    let bytes = &bytes::Bytes::copy_from_slice(bytes);
    let decoded = tables.push(DocumentInput { name, announced_rev: "7-announced", representation, bytes });
    let batches = tables.take_batches().unwrap();
    let batches = batches.into_iter().map(|(table, rows)| (table, as_stored(table, &rows))).collect();
    Rows { decoded, batches }
}

/// Decodes a document with one version 1.0.0, whose members are `members`.
fn decode_version(members: &str) -> Rows {
    decode(format!(r#"{{"name":"x","versions":{{"1.0.0":{{{members}}}}}}}"#))
}

/// Decodes a document with a name and `members`.
fn decode_members(members: &str) -> Rows {
    decode(format!(r#"{{"name":"x",{members}}}"#))
}

/// Returns the same rows as a shard has them: texts, where a batch may have a dictionary of texts.
fn as_stored(table: TableKind, batch: &RecordBatch) -> RecordBatch {
    let schema = super::schema(table);
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| arrow::compute::cast(column, field.data_type()).unwrap()).collect();
    RecordBatch::try_new(schema.clone(), columns).unwrap()
}

/// Returns the column in a form that Arrow can print in every build: without SQL it knows time zones only by their
/// offset.
fn printable(column: &ArrayRef) -> ArrayRef {
    match column.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(times) => std::sync::Arc::new(times.clone().with_timezone("+00:00")),
        None => column.clone(),
    }
}

impl Rows {
    /// Returns the rows of a table as the text of `columns`, joined by `|`; null is `~`.
    fn table(&self, table: TableKind, columns: &[&str]) -> Vec<String> {
        let options = FormatOptions::default().with_null("~");
        let mut rows = Vec::new();
        for (_, batch) in self.batches.iter().filter(|(kind, _)| *kind == table) {
            let columns: Vec<_> =
                columns.iter().map(|column| printable(batch.column_by_name(column).unwrap())).collect();
            let cells: Vec<_> =
                columns.iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
            for row in 0..batch.num_rows() {
                let texts = cells.iter().zip(&columns).map(|(cell, column)| {
                    if column.is_null(row) { "~".to_owned() } else { cell.value(row).to_string() }
                });
                rows.push(texts.collect::<Vec<_>>().join("|"));
            }
        }
        rows
    }

    /// Returns the columns of the one version.
    fn version(&self, columns: &[&str]) -> String {
        let rows = self.table(TableKind::Versions, columns);
        assert_eq!(rows.len(), 1, "versions");
        rows[0].clone()
    }

    /// Returns the columns of the package.
    fn package(&self, columns: &[&str]) -> String {
        let rows = self.table(TableKind::Packages, columns);
        assert_eq!(rows.len(), 1, "packages");
        rows[0].clone()
    }

    /// Returns the quirks as `version|field|code|sample`.
    fn quirks(&self) -> Vec<String> {
        self.table(TableKind::Quirks, &["version", "field", "code", "sample"])
    }

    /// Returns kind, dependency, requirement and optional of each edge.
    fn edges(&self) -> Vec<String> {
        self.table(TableKind::Dependencies, &["kind", "dependency", "requirement", "optional"])
    }

    #[track_caller]
    fn assert_outcome(&self, outcome: Outcome) {
        assert_eq!(self.decoded.outcome, outcome, "{:?}", self.decoded.detail);
    }
}
