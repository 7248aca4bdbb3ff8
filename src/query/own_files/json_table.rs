//! JSON files as a table: its columns, and its rows.

use arrow::datatypes::DataType;

use super::json_column::{Column, ObjectValues, Unfit};
use super::json_records::{JsonRecords, not_json};
use super::json_shape::{Records, VALUE_COLUMN};
use super::source::{Batches, MOST_COLUMNS, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::npm::json::Kind;

/// Records between two questions whether the statement still runs.
const RECORDS_BETWEEN_LOOKS: u64 = 1_024;

/// The columns of JSON files.
#[derive(Debug, Clone)]
pub(super) struct JsonColumns(Vec<(String, Column)>);

impl JsonColumns {
    /// Returns the names and types.
    pub(super) fn types(&self) -> Vec<(String, DataType)> {
        self.0.iter().map(|(name, column)| (name.clone(), column.data_type())).collect()
    }
}

/// Learns the columns from all records. A declared column has its declared type, and may be missing in the file.
pub(super) fn learn(source: &Source, goes_on: impl Fn() -> bool) -> Result<JsonColumns> {
    let mut records = Records::default();
    let mut count = 0_u64;
    for path in &source.found.paths {
        let mut file = JsonRecords::new(source.open(path)?, source.found.has_lines);
        let name = path.display().to_string();
        while let Some((record, line)) = file.next()? {
            records.add(record).map_err(|error| not_json(&name, line, record, &error))?;
            count += 1;
            if count.is_multiple_of(RECORDS_BETWEEN_LOOKS) && !goes_on() {
                return Err(Error::interrupted());
            }
            if records.count() > MOST_COLUMNS {
                break;
            }
        }
    }
    let mut columns = records.columns();
    if source.request.all_text {
        columns.iter_mut().for_each(|(_, column)| *column = as_text(column));
    }
    for (name, data_type) in &source.declared {
        let declared = data_type.as_ref().map_or(Column::Json, Column::of_type);
        match columns.iter_mut().find(|(known, _)| known == name) {
            Some((_, column)) => *column = declared,
            None => columns.push((name.clone(), declared)),
        }
    }
    Ok(JsonColumns(columns))
}

/// Returns the column of the same values as text: objects and lists as JSON.
fn as_text(column: &Column) -> Column {
    match column {
        Column::List(_) | Column::Struct(_) | Column::Json => Column::Json,
        _ => Column::Text,
    }
}

/// Reads the wanted columns of all records.
pub(super) fn read(source: &Source, columns: &JsonColumns, wanted: &[usize], batches: &mut Batches<'_>) -> Result<()> {
    let wanted: Vec<&(String, Column)> = wanted.iter().filter_map(|place| columns.0.get(*place)).collect();
    let empty = || ObjectValues::new(wanted.iter().map(|(name, column)| (name.as_str(), column)));
    let column_of = |place: usize| wanted.get(place).map_or("", |(name, _)| name.as_str());
    let mut values = empty();
    let mut files = String::new();
    for path in &source.found.paths {
        let mut file = JsonRecords::new(source.open(path)?, source.found.has_lines);
        let name = path.display().to_string();
        while let Some((record, line)) = file.next()? {
            let pushed = match Kind::of(record) {
                Kind::Object => values.push(record, line),
                _ => values.push_alone(VALUE_COLUMN, record, line),
            };
            pushed.map_err(|(place, unfit)| error_of(unfit, &name, column_of(place), Some((record, line))))?;
            if batches.add_row(record.len()) {
                let arrays = std::mem::replace(&mut values, empty()).finish();
                let arrays = arrays.map_err(|(place, unfit)| error_of(unfit, &name, column_of(place), None))?;
                if !batches.end_batch(arrays)? {
                    return Ok(());
                }
            }
        }
        files = name;
    }
    if batches.has_rows() {
        let arrays = values.finish().map_err(|(place, unfit)| error_of(unfit, &files, column_of(place), None))?;
        batches.end_batch(arrays)?;
    }
    Ok(())
}

fn error_of(unfit: Unfit, file: &str, column: &str, record: Option<(&str, u64)>) -> Error {
    match unfit {
        Unfit::Value(wrong) => wrong.error(file, column),
        Unfit::Json(error) => {
            let (record, line) = record.unwrap_or_default();
            not_json(file, line, record, &error)
        }
        Unfit::Arrow(error) => {
            Error::new(ErrorKind::Internal, format!("the values of {column} in {file} make no column")).source(error)
        }
    }
}
