//! CSV files as a table: its columns, and its rows.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, StringBuilder};
use arrow::datatypes::DataType;

use super::csv_records::{CsvRecord, CsvRecords};
use super::source::{BATCH_BYTES, Batches, Source};
use super::typed::{Candidates, cast_texts};
use crate::error::{Error, Result};
use crate::query::output_columns::free_name;

/// Rows that are judged at once.
const JUDGED_ROWS: usize = 4_096;

/// The columns of CSV files.
#[derive(Debug, Clone)]
pub(super) struct CsvColumns(Vec<(String, DataType)>);

impl CsvColumns {
    /// Returns the names and types.
    pub(super) fn types(&self) -> Vec<(String, DataType)> {
        self.0.clone()
    }
}

/// One of the files, after its header.
struct CsvFile {
    name: String,
    records: CsvRecords,
    names: Vec<String>,
    /// The first row, if the file has no header.
    has_header: bool,
}

/// Learns the columns from all rows.
pub(super) fn learn(source: &Source, goes_on: impl Fn() -> bool) -> Result<CsvColumns> {
    let mut names: Vec<String> = Vec::new();
    let mut candidates: Vec<Candidates> = Vec::new();
    for path in &source.found.paths {
        let mut file = CsvFile::open(source, path)?;
        let places: Vec<usize> = file
            .names
            .iter()
            .map(|name| {
                names.iter().position(|known| known == name).unwrap_or_else(|| {
                    names.push(name.clone());
                    candidates.push(Candidates::new());
                    names.len() - 1
                })
            })
            .collect();
        let mut texts = TextColumns::new(places.len());
        loop {
            let is_over = !file.next(|row| texts.push(row, None))?;
            if is_over || texts.is_full() {
                for (place, texts) in places.iter().zip(texts.take()) {
                    if let Some(candidates) = candidates.get_mut(*place) {
                        candidates.keep(&texts);
                    }
                }
                if !goes_on() {
                    return Err(Error::interrupted());
                }
            }
            if is_over {
                break;
            }
        }
    }
    let types = candidates.iter().map(|candidates| match source.request.all_text {
        true => DataType::Utf8,
        false => candidates.best(),
    });
    let mut columns: Vec<(String, DataType)> = names.into_iter().zip(types).collect();
    for (name, data_type) in &source.declared {
        match columns.iter_mut().find(|(known, _)| known == name) {
            Some((_, column)) => *column = data_type.clone().unwrap_or(DataType::Utf8),
            None => {
                let known: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).take(50).collect();
                return Err(Error::input(format!("{} has no column {name:?}", source.request.path))
                    .hint(format!("its columns: {}", known.join(", "))));
            }
        }
    }
    Ok(CsvColumns(columns))
}

/// Reads the wanted columns of all rows.
pub(super) fn read(source: &Source, columns: &CsvColumns, wanted: &[usize], batches: &mut Batches<'_>) -> Result<()> {
    let wanted: Vec<&(String, DataType)> = wanted.iter().filter_map(|place| columns.0.get(*place)).collect();
    for path in &source.found.paths {
        let mut file = CsvFile::open(source, path)?;
        let places: Vec<Option<usize>> =
            wanted.iter().map(|(name, _)| file.names.iter().position(|known| known == name)).collect();
        let mut texts = TextColumns::new(wanted.len());
        let name = file.name.clone();
        loop {
            let mut bytes = 0;
            let is_over = !file.next(|row| {
                bytes = row.size_bytes();
                texts.push(row, Some(&places));
            })?;
            if (!is_over && batches.add_row(bytes)) || (is_over && batches.has_rows()) {
                let lines = std::mem::take(&mut texts.lines);
                let arrays = wanted.iter().zip(texts.take()).map(|((column, data_type), texts)| {
                    let texts: ArrayRef = Arc::new(texts);
                    if *data_type == DataType::Utf8 {
                        return Ok(texts);
                    }
                    let line_of = |row: usize| lines.get(row).copied().unwrap_or_default();
                    cast_texts(&texts, data_type, line_of).map_err(|wrong| wrong.error(&name, column))
                });
                let arrays = arrays.collect::<Result<Vec<_>>>()?;
                if !batches.end_batch(arrays)? {
                    return Ok(());
                }
            }
            if is_over {
                break;
            }
        }
    }
    Ok(())
}

impl CsvFile {
    /// Opens a file and reads its header. Columns without a name are called by their places, and of two columns with
    /// one name the second gets a number.
    fn open(source: &Source, path: &std::path::Path) -> Result<CsvFile> {
        let delimiter = source.request.delimiter.unwrap_or(source.found.delimiter);
        let has_header = source.request.header.unwrap_or(true);
        let quotes = source.request.quotes.unwrap_or(true);
        let new =
            || Ok::<_, Error>(CsvRecords::new(source.open(path)?, u8::try_from(delimiter).unwrap_or(b','), quotes));
        let mut records = new()?;
        let mut names: Vec<String> = Vec::new();
        while let Some(record) = records.next()? {
            if record.is_blank() {
                continue;
            }
            let mut taken = HashSet::new();
            let name = |index: usize| match (has_header, record.get(index)) {
                (true, Some(name)) if !name.is_empty() => name.to_owned(),
                _ => format!("column{}", index + 1),
            };
            names = (0..record.len()).map(|index| free_name(&name(index), &mut taken)).collect();
            break;
        }
        let name = path.display().to_string();
        if !has_header {
            // The first row is no header, so the file is read from its start again.
            records = new()?;
            let declared = &source.declared;
            if !declared.is_empty() {
                if declared.len() != names.len() {
                    let (given, found) = (declared.len(), names.len());
                    return Err(Error::input(format!("{name} has {found} columns, and {given} are declared"))
                        .hint("without a header, declare every column in its place"));
                }
                names = declared.iter().map(|(name, _)| name.clone()).collect();
            }
        }
        Ok(CsvFile { name, records, names, has_header })
    }

    /// Passes the next row to `take`. Returns false at the end. A blank line is a null if there is one column, else none.
    fn next(&mut self, take: impl FnOnce(&CsvRecord)) -> Result<bool> {
        let columns = self.names.len();
        loop {
            let Some(record) = self.records.next()? else { return Ok(false) };
            if record.is_blank() && columns != 1 {
                continue;
            }
            if record.len() != columns {
                let (name, line, fields) = (&self.name, record.line, record.len());
                let by = if self.has_header { "header" } else { "first row" };
                return Err(Error::input(format!("{name}: line {line} has {fields} values, and the {by} {columns}"))
                    .hint("put a value that holds a delimiter in quotes; delimiter => ';' sets another one, and quotes => false takes quotes for letters"));
            }
            take(record);
            return Ok(true);
        }
    }
}

/// The texts of some columns, of a bounded number of rows.
struct TextColumns {
    columns: Vec<StringBuilder>,
    lines: Vec<u64>,
    bytes: usize,
}

impl TextColumns {
    fn new(count: usize) -> Self {
        TextColumns { columns: (0..count).map(|_| StringBuilder::new()).collect(), lines: Vec::new(), bytes: 0 }
    }

    /// Adds a row: its fields, or those at `places`.
    fn push(&mut self, row: &CsvRecord, places: Option<&[Option<usize>]>) {
        for (index, column) in self.columns.iter_mut().enumerate() {
            let place = places.map_or(Some(index), |places| places.get(index).copied().flatten());
            column.append_option(place.and_then(|place| row.get(place)));
        }
        self.lines.push(row.line);
        self.bytes += row.size_bytes();
    }

    fn is_full(&self) -> bool {
        self.lines.len() >= JUDGED_ROWS || self.bytes >= BATCH_BYTES
    }

    /// Returns the texts, and begins again without rows.
    fn take(&mut self) -> Vec<StringArray> {
        self.lines.clear();
        self.bytes = 0;
        self.columns.iter_mut().map(StringBuilder::finish).collect()
    }
}
