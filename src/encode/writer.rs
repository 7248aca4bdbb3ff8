//! Batches to the bytes of a shard. The same rows give the same bytes, however they were cut into batches: the writer
//! cuts them anew at places that depend on the rows alone, and ends a row group at each.

use std::io::{BufWriter, IntoInnerError, Write};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnDescPtr;
use sha2::{Digest, Sha256};
use zstd::bulk::Compressor;

use super::chunk_encoder::ChunkEncoder;
use super::flat_chunk::FlatChunk;
use super::properties::{Cuts, compressor, cuts, properties};
use super::text_chunk::TextChunk;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::lake::ShardMeta;
use crate::table::{TableKind, schema_version};
use crate::version::TOOL_VERSION;

/// The Parquet library hands on what it writes in small pieces.
const SINK_BUFFER_BYTES: usize = 64 << 10;

/// Writes one shard. Memory is bounded by one chunk before encoding, and by one row group after it.
pub struct ShardWriter<W: Write + Send> {
    table: TableKind,
    schema: SchemaRef,
    file: SerializedFileWriter<HashingSink<W>>,
    library: ArrowRowGroupWriterFactory,
    columns: Vec<ColumnWriter>,
    compressor: Compressor<'static>,
    cuts: Cuts,
    /// Rows and bytes of the chunk that is not complete yet.
    chunk_rows: usize,
    chunk_bytes: usize,
    /// Chunks in the row group that is not complete yet.
    chunks: usize,
    group_rows: usize,
    rows: u64,
}

/// The encoder of one column of the schema.
enum ColumnWriter {
    /// Our encoder of each of its leaves.
    Own(Vec<Box<dyn ChunkEncoder>>),
    /// Few others: the library's encoder of each of its leaves, made with the row group's first rows.
    Library {
        field: FieldRef,
        leaf_count: usize,
        leaves: Vec<ArrowColumnWriter>,
        /// Rows of the chunk that is not complete yet.
        waiting: Vec<ArrayRef>,
    },
}

impl<W: Write + Send> ShardWriter<W> {
    /// A writer of a shard of `table`, whose columns are `schema`, into `sink`. Fails as the sink does.
    pub fn new(table: TableKind, schema: SchemaRef, sink: W) -> Result<Self> {
        let sink = BufWriter::with_capacity(SINK_BUFFER_BYTES, sink);
        let sink = HashingSink { sink, digest: Sha256::new(), size_bytes: 0 };
        let cannot_begin = || format!("cannot begin a shard of {table}");
        let (file, library) = ArrowWriter::try_new(sink, schema.clone(), Some(properties(table)))
            .and_then(ArrowWriter::into_serialized_writer)
            .or_error(ErrorKind::Lake, cannot_begin)?;
        let mut columns = Vec::with_capacity(schema.fields().len());
        let mut leaf = 0;
        for field in schema.fields() {
            let leaf_count = leaf_count(field);
            let leaves = (leaf..leaf + leaf_count).map(|leaf| file.schema_descr().column(leaf));
            let own = leaves.map(|leaf| own_encoder(field.data_type(), leaf, file.properties()));
            columns.push(match own.collect() {
                Some(encoders) => ColumnWriter::Own(encoders),
                None => {
                    let field = FieldRef::clone(field);
                    ColumnWriter::Library { field, leaf_count, leaves: Vec::new(), waiting: Vec::new() }
                }
            });
            leaf += leaf_count;
        }
        Ok(ShardWriter {
            table,
            schema,
            file,
            library,
            columns,
            compressor: compressor(table).or_error(ErrorKind::Internal, cannot_begin)?,
            cuts: cuts(table),
            chunk_rows: 0,
            chunk_bytes: 0,
            chunks: 0,
            group_rows: 0,
            rows: 0,
        })
    }

    /// Adds the rows of `batch`, which has the table's schema and goes on in the order of names; texts may come as
    /// dictionaries of texts. Fails with [`ErrorKind::Lake`] as the sink does, with [`ErrorKind::Internal`] if the
    /// schema is another.
    pub fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let fits = |(one, other): (&FieldRef, &FieldRef)| one.name() == other.name() && same_type(one, other);
        let (fields, expected) = (batch.schema_ref().fields(), self.schema.fields());
        if fields.len() != expected.len() || !fields.iter().zip(expected).all(fits) {
            return Err(Error::internal(format!("a batch for a shard of {} has other columns", self.table)));
        }
        let mut start = 0;
        while start < batch.num_rows() {
            let end = self.chunk_end(&batch, start);
            let rows = end - start;
            for (column, array) in self.columns.iter_mut().zip(batch.columns()) {
                column.write(array.slice(start, rows), &mut self.compressor)?;
            }
            self.chunk_rows += rows;
            if self.chunk_rows >= self.cuts.chunk_rows || self.chunk_bytes >= self.cuts.chunk_bytes {
                self.end_chunk()?;
            }
            start = end;
        }
        Ok(())
    }

    /// Where in `batch`, from `start` on, the chunk that is waiting is complete, or the batch ends.
    fn chunk_end(&mut self, batch: &RecordBatch, start: usize) -> usize {
        let end = batch.num_rows().min(start + self.cuts.chunk_rows - self.chunk_rows);
        if self.table != TableKind::Packuments {
            return end;
        }
        for row in start..end {
            self.chunk_bytes += document_size(batch, row);
            if self.chunk_bytes >= self.cuts.chunk_bytes {
                return row + 1;
            }
        }
        end
    }

    /// The library looks whether a page is full only between two writes, so it is given whole chunks.
    fn end_chunk(&mut self) -> Result<()> {
        if self.chunk_rows == 0 {
            return Ok(());
        }
        if self.group_rows == 0 {
            self.begin_group()?;
        }
        self.group_rows += self.chunk_rows;
        self.chunk_rows = 0;
        self.chunk_bytes = 0;
        self.chunks += 1;
        for column in &mut self.columns {
            column.end_chunk()?;
        }
        if self.chunks == self.cuts.group_chunks { self.end_group() } else { Ok(()) }
    }

    fn begin_group(&mut self) -> Result<()> {
        if !self.columns.iter().any(|column| matches!(column, ColumnWriter::Library { .. })) {
            return Ok(());
        }
        let all = self.library.create_column_writers(self.file.flushed_row_groups().len());
        let mut all = all.or_error(ErrorKind::Internal, || "cannot begin a row group".to_owned())?.into_iter();
        for column in &mut self.columns {
            match column {
                ColumnWriter::Own(own) => own.iter().for_each(|_| drop(all.next())),
                ColumnWriter::Library { leaf_count, leaves, .. } => *leaves = all.by_ref().take(*leaf_count).collect(),
            }
        }
        Ok(())
    }

    fn end_group(&mut self) -> Result<()> {
        let cannot_write = || format!("cannot write a shard of {}", self.table);
        let mut group = self.file.next_row_group().or_error(ErrorKind::Lake, cannot_write)?;
        for column in &mut self.columns {
            match column {
                ColumnWriter::Own(own) => {
                    for leaf in own {
                        let (bytes, close) = leaf.finish(&mut self.compressor)?;
                        group.append_column(&bytes, close).or_error(ErrorKind::Lake, cannot_write)?;
                    }
                }
                ColumnWriter::Library { leaves, .. } => {
                    for leaf in leaves.drain(..) {
                        let chunk = leaf.close().or_error(ErrorKind::Internal, cannot_write)?;
                        chunk.append_to_row_group(&mut group).or_error(ErrorKind::Lake, cannot_write)?;
                    }
                }
            }
        }
        group.close().or_error(ErrorKind::Lake, cannot_write)?;
        self.rows += self.group_rows as u64;
        self.group_rows = 0;
        self.chunks = 0;
        Ok(())
    }

    /// Ends the file, and gives the sink and what a manifest knows of it. The sink is flushed, not synced.
    pub fn finish(mut self) -> Result<(W, ShardMeta)> {
        self.end_chunk()?;
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

impl ColumnWriter {
    fn write(&mut self, rows: ArrayRef, compressor: &mut Compressor<'_>) -> Result<()> {
        match self {
            ColumnWriter::Own(leaves) => match leaves.as_mut_slice() {
                [leaf] => leaf.write(&rows, compressor),
                leaves => {
                    let mut parts = leaves.iter_mut().zip(list_parts(&rows)?);
                    parts.try_for_each(|(leaf, part)| leaf.write(&part, compressor))
                }
            },
            ColumnWriter::Library { waiting, .. } => {
                waiting.push(rows);
                Ok(())
            }
        }
    }

    fn end_chunk(&mut self) -> Result<()> {
        let ColumnWriter::Library { field, leaves, waiting, .. } = self else { return Ok(()) };
        let cannot_encode = || format!("cannot encode the column {}", field.name());
        let parts = std::mem::take(waiting);
        let rows = match parts.as_slice() {
            [whole] => ArrayRef::clone(whole),
            parts => {
                let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
                concat(&parts).or_error(ErrorKind::Internal, cannot_encode)?
            }
        };
        // The library's encoder of texts takes no dictionary.
        let rows = cast(&rows, field.data_type()).or_error(ErrorKind::Internal, cannot_encode)?;
        let columns = compute_leaves(field, &rows).or_error(ErrorKind::Internal, cannot_encode)?;
        leaves
            .iter_mut()
            .zip(&columns)
            .try_for_each(|(leaf, column)| leaf.write(column))
            .or_error(ErrorKind::Internal, cannot_encode)
    }
}

/// How many columns of the file hold a column of the schema.
fn leaf_count(field: &Field) -> usize {
    match field.data_type() {
        DataType::List(item) => leaf_count(item),
        DataType::Struct(parts) => parts.iter().map(|part| leaf_count(part)).sum(),
        _ => 1,
    }
}

/// Our encoder for a leaf of a column; `None` where it is left to the library.
fn own_encoder(
    data_type: &DataType,
    leaf: ColumnDescPtr,
    properties: &WriterProperties,
) -> Option<Box<dyn ChunkEncoder>> {
    let is_text = |field: &FieldRef| !field.is_nullable() && *field.data_type() == DataType::Utf8;
    let has_texts = match data_type {
        DataType::Utf8 => true,
        DataType::List(item) => match item.data_type() {
            DataType::Struct(parts) => !item.is_nullable() && parts.iter().all(is_text),
            _ => is_text(item),
        },
        _ => false,
    };
    match data_type {
        _ if has_texts => Some(Box::new(TextChunk::new(leaf, properties)?)),
        DataType::Int64 | DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Some(Box::new(FlatChunk::<i64>::new(leaf, properties)?))
        }
        DataType::Boolean => Some(Box::new(FlatChunk::<bool>::new(leaf, properties)?)),
        _ => None,
    }
}

/// A list of structs as a list of each of their parts.
fn list_parts(array: &ArrayRef) -> Result<Vec<ArrayRef>> {
    let other_type = || Error::internal("a column of lists is of another type");
    let lists = array.as_list_opt::<i32>().ok_or_else(other_type)?;
    let items = lists.values().as_struct_opt().ok_or_else(other_type)?;
    let part = |(field, values): (&FieldRef, &ArrayRef)| -> Result<ArrayRef> {
        let (field, values) = (Arc::clone(field), Arc::clone(values));
        let list = ListArray::try_new(field, lists.offsets().clone(), values, lists.nulls().cloned());
        Ok(Arc::new(list.or_error(ErrorKind::Internal, || "the parts of a list are uneven".to_owned())?))
    };
    items.fields().iter().zip(items.columns()).map(part).collect()
}

/// Whether a column has the type that is expected; a dictionary or views of texts stand for texts.
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

/// Size of the document in a row of `packuments`.
fn document_size(batch: &RecordBatch, row: usize) -> usize {
    let size = batch.column_by_name("size_bytes").and_then(|column| column.as_primitive_opt::<Int64Type>());
    size.and_then(|sizes| sizes.values().get(row).copied()).map_or(0, |size| usize::try_from(size).unwrap_or(0))
}

/// Counts and digests what passes through to the sink.
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
