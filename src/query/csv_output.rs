//! Writes a result as CSV by RFC 4180. As PostgreSQL and DuckDB do, it writes a null as nothing and an empty text as
//! `""`, so that a reader can tell them apart. A row with one column that is null is an empty line.
//!
//! Not here: columns that CSV cannot hold (`output_columns`), and reading CSV (`own_files`).

use std::fmt::Write as _;
use std::io::Write;

use arrow::array::Array;
use arrow::buffer::NullBuffer;
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::batch_writer::{BatchWriter, Stopped};

/// A CSV file that is being written.
pub(super) struct CsvOutput<'a> {
    out: &'a mut (dyn Write + Send),
    /// The rows of a batch; kept only to reuse the memory.
    lines: String,
    value: String,
}

impl<'a> CsvOutput<'a> {
    /// Begins with the header, which a result without rows also has.
    pub(super) fn new(schema: &Schema, out: &'a mut (dyn Write + Send)) -> Result<Self, Stopped> {
        let mut output = CsvOutput { out, lines: String::new(), value: String::new() };
        for (index, field) in schema.fields().iter().enumerate() {
            output.push_comma(index);
            push_field(field.name(), &mut output.lines);
        }
        output.end_lines()?;
        // A reader sees that the statement runs, however long its first row takes.
        output.out.flush()?;
        Ok(output)
    }

    fn push_comma(&mut self, column: usize) {
        if column > 0 {
            self.lines.push(',');
        }
    }

    fn end_lines(&mut self) -> Result<(), Stopped> {
        self.lines.push('\n');
        self.out.write_all(self.lines.as_bytes())?;
        self.lines.clear();
        Ok(())
    }
}

impl BatchWriter for CsvOutput<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Stopped> {
        let options = FormatOptions::default().with_display_error(false);
        let formatters = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let formatters: Vec<ArrayFormatter<'_>> = formatters.collect::<Result<_, _>>()?;
        let nulls: Vec<Option<NullBuffer>> = batch.columns().iter().map(|column| column.logical_nulls()).collect();
        for row in 0..batch.num_rows() {
            for (index, (nulls, formatter)) in nulls.iter().zip(&formatters).enumerate() {
                self.push_comma(index);
                if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                    self.value.clear();
                    write!(self.value, "{}", formatter.value(row)).map_err(|error| Stopped::Output(error.into()))?;
                    push_field(&self.value, &mut self.lines);
                }
            }
            self.end_lines()?;
        }
        self.out.flush()?;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Stopped> {
        Ok(())
    }
}

/// Appends a value that is not null. It is quoted if a reader would otherwise take it for something else, or trim it.
fn push_field(text: &str, line: &mut String) {
    let is_plain = |letter: char| !matches!(letter, ',' | '"' | '\n' | '\r');
    if !text.is_empty() && text.chars().all(is_plain) && text.trim() == text {
        line.push_str(text);
        return;
    }
    line.push('"');
    for (index, part) in text.split('"').enumerate() {
        if index > 0 {
            line.push_str("\"\"");
        }
        line.push_str(part);
    }
    line.push('"');
}
