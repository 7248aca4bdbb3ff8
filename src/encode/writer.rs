//! Writes batches as the bytes of a shard. The same rows give the same bytes, however they are divided into batches:
//! the ends of pages and row groups depend only on the rows.

use std::io::{BufWriter, IntoInnerError, Write};
use std::ops::Range;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, SchemaRef};
use bytes::{Buf, Bytes};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowRowGroupWriterFactory;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::FileMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::writer::SerializedFileWriter;
use sha2::{Digest, Sha256};
use zstd::bulk::Compressor;

use super::column::{ColumnEncoder, leaf_count};
#[cfg(all(test, feature = "pipeline"))]
use super::groups::GroupSize;
use super::groups::{DOCUMENT_WEIGHT, GroupCutter};
use super::names::Names;
use super::properties::{compressor, group_size, properties};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::lake::ShardMeta;
use crate::table::{TableKind, schema_version};
use crate::version::TOOL_VERSION;

/// The size of the output buffer; the Parquet library writes small pieces.
const SINK_BUFFER_BYTES: usize = 64 << 10;

/// Writes one shard. Memory is bounded by one row group.
pub struct ShardWriter<W: Write + Send> {
    table: TableKind,
    schema: SchemaRef,
    file: SerializedFileWriter<HashingSink<W>>,
    library: ArrowRowGroupWriterFactory,
    columns: Vec<ColumnEncoder>,
    compressor: Compressor<'static>,
    cutter: GroupCutter,
    /// Rows of the row group that is not complete yet.
    group_rows: usize,
    rows: u64,
}

/// An encoded row group of another shard.
#[derive(Debug)]
pub struct EncodedGroup {
    /// Its column chunks, without gaps.
    pub bytes: Bytes,
    /// The offset of `bytes` in that shard.
    pub offset: u64,
    /// That shard's metadata of each column chunk.
    pub columns: Vec<ColumnCloseResult>,
    /// Its number of rows.
    pub rows: usize,
}

impl<W: Write + Send> ShardWriter<W> {
    /// Creates a writer of a shard of `table` with the columns `schema` into `sink`. Fails as the sink does.
    pub fn new(table: TableKind, schema: SchemaRef, sink: W) -> Result<Self> {
        let sink = BufWriter::with_capacity(SINK_BUFFER_BYTES, sink);
        let sink = HashingSink { sink, digest: Sha256::new(), size_bytes: 0 };
        let cannot_begin = || format!("cannot begin a shard of {table}");
        let (file, library) = ArrowWriter::try_new(sink, schema.clone(), Some(properties(table)))
            .and_then(ArrowWriter::into_serialized_writer)
            .or_error(ErrorKind::Lake, cannot_begin)?;
        let mut leaves = file.schema_descr().columns();
        let mut columns = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let (own, rest) = leaves.split_at(leaf_count(field).min(leaves.len()));
            columns.push(ColumnEncoder::new(field, own, file.properties()));
            leaves = rest;
        }
        Ok(ShardWriter {
            table,
            schema,
            file,
            library,
            columns,
            compressor: compressor(table).or_error(ErrorKind::Internal, cannot_begin)?,
            cutter: GroupCutter::new(group_size(table)),
            group_rows: 0,
            rows: 0,
        })
    }

    /// Creates a writer with another size of row groups, in the weight of their rows.
    #[cfg(all(test, feature = "pipeline"))]
    pub(crate) fn with_group_target(mut self, target: u64) -> Self {
        self.cutter = GroupCutter::new(GroupSize { target });
        self
    }

    /// Returns the table of the shard.
    pub fn table(&self) -> TableKind {
        self.table
    }

    /// Returns the columns of the shard.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns whether a shard was written in the same way: by this version of the tool, with the same columns. The
    /// same rows then have the same bytes in both.
    pub fn has_written(&self, other: &FileMetaData) -> bool {
        let properties = self.file.properties();
        other.created_by() == Some(properties.created_by())
            && other.key_value_metadata() == properties.key_value_metadata()
            && other.schema_descr().root_schema() == self.file.schema_descr().root_schema()
    }

    /// Adds the rows of `batch`, which has the table's schema and continues the order of names. Texts may be
    /// dictionaries. Fails with [`ErrorKind::Lake`] as the sink does, and with [`ErrorKind::Internal`] if the schema
    /// differs.
    pub fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let fits = |(one, other): (&FieldRef, &FieldRef)| one.name() == other.name() && same_type(one, other);
        let (fields, expected) = (batch.schema_ref().fields(), self.schema.fields());
        let other_columns = || Error::internal(format!("a batch for a shard of {} has other columns", self.table));
        if fields.len() != expected.len() || !fields.iter().zip(expected).all(fits) {
            return Err(other_columns());
        }
        let names = Names::of(&batch).ok_or_else(other_columns)?;
        let mut start = 0;
        for (name, rows) in names.runs() {
            if self.cutter.begin_name(name) {
                self.write_rows(&batch, start..rows.start)?;
                self.end_group()?;
                start = rows.start;
            }
            for row in rows {
                if self.cutter.add_row(weight(self.table, &batch, row)) {
                    self.write_rows(&batch, start..row + 1)?;
                    self.end_group()?;
                    start = row + 1;
                }
            }
        }
        self.write_rows(&batch, start..batch.num_rows())
    }

    /// Takes the name of the next row. Returns whether a row group begins with it.
    pub fn begin_name(&mut self, name: &str) -> Result<bool> {
        if self.cutter.begin_name(name) {
            self.end_group()?;
        }
        Ok(self.group_rows == 0)
    }

    /// Appends a row group of a shard that was written in the same way, at the beginning of a row group. If the group
    /// is the last one of its shard, it must be the last one of this shard. Fails as the sink does.
    pub fn append_group(&mut self, group: EncodedGroup) -> Result<()> {
        let cannot_write = || format!("cannot copy rows into a shard of {}", self.table);
        let mut writer = self.file.next_row_group().or_error(ErrorKind::Lake, cannot_write)?;
        let chunks = ChunksAt { bytes: group.bytes, offset: group.offset };
        for column in group.columns {
            writer.append_column(&chunks, column).or_error(ErrorKind::Lake, cannot_write)?;
        }
        writer.close().or_error(ErrorKind::Lake, cannot_write)?;
        self.cutter.begin_group();
        self.rows += group.rows as u64;
        Ok(())
    }

    fn write_rows(&mut self, batch: &RecordBatch, rows: Range<usize>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        if self.group_rows == 0 {
            self.begin_group()?;
        }
        self.group_rows += rows.len();
        let mut columns = self.columns.iter_mut().zip(batch.columns());
        columns.try_for_each(|(column, array)| column.write(&array.slice(rows.start, rows.len()), &mut self.compressor))
    }

    fn begin_group(&mut self) -> Result<()> {
        if self.columns.iter().any(|column| matches!(column, ColumnEncoder::Library(_))) {
            let all = self.library.create_column_writers(self.file.flushed_row_groups().len());
            let mut all = all.or_error(ErrorKind::Internal, || "cannot begin a row group".to_owned())?.into_iter();
            self.columns.iter_mut().for_each(|column| column.begin_group(&mut all));
        }
        Ok(())
    }

    fn end_group(&mut self) -> Result<()> {
        let cannot_write = || format!("cannot write a shard of {}", self.table);
        let mut group = self.file.next_row_group().or_error(ErrorKind::Lake, cannot_write)?;
        let mut columns = self.columns.iter_mut();
        columns.try_for_each(|column| column.end_group(&mut group, &mut self.compressor))?;
        group.close().or_error(ErrorKind::Lake, cannot_write)?;
        self.rows += self.group_rows as u64;
        self.group_rows = 0;
        Ok(())
    }

    /// Ends the file. Returns the sink and the shard's entry for the manifest. Flushes the sink, but does not sync it.
    pub fn finish(mut self) -> Result<(W, ShardMeta)> {
        if self.group_rows > 0 {
            self.end_group()?;
        }
        let cannot_end = || format!("cannot end a shard of {}", self.table);
        let mut sink = self.file.into_inner().or_error(ErrorKind::Lake, cannot_end)?;
        sink.flush().or_error(ErrorKind::Lake, cannot_end)?;
        let sha256 = format!("{:x}", sink.digest.finalize());
        let inner = sink.sink.into_inner().map_err(IntoInnerError::into_error).or_error(ErrorKind::Lake, cannot_end)?;
        let meta = ShardMeta {
            rows: self.rows,
            size_bytes: sink.size_bytes,
            sha256,
            schema_version: schema_version(self.table),
            tool_version: TOOL_VERSION.to_owned(),
        };
        Ok((inner, meta))
    }
}

/// Returns whether a column has the expected type; dictionaries and views of texts are accepted as texts.
fn same_type(field: &Field, expected: &Field) -> bool {
    match (field.data_type(), expected.data_type()) {
        (DataType::Dictionary(key, value), DataType::Utf8) => **key == DataType::Int32 && **value == DataType::Utf8,
        (DataType::Utf8View, DataType::Utf8) => true,
        (DataType::List(item), DataType::List(expected)) => same_type(item, expected),
        (DataType::Struct(parts), DataType::Struct(expected)) => {
            parts.len() == expected.len()
                && parts.iter().zip(expected).all(|(part, expected)| same_type(part, expected))
        }
        (found, expected) => found == expected,
    }
}

/// Returns the weight of a row in its row group.
fn weight(table: TableKind, batch: &RecordBatch, row: usize) -> u64 {
    if table != TableKind::Packuments {
        return 1;
    }
    let sizes = batch.column_by_name("size_bytes").and_then(|column| column.as_primitive_opt::<Int64Type>());
    let size_bytes = sizes.and_then(|sizes| sizes.values().get(row).copied()).unwrap_or_default();
    DOCUMENT_WEIGHT + u64::try_from(size_bytes).unwrap_or_default()
}

/// Column chunks with their offset in a shard.
struct ChunksAt {
    bytes: Bytes,
    offset: u64,
}

impl Length for ChunksAt {
    fn len(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

impl ChunkReader for ChunksAt {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        let mut bytes = self.bytes.clone();
        bytes.advance((start.saturating_sub(self.offset) as usize).min(bytes.len()));
        Ok(bytes.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let start = (start.saturating_sub(self.offset) as usize).min(self.bytes.len());
        Ok(self.bytes.slice(start..(start + length).min(self.bytes.len())))
    }
}

/// Counts and hashes the bytes on their way to the sink.
struct HashingSink<W: Write> {
    sink: BufWriter<W>,
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
