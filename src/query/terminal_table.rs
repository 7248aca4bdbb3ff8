//! Writes a result for a person: aligned columns that fit the terminal, or one column a line if a row is too wide.
//!
//! The writer holds the first rows and takes the column widths from them. It writes the rest as it comes, in those
//! widths.

use std::fmt::Write as _;
use std::io::Write;

use arrow::array::Array;
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{Attribute, Cell, CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, Width};

use super::batch_writer::{BatchWriter, Stopped};

/// Rows that are held to find the widths of the columns. More rows would delay the first line and seldom change the
/// widths.
const MEASURED_ROWS: usize = 10_000;

/// Bytes of text that are held for the same purpose.
const MEASURED_BYTES: usize = 4 << 20;

/// The least number of characters in a shortened column. If columns would be narrower, each column of a row gets its
/// own line.
const LEAST_WIDTH: u16 = 10;

/// The most lines that a value may take if each column has its own line.
const MOST_LINES: u16 = 12;

/// Characters that a row may have without a terminal. Widths are counted in 16 bits, and a character may be two columns
/// wide.
const MOST_CHARS_A_ROW: usize = 30_000;

/// Vertical bars between columns, one line under the header, no frame.
const STYLE: &str = "     ─┼ │           ";

/// How a table is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableOptions {
    /// Columns of the terminal. `None` without a terminal: then only texts of thousands of characters are shortened.
    pub width: Option<u16>,
    /// Whether nulls are dimmed by terminal codes.
    pub styled: bool,
}

/// Writes batches as a table.
pub(super) struct TerminalTable<'a> {
    out: &'a mut (dyn Write + Send),
    options: TableOptions,
    names: Vec<String>,
    is_number: Vec<bool>,
    /// `None` while rows are still held to find it.
    layout: Option<Layout>,
    held: Vec<Vec<Value>>,
    held_bytes: usize,
    rows: u64,
}

/// A value as text; `None` is a null.
type Value = Option<String>;

enum Layout {
    /// The width of each column's content.
    Columns(Vec<u16>),
    OneColumnALine,
}

impl<'a> TerminalTable<'a> {
    pub(super) fn new(schema: &Schema, out: &'a mut (dyn Write + Send), options: &TableOptions) -> Self {
        TerminalTable {
            out,
            options: *options,
            names: schema.fields().iter().map(|field| shown(field.name())).collect(),
            is_number: schema.fields().iter().map(|field| field.data_type().is_numeric()).collect(),
            layout: None,
            held: Vec::new(),
            held_bytes: 0,
            rows: 0,
        }
    }

    fn hold(&mut self, batch: &RecordBatch) -> Result<(), Stopped> {
        let options = FormatOptions::default();
        let columns: Result<Vec<_>, _> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options)).collect();
        let columns = columns?;
        let most_chars = match self.options.width {
            Some(width) => usize::from(width) * usize::from(MOST_LINES),
            None => MOST_CHARS_A_ROW / columns.len().max(1),
        };
        for row in 0..batch.num_rows() {
            let mut values = Vec::with_capacity(columns.len());
            for (column, formatter) in batch.columns().iter().zip(&columns) {
                if column.data_type() == &DataType::Null || column.is_null(row) {
                    values.push(None);
                    continue;
                }
                let mut text = String::new();
                // A value that cannot be shown, such as a time outside of the calendar, says so itself.
                let _ = write!(text, "{}", formatter.value(row));
                if let Some((cut, _)) = text.char_indices().nth(most_chars) {
                    text.truncate(cut);
                    text.push('…');
                }
                self.held_bytes += text.len();
                values.push(Some(shown(&text)));
            }
            self.held.push(values);
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Writes the held rows.
    fn release(&mut self) -> Result<(), Stopped> {
        let is_first = self.layout.is_none();
        let rows = std::mem::take(&mut self.held);
        self.held_bytes = 0;
        let first_row = self.rows - rows.len() as u64 + 1;
        let layout = self.layout.take().unwrap_or_else(|| self.measure(&rows));
        match &layout {
            Layout::Columns(widths) => {
                let text = self.columns(widths, is_first, &rows);
                if !text.is_empty() {
                    writeln!(self.out, "{text}")?;
                }
            }
            Layout::OneColumnALine => {
                for (number, row) in (first_row..).zip(&rows) {
                    let text = self.one_column_a_line(number, row);
                    writeln!(self.out, "{text}")?;
                }
            }
        }
        self.layout = Some(layout);
        Ok(())
    }

    /// Chooses the layout for the rows seen so far.
    fn measure(&self, rows: &[Vec<Value>]) -> Layout {
        let mut table = self.table();
        table.set_header(self.names.iter().map(Cell::new).collect::<Vec<_>>());
        table.add_rows(rows.iter().map(|row| self.row(row)));
        let widths = table.column_max_content_widths();
        match self.options.width {
            None => Layout::Columns(widths),
            Some(terminal) => fit(&widths, &self.is_number, terminal).map_or(Layout::OneColumnALine, Layout::Columns),
        }
    }

    fn columns(&self, widths: &[u16], with_header: bool, rows: &[Vec<Value>]) -> String {
        let mut table = self.table();
        if with_header {
            table.set_header(self.names.iter().map(Cell::new).collect::<Vec<_>>());
        }
        table.add_rows(rows.iter().map(|row| self.row(row)));
        let constraint = |width: &u16| {
            let with_padding = Width::Fixed(width.saturating_add(2));
            // Without a terminal nothing is cut: a later, wider value makes its line longer instead.
            match self.options.width {
                Some(_) => ColumnConstraint::Absolute(with_padding),
                None => ColumnConstraint::LowerBoundary(with_padding),
            }
        };
        table.set_constraints(widths.iter().map(constraint));
        for (index, is_number) in self.is_number.iter().enumerate() {
            if let Some(column) = table.column_mut(index).filter(|_| *is_number) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        if rows.is_empty() && !with_header { String::new() } else { table.trim_fmt() }
    }

    fn one_column_a_line(&self, number: u64, row: &[Value]) -> String {
        let mut table = self.table();
        for (name, value) in self.names.iter().zip(row) {
            let mut line = Row::from(vec![Cell::new(name), self.cell(value)]);
            line.max_height(usize::from(MOST_LINES));
            table.add_row(line);
        }
        if let Some(width) = self.options.width {
            let most = table.column_max_content_widths();
            let names = most.first().copied().unwrap_or_default().saturating_add(2);
            let values = width.saturating_sub(names).saturating_sub(1).max(LEAST_WIDTH);
            let widths = [names, values].map(|width| ColumnConstraint::Absolute(Width::Fixed(width)));
            table.set_constraints(widths);
        }
        format!("── row {number} ──\n{}", table.trim_fmt())
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(STYLE).set_content_arrangement(ContentArrangement::Disabled).set_truncation_indicator("…");
        table.force_no_tty();
        if let Some(width) = self.options.width {
            table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
        }
        if self.options.styled {
            table.enforce_styling().style_text_only();
        }
        table
    }

    fn row(&self, values: &[Value]) -> Row {
        let mut row = Row::from(values.iter().map(|value| self.cell(value)).collect::<Vec<_>>());
        if self.options.width.is_some() {
            row.max_height(1);
        }
        row
    }

    fn cell(&self, value: &Value) -> Cell {
        match value {
            Some(text) => Cell::new(text),
            None if self.options.styled => Cell::new("NULL").add_attribute(Attribute::Dim),
            None => Cell::new("NULL"),
        }
    }
}

impl BatchWriter for TerminalTable<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Stopped> {
        // A batch may be many megabytes wide, so the held rows are checked after each part of it.
        const PART_ROWS: usize = 256;
        for start in (0..batch.num_rows()).step_by(PART_ROWS) {
            self.hold(&batch.slice(start, PART_ROWS.min(batch.num_rows() - start)))?;
            if self.layout.is_some() || self.held.len() >= MEASURED_ROWS || self.held_bytes >= MEASURED_BYTES {
                self.release()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), Stopped> {
        if self.layout.is_none() || !self.held.is_empty() {
            self.release()?;
        }
        let rows = if self.rows == 1 { "row" } else { "rows" };
        writeln!(self.out, "({} {rows})", self.rows)?;
        Ok(())
    }
}

/// Computes the widths of the columns' contents within a terminal. It shortens the widest texts first and numbers
/// never. Returns `None` if that leaves too little of the texts.
fn fit(natural: &[u16], is_number: &[bool], terminal: u16) -> Option<Vec<u16>> {
    let frame = natural.len() * 3;
    let room = usize::from(terminal).checked_sub(frame.saturating_sub(1))?;
    let shortened = |cap: u16| -> Vec<u16> {
        let shorten = |(width, is_number): (&u16, &bool)| if *is_number { *width } else { (*width).min(cap) };
        natural.iter().zip(is_number).map(shorten).collect()
    };
    let fits = |widths: &[u16]| widths.iter().map(|width| usize::from(*width)).sum::<usize>() <= room;
    (LEAST_WIDTH..=terminal.max(LEAST_WIDTH)).rev().map(shortened).find(|widths| fits(widths))
}

/// Replaces characters that move the cursor, change the colour or turn the direction of writing, because anyone may
/// have written the text.
fn shown(text: &str) -> String {
    let plain = |letter: char| match letter {
        '\n' => '⏎',
        '\t' => ' ',
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        control if control.is_control() => '\u{fffd}',
        other => other,
    };
    text.chars().filter(|letter| *letter != '\r').map(plain).collect()
}
