//! The rows of a lake by package, as text, and their difference from those of an ordinary package.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use all_docs::sample::OddDocument;
use all_docs::table::TableKind;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::support::Env;

/// The length at which values are cut, for readability.
const MAX_SHOWN_CHARS: usize = 160;
/// The most rows of one table that are shown.
const MAX_SHOWN_ROWS: usize = 8;

/// The columns of one row, without the name, in the schema's order.
type Row = Vec<(String, String)>;

/// Returns the column in a form that Arrow can print in every build: without SQL it knows time zones only by their
/// offset.
fn printable(column: &ArrayRef) -> ArrayRef {
    match column.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(times) => Arc::new(times.clone().with_timezone("+00:00")),
        None => column.clone(),
    }
}

/// All rows of all tables.
pub struct Rows {
    rows: BTreeMap<(TableKind, String), Vec<Row>>,
    documents: BTreeMap<String, Vec<u8>>,
}

impl Rows {
    pub fn read(env: &Env) -> Rows {
        let mut rows: BTreeMap<_, Vec<Row>> = BTreeMap::new();
        let mut documents = BTreeMap::new();
        for table in TableKind::ALL {
            for batch in env.table(table) {
                let columns: Vec<ArrayRef> = batch.columns().iter().map(printable).collect();
                let options = FormatOptions::default().with_null("null");
                let formatters: Vec<_> =
                    columns.iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
                for row in 0..batch.num_rows() {
                    let name = batch.column(0).as_string::<i32>().value(row).to_owned();
                    if table == TableKind::Packuments {
                        let (json, bytes) = (batch["json"].as_string::<i32>(), batch["bytes"].as_binary::<i32>());
                        let kept = if json.is_valid(row) { json.value(row).as_bytes() } else { bytes.value(row) };
                        documents.insert(name.clone(), kept.to_vec());
                    }
                    let schema = batch.schema();
                    let columns = schema.fields().iter().zip(&formatters).skip(1);
                    let text = columns.map(|(field, column)| (field.name().clone(), column.value(row).to_string()));
                    rows.entry((table, name)).or_default().push(text.collect());
                }
            }
        }
        Rows { rows, documents }
    }

    pub fn document(&self, name: &str) -> Option<Vec<u8>> {
        self.documents.get(name).cloned()
    }

    pub fn outcome(&self, name: &str) -> String {
        value(&self.of(TableKind::Outcomes, name)[0], "outcome").to_owned()
    }

    fn of(&self, table: TableKind, name: &str) -> &[Row] {
        self.rows.get(&(table, name.to_owned())).map_or(&[], Vec::as_slice)
    }
}

fn value<'r>(row: &'r Row, column: &str) -> &'r str {
    row.iter().find(|(name, _)| name == column).map(|(_, value)| value.as_str()).unwrap()
}

/// Returns a paragraph: the package's name and outcome, its quirks, and the difference of its rows from the ordinary
/// document's.
pub fn describe(rows: &Rows, document: &OddDocument, ordinary: &OddDocument) -> String {
    let name = &document.name;
    let mut told = format!("{} {}: {}", document.catalogue_row, shown(&format!("{name:?}")), rows.outcome(name));
    let detail = value(&rows.of(TableKind::Outcomes, name)[0], "detail");
    if detail != "null" {
        let _ = write!(told, " ({})", shown(detail));
    }
    told.push('\n');
    let quirks = rows.of(TableKind::Quirks, name);
    for quirk in quirks.iter().take(MAX_SHOWN_ROWS) {
        let of = |column| shown(value(quirk, column));
        let _ = writeln!(told, "  quirk {} {} of {}: {}", of("code"), of("field"), of("version"), of("sample"));
    }
    if quirks.len() > MAX_SHOWN_ROWS {
        let _ = writeln!(told, "  and {} more quirks", quirks.len() - MAX_SHOWN_ROWS);
    }
    if rows.of(TableKind::Packages, name).is_empty() {
        told.push_str("  no rows\n\n");
        return told;
    }
    for table in TableKind::OF_DOCUMENTS {
        if !matches!(table, TableKind::Packuments | TableKind::Quirks) {
            let normal = |document: &OddDocument| normalised(rows.of(table, &document.name), document);
            difference(&mut told, table, &normal(document), &normal(ordinary));
        }
    }
    told.push('\n');
    told
}

/// Replaces the values that follow from the document's name and revision alone by placeholders.
fn normalised(rows: &[Row], document: &OddDocument) -> Vec<Row> {
    let name = &document.name;
    let base = name.rsplit('/').next().unwrap();
    let tarball = format!("https://registry.example/{name}/-/{base}-1.0.0.tgz");
    let normal = |column: &str, value: &str| match column {
        "rev" if *value == document.revision => "{rev}".to_owned(),
        "tarball_url" if *value == tarball => "{tarball}".to_owned(),
        "shasum" if *value == format!("{:040}", name.len()) => "{shasum}".to_owned(),
        "scope" if name.starts_with(&format!("@{value}/")) => "null".to_owned(),
        _ => value.to_owned(),
    };
    let normal_row = |row: &Row| row.iter().map(|(column, value)| (column.clone(), normal(column, value))).collect();
    rows.iter().map(normal_row).collect()
}

fn difference(told: &mut String, table: TableKind, rows: &[Row], ordinary: &[Row]) {
    if rows == ordinary {
        return;
    }
    if rows.is_empty() {
        let _ = writeln!(told, "  {table}: no rows");
    }
    for row in rows.iter().take(MAX_SHOWN_ROWS) {
        let like = ordinary.first().filter(|_| matches!(table, TableKind::Packages | TableKind::Versions));
        let differs = |(place, (column, value)): &(usize, &(String, String))| {
            column == "version" || like.is_none_or(|like| like[*place].1 != *value)
        };
        let columns = row.iter().enumerate().filter(differs);
        let columns: Vec<_> =
            columns.map(|(_, (column, value))| format!("{column}={}", shown(&format!("{value:?}")))).collect();
        let _ = writeln!(told, "  {table}: {}", columns.join(" "));
    }
    if rows.len() > MAX_SHOWN_ROWS {
        let _ = writeln!(told, "  {table}: and {} more rows", rows.len() - MAX_SHOWN_ROWS);
    }
}

fn shown(text: &str) -> String {
    let clear: String = text.chars().take(MAX_SHOWN_CHARS).collect();
    let mark = if clear.len() < text.len() { "…" } else { "" };
    format!(
        "{}{mark}",
        clear.escape_debug().collect::<String>().replace("\\\"", "\"").replace("\\\\", "\\").replace("\\'", "'")
    )
}
