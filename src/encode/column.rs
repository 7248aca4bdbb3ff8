//! The encoder of one table column: our own, or for a few types the Parquet library's.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use parquet::arrow::arrow_writer::{ArrowColumnWriter, compute_leaves};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use super::chunk::ChunkEncoder;
use super::flat_chunk::FlatChunk;
use super::text_chunk::TextChunk;
use crate::error::{Context, Error, ErrorKind, Result};

/// Encodes one column of the schema.
pub(super) enum ColumnEncoder {
    /// Our encoders, one for each leaf.
    Own(Vec<Box<dyn ChunkEncoder>>),
    /// The library's encoders.
    Library(LibraryColumn),
}

/// A column that the Parquet library encodes.
pub(super) struct LibraryColumn {
    field: FieldRef,
    leaf_count: usize,
    /// The encoder of each leaf, created again for each row group.
    leaves: Vec<ArrowColumnWriter>,
    /// The library checks only between two writes whether a page is full. So each write has this many rows, except the
    /// last one of a row group.
    write_rows: usize,
    /// Rows that wait until there are `write_rows` of them.
    waiting: Vec<ArrayRef>,
    waiting_rows: usize,
}

impl ColumnEncoder {
    /// Creates an encoder for the column `field` with the given `leaves`.
    pub(super) fn new(field: &FieldRef, leaves: &[ColumnDescPtr], properties: &WriterProperties) -> ColumnEncoder {
        let own = leaves.iter().map(|leaf| own_encoder(field.data_type(), leaf.clone(), properties));
        match own.collect() {
            Some(encoders) => ColumnEncoder::Own(encoders),
            None => ColumnEncoder::Library(LibraryColumn {
                field: FieldRef::clone(field),
                leaf_count: leaves.len(),
                leaves: Vec::new(),
                write_rows: properties.write_batch_size(),
                waiting: Vec::new(),
                waiting_rows: 0,
            }),
        }
    }

    /// Takes the library's encoders for the leaves of this column from the encoders of a new row group.
    pub(super) fn begin_group(&mut self, library: &mut impl Iterator<Item = ArrowColumnWriter>) {
        match self {
            ColumnEncoder::Own(own) => own.iter().for_each(|_| drop(library.next())),
            ColumnEncoder::Library(column) => column.leaves = library.take(column.leaf_count).collect(),
        }
    }

    /// Adds rows.
    pub(super) fn write(&mut self, rows: &ArrayRef, compressor: &mut Compressor<'_>) -> Result<()> {
        match self {
            ColumnEncoder::Own(leaves) => match leaves.as_mut_slice() {
                [leaf] => leaf.write(rows, compressor),
                leaves => {
                    let mut parts = leaves.iter_mut().zip(list_parts(rows)?);
                    parts.try_for_each(|(leaf, part)| leaf.write(&part, compressor))
                }
            },
            ColumnEncoder::Library(column) => column.write(rows),
        }
    }

    /// Ends the chunks of this column and appends them to their row group.
    pub(super) fn end_group<W: Write + Send>(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, W>,
        compressor: &mut Compressor<'_>,
    ) -> Result<()> {
        let cannot_write = || "cannot append a column to its row group".to_owned();
        match self {
            ColumnEncoder::Own(leaves) => leaves.iter_mut().try_for_each(|leaf| {
                let (bytes, close) = leaf.finish(compressor)?;
                group.append_column(&bytes, close).or_error(ErrorKind::Lake, cannot_write)
            }),
            ColumnEncoder::Library(column) => {
                column.encode_waiting()?;
                column.leaves.drain(..).try_for_each(|leaf| {
                    let chunk = leaf.close().or_error(ErrorKind::Internal, cannot_write)?;
                    chunk.append_to_row_group(group).or_error(ErrorKind::Lake, cannot_write)
                })
            }
        }
    }
}

impl LibraryColumn {
    fn write(&mut self, rows: &ArrayRef) -> Result<()> {
        let mut start = 0;
        while start < rows.len() {
            let count = (rows.len() - start).min(self.write_rows - self.waiting_rows);
            self.waiting.push(rows.slice(start, count));
            self.waiting_rows += count;
            start += count;
            if self.waiting_rows == self.write_rows {
                self.encode_waiting()?;
            }
        }
        Ok(())
    }

    fn encode_waiting(&mut self) -> Result<()> {
        let cannot_encode = || format!("cannot encode the column {}", self.field.name());
        let parts: Vec<&dyn Array> = self.waiting.iter().map(AsRef::as_ref).collect();
        if parts.is_empty() {
            return Ok(());
        }
        let rows = concat(&parts).or_error(ErrorKind::Internal, cannot_encode)?;
        // The library's text encoder does not accept dictionaries.
        let rows = cast(&rows, self.field.data_type()).or_error(ErrorKind::Internal, cannot_encode)?;
        let columns = compute_leaves(&self.field, &rows).or_error(ErrorKind::Internal, cannot_encode)?;
        let mut leaves = self.leaves.iter_mut().zip(&columns);
        leaves
            .try_for_each(|(leaf, column)| leaf.write(column))
            .or_error(ErrorKind::Internal, || format!("cannot encode the column {}", self.field.name()))?;
        self.waiting.clear();
        self.waiting_rows = 0;
        Ok(())
    }
}

/// Returns the number of leaf columns in the file for a column of the schema.
pub(super) fn leaf_count(field: &Field) -> usize {
    match field.data_type() {
        DataType::List(item) => leaf_count(item),
        DataType::Struct(parts) => parts.iter().map(|part| leaf_count(part)).sum(),
        _ => 1,
    }
}

/// Returns our encoder for a leaf of a column; `None` if the library encodes it.
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

/// Splits a list of structs into one list for each field.
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
