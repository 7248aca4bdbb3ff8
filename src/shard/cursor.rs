//! Reads a shard name by name: only the requested columns, in constant memory. Checks the order of names on the way.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef, TimestampMicrosecondType};

use super::reader::{ShardReader, text_column};
use crate::error::Result;
use crate::store::ShardFile;
use crate::table::TableKind;

/// The rows of a shard, name by name.
pub struct NameCursor {
    reader: ShardReader,
    batch: Option<RecordBatch>,
    row: usize,
    name: Option<String>,
    rows: u64,
    disorder: Option<String>,
}

impl NameCursor {
    /// Opens a shard of `kind` to read its names and the columns `others`. Fails as [`ShardReader::open`] does.
    pub fn open(kind: TableKind, file: ShardFile, schema: &SchemaRef, others: &[&str]) -> Result<NameCursor> {
        let columns: Vec<&str> = std::iter::once("name").chain(others.iter().copied()).collect();
        let reader = ShardReader::open_columns(kind, file, schema, &columns)?;
        let mut cursor = NameCursor { reader, batch: None, row: 0, name: None, rows: 0, disorder: None };
        cursor.name = cursor.name_here()?;
        Ok(cursor)
    }

    /// Returns the schema version of the shard.
    pub fn schema_version(&self) -> u32 {
        self.reader.schema_version()
    }

    /// Returns the current name; `None` at the end.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the number of rows that the cursor has passed.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns a description of rows that are out of order, if there are any; the cursor reads no further then.
    pub fn disorder(&self) -> Option<&str> {
        self.disorder.as_deref()
    }

    /// Passes all rows of the current name and calls `see` with each. Returns their number.
    pub fn pass(&mut self, mut see: impl FnMut(Row<'_>) -> Result<()>) -> Result<u64> {
        let Some(name) = self.name.take() else { return Ok(0) };
        let rows_before = self.rows;
        loop {
            if let Some(batch) = &self.batch {
                see(Row { batch, row: self.row })?;
                self.row += 1;
                self.rows += 1;
            }
            let next = self.name_here()?;
            if next.as_ref() == Some(&name) {
                continue;
            }
            if let Some(next) = next.as_ref().filter(|next| **next < name) {
                self.disorder = Some(format!("its rows are not in order: {next:?} comes after {name:?}"));
            } else {
                self.name = next;
            }
            return Ok(self.rows - rows_before);
        }
    }

    /// Returns the name of the current row; reads on at the end of a batch.
    fn name_here(&mut self) -> Result<Option<String>> {
        while self.batch.as_ref().is_none_or(|batch| self.row >= batch.num_rows()) {
            self.batch = self.reader.next().transpose()?;
            self.row = 0;
            if self.batch.is_none() {
                return Ok(None);
            }
        }
        let Some(batch) = &self.batch else { return Ok(None) };
        let name = text_column(batch, "name")?.value(self.row);
        Ok(Some(name.to_owned()))
    }
}

/// One row of the requested columns.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    batch: &'a RecordBatch,
    row: usize,
}

impl<'a> Row<'a> {
    /// Returns a text column; `None` if it is null.
    pub fn text(&self, column: &str) -> Result<Option<&'a str>> {
        let values = text_column(self.batch, column)?;
        Ok(values.is_valid(self.row).then(|| values.value(self.row)))
    }

    /// Returns a column of bytes; `None` if it is null or there is no such column.
    pub fn bytes(&self, column: &str) -> Option<&'a [u8]> {
        let values = self.batch.column_by_name(column)?.as_binary_opt::<i32>()?;
        values.is_valid(self.row).then(|| values.value(self.row))
    }

    /// Returns a column of integers, or of times in microseconds since 1970; `None` if it is null or there is no such
    /// column.
    pub fn number(&self, column: &str) -> Option<i64> {
        let values = self.batch.column_by_name(column)?;
        if !values.is_valid(self.row) {
            return None;
        }
        let wide = values.as_primitive_opt::<Int64Type>().map(|values| values.value(self.row));
        let small = || values.as_primitive_opt::<Int32Type>().map(|values| i64::from(values.value(self.row)));
        let time = || values.as_primitive_opt::<TimestampMicrosecondType>().map(|values| values.value(self.row));
        wide.or_else(small).or_else(time)
    }
}
