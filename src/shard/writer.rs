//! Batches to the bytes of a shard. The same rows give the same bytes, however they were cut into batches: the writer
//! cuts them anew at places that depend on the rows alone, and ends a row group at each.

use std::io::Write;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use sha2::{Digest, Sha256};

use super::properties::{Cuts, cuts, properties};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::lake::{ShardMeta, TableKind};

/// Writes one shard. Memory is bounded by one chunk before encoding, and by one row group after it.
pub struct ShardWriter<W: Write + Send> {
    table: TableKind,
    schema: SchemaRef,
    parquet: ArrowWriter<HashingSink<W>>,
    cuts: Cuts,
    /// Rows of the chunk that is not complete yet.
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    waiting_bytes: usize,
    /// Chunks in the row group that is not complete yet.
    chunks: usize,
    rows: u64,
}

impl<W: Write + Send> ShardWriter<W> {
    /// A writer of a shard of `table`, whose columns are `schema`, into `sink`. Fails as the sink does.
    pub fn new(table: TableKind, schema: SchemaRef, sink: W) -> Result<Self> {
        let sink = HashingSink { sink, digest: Sha256::new(), size_bytes: 0 };
        let parquet = ArrowWriter::try_new(sink, schema.clone(), Some(properties(table)))
            .or_error(ErrorKind::Lake, || format!("cannot begin a shard of {table}"))?;
        Ok(ShardWriter {
            table,
            schema,
            parquet,
            cuts: cuts(table),
            waiting: Vec::new(),
            waiting_rows: 0,
            waiting_bytes: 0,
            chunks: 0,
            rows: 0,
        })
    }

    /// Adds the rows of `batch`, which has the table's schema and goes on in the order of names. Fails with
    /// [`ErrorKind::Lake`] as the sink does, with [`ErrorKind::Internal`] if the schema is another.
    pub fn write(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.schema_ref().fields() != self.schema.fields() {
            return Err(Error::internal(format!("a batch for a shard of {} has other columns", self.table)));
        }
        let mut start = 0;
        while start < batch.num_rows() {
            let (end, is_complete) = self.chunk_end(&batch, start);
            let rows = end - start;
            if rows > 0 {
                self.waiting.push(if rows == batch.num_rows() { batch.clone() } else { batch.slice(start, rows) });
                self.waiting_rows += rows;
            }
            if is_complete {
                self.write_chunk()?;
            }
            start = end;
        }
        Ok(())
    }

    /// Where in `batch`, from `start` on, the chunk that is waiting is complete, or the batch ends; and which of both.
    fn chunk_end(&mut self, batch: &RecordBatch, start: usize) -> (usize, bool) {
        let end = batch.num_rows().min(start + self.cuts.chunk_rows - self.waiting_rows);
        let rows_in_chunk = |end: usize, writer: &Self| writer.waiting_rows + end - start;
        if self.table == TableKind::Packuments {
            for row in start..end {
                let size_bytes = document_size(batch, row);
                // A large document is a chunk by itself: joined to others it would be copied.
                if size_bytes >= self.cuts.chunk_bytes && rows_in_chunk(row, self) > 0 {
                    return (row, true);
                }
                self.waiting_bytes += size_bytes;
                if self.waiting_bytes >= self.cuts.chunk_bytes {
                    return (row + 1, true);
                }
            }
        }
        (end, rows_in_chunk(end, self) == self.cuts.chunk_rows)
    }

    fn write_chunk(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let chunk = match waiting.as_slice() {
            [] => return Ok(()),
            [whole] => whole.clone(),
            parts => concat_batches(&self.schema, parts)
                .or_error(ErrorKind::Internal, || "cannot join batches of one table".to_owned())?,
        };
        self.rows += chunk.num_rows() as u64;
        self.waiting_rows = 0;
        self.waiting_bytes = 0;
        self.chunks += 1;
        let mut written = self.parquet.write(&chunk);
        if self.chunks == self.cuts.group_chunks {
            self.chunks = 0;
            written = written.and_then(|()| self.parquet.flush());
        }
        written.or_error(ErrorKind::Lake, || format!("cannot write a shard of {}", self.table))
    }

    /// Ends the file, and gives the sink and what a manifest knows of it. The sink is flushed, not synced.
    pub fn finish(mut self) -> Result<(W, ShardMeta)> {
        self.write_chunk()?;
        let sink = self.parquet.into_inner();
        let mut sink = sink.or_error(ErrorKind::Lake, || format!("cannot end a shard of {}", self.table))?;
        sink.flush().or_error(ErrorKind::Lake, || format!("cannot end a shard of {}", self.table))?;
        let sha256 = format!("{:x}", sink.digest.finalize());
        Ok((sink.sink, ShardMeta { rows: self.rows, size_bytes: sink.size_bytes, sha256 }))
    }
}

/// Size of the document in a row of `packuments`.
fn document_size(batch: &RecordBatch, row: usize) -> usize {
    let text = batch.column_by_name("json").and_then(|column| column.as_string_opt::<i32>());
    let bytes = batch.column_by_name("bytes").and_then(|column| column.as_binary_opt::<i32>());
    let text = text.map_or(0, |column| if column.is_valid(row) { column.value(row).len() } else { 0 });
    let bytes = bytes.map_or(0, |column| if column.is_valid(row) { column.value(row).len() } else { 0 });
    text + bytes
}

/// Counts and digests what passes through to the sink.
struct HashingSink<W> {
    sink: W,
    digest: Sha256,
    size_bytes: u64,
}

impl<W: Write> Write for HashingSink<W> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let written = self.sink.write(buffer)?;
        self.digest.update(buffer.get(..written).unwrap_or(buffer));
        self.size_bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.sink.flush()
    }
}
