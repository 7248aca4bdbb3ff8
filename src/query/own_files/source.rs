//! The files of a table as they are read, and their rows on the way into batches.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, SchemaRef};

use super::find::Found;
use super::request::{Form, Request};
use crate::error::{Context, ErrorKind, Result};
use crate::text::{self, LineEnds, TextReader};

/// Bytes of text at which a batch ends, so that long values cannot fill memory.
pub(super) const BATCH_BYTES: usize = 8 << 20;

/// The most columns of a table. A file with more is a map, or no file of records.
pub(super) const MOST_COLUMNS: usize = 5_000;

/// The files of a table, and what the statement says about them.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) found: Found,
    pub(super) request: Request,
    /// The declared columns: name and type, `None` for JSON text.
    pub(super) declared: Vec<(String, Option<DataType>)>,
}

impl Source {
    /// Opens one of the files.
    pub(super) fn open(&self, path: &Path) -> Result<TextReader> {
        // A value of CSV may have any line end within quotes.
        let line_ends = if self.found.form == Form::Csv { LineEnds::Kept } else { LineEnds::Unified };
        text::open(path, "file", line_ends)
    }
}

/// Rows on their way into batches.
pub(super) struct Batches<'s> {
    /// The columns of the batches.
    schema: SchemaRef,
    most_rows: usize,
    /// Takes a batch; returns whether more is wanted.
    send: &'s mut dyn FnMut(RecordBatch) -> bool,
    rows: usize,
    bytes: usize,
}

impl<'s> Batches<'s> {
    /// Makes batches of the columns `schema`. `send` takes a batch, and returns whether more is wanted.
    pub(super) fn new(schema: SchemaRef, most_rows: usize, send: &'s mut dyn FnMut(RecordBatch) -> bool) -> Self {
        Batches { schema, most_rows, send, rows: 0, bytes: 0 }
    }

    /// Counts a row of `bytes` bytes. Returns whether the batch is full.
    pub(super) fn add_row(&mut self, bytes: usize) -> bool {
        self.rows += 1;
        self.bytes += bytes;
        self.rows >= self.most_rows || self.bytes >= BATCH_BYTES
    }

    /// Whether rows wait for their batch to end.
    pub(super) fn has_rows(&self) -> bool {
        self.rows > 0
    }

    /// Sends the rows since the last call. Returns whether more is wanted.
    pub(super) fn end_batch(&mut self, arrays: Vec<ArrayRef>) -> Result<bool> {
        let options = RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.rows)));
        self.bytes = 0;
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options);
        Ok((self.send)(batch.or_error(ErrorKind::Internal, || "the rows of a file make no batch".to_owned())?))
    }
}
