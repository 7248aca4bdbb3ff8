//! Reads the documents of a `packuments` shard in order. The bytes of each share the memory of their page. Not here:
//! documents by name (`lookup`, `stored_documents`).

use std::sync::Arc;

use arrow::array::{Array, AsArray, BinaryViewArray, GenericByteViewArray, RecordBatch, StringArray, StringViewArray};
use arrow::buffer::Buffer;
use arrow::datatypes::{ByteViewType, DataType, Field, FieldRef, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::RowGroupMetaData;

use super::adapt::{Adapter, Reading, fit};
use super::reader::{batch_rows, text_column, unreadable};
use crate::error::{Error, Result};
use crate::npm::Representation;
use crate::store::ShardFile;
use crate::table::{TableKind, schema};

/// The columns that a document needs.
const COLUMNS: [&str; 5] = ["name", "rev", "representation", "json", "bytes"];
/// The bytes of documents that are read at once, by their mean size: few, so that they are still in the processor's cache
/// when they become rows.
const BATCH_BYTES: i64 = 512 << 10;
/// A view of at most this many bytes holds them itself.
const INLINE_BYTES: usize = 12;

/// The documents of a shard, batch by batch in file order.
pub struct RawDocuments {
    file: ShardFile,
    reader: ParquetRecordBatchReader,
    adapter: Option<Adapter>,
}

/// Some documents.
pub struct RawDocumentBatch {
    names: StringArray,
    revs: StringArray,
    forms: StringArray,
    texts: Bodies<StringViewArray>,
    bytes: Bodies<BinaryViewArray>,
}

/// A document in the form that the registry served.
pub struct RawDocument<'a> {
    /// The name of its package.
    pub name: &'a str,
    /// Its `_rev`; the announced one if it has none.
    pub rev: &'a str,
    /// Its form.
    pub representation: Representation,
    /// The bytes that the registry served.
    pub body: Bytes,
}

impl RawDocuments {
    /// Opens a shard of packuments of this version or an earlier one. Fails as [`super::ShardReader::open`] does.
    pub fn open(file: ShardFile) -> Result<RawDocuments> {
        let kind = TableKind::Packuments;
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new());
        let metadata = metadata.map_err(|error| unreadable(kind, &file, error))?;
        let columns = Some(&COLUMNS[..]);
        let reading = Reading::of(kind, metadata.metadata(), metadata.schema(), &schema(kind), columns)?;
        let options = ArrowReaderOptions::new().with_schema(viewed(metadata.schema()));
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options);
        let metadata = metadata.map_err(|error| unreadable(kind, &file, error))?;
        let batch_rows = cached_rows(metadata.metadata().row_groups());
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), metadata);
        let reader = reading.project(builder.with_batch_size(batch_rows)).build();
        let reader = reader.map_err(|error| unreadable(kind, &file, error))?;
        Ok(RawDocuments { file, reader, adapter: reading.adapter })
    }
}

impl Iterator for RawDocuments {
    type Item = Result<RawDocumentBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?.map_err(|error| unreadable(TableKind::Packuments, &self.file, error));
        let adapted = batch.and_then(|batch| match &self.adapter {
            Some(adapter) => adapter.adapt(&batch),
            None => Ok(batch),
        });
        Some(adapted.and_then(|batch| RawDocumentBatch::of(&batch)))
    }
}

impl RawDocumentBatch {
    fn of(batch: &RecordBatch) -> Result<RawDocumentBatch> {
        let column = |name: &str, data_type| {
            let column = batch.column_by_name(name).map(|column| fit(column, data_type));
            column.ok_or_else(|| Error::lake(format!("a shard of packuments has no column {name}")))
        };
        Ok(RawDocumentBatch {
            names: text_column(batch, "name")?.clone(),
            revs: text_column(batch, "rev")?.clone(),
            forms: text_column(batch, "representation")?.clone(),
            texts: Bodies::of(column("json", &DataType::Utf8View)?.as_string_view().clone()),
            bytes: Bodies::of(column("bytes", &DataType::BinaryView)?.as_binary_view().clone()),
        })
    }

    /// Returns each document in order. Fails with [`crate::error::ErrorKind::Lake`] for a row without one.
    pub fn iter(&self) -> impl Iterator<Item = Result<RawDocument<'_>>> {
        (0..self.names.len()).map(|row| {
            let name = self.names.value(row);
            let body = self.texts.get(row).or_else(|| self.bytes.get(row));
            Ok(RawDocument {
                name,
                rev: self.revs.value(row),
                representation: match self.forms.value(row) == Representation::Abbreviated.as_str() {
                    true => Representation::Abbreviated,
                    false => Representation::Full,
                },
                body: body.ok_or_else(|| Error::lake(format!("the row of {name} in packuments has no document")))?,
            })
        })
    }
}

/// A column of document bodies.
struct Bodies<A> {
    views: A,
    /// The memory that the views refer to.
    blocks: Vec<Bytes>,
}

impl<T: ByteViewType> Bodies<GenericByteViewArray<T>> {
    fn of(views: GenericByteViewArray<T>) -> Self {
        let blocks = views.data_buffers().iter().map(|buffer| Bytes::from_owner(Block(buffer.clone()))).collect();
        Bodies { views, blocks }
    }

    /// Returns the document of a row without copying it; `None` if it is null.
    fn get(&self, row: usize) -> Option<Bytes> {
        if self.views.is_null(row) {
            return None;
        }
        let value: &[u8] = self.views.value(row).as_ref();
        // Arrow's format has four bytes each for length, prefix, block number, and offset in the block.
        let block = self.views.views().get(row).and_then(|view| self.blocks.get((view >> 64) as u32 as usize));
        match block {
            Some(block) if value.len() > INLINE_BYTES => Some(block.slice_ref(value)),
            _ => Some(Bytes::copy_from_slice(value)),
        }
    }
}

/// Arrow memory as the owner of shared bytes.
struct Block(Buffer);

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Returns a shard's columns with the documents as views.
fn viewed(found: &SchemaRef) -> SchemaRef {
    let viewed = |field: &FieldRef| -> Field {
        let field = field.as_ref().clone();
        match field.data_type() {
            DataType::Utf8 if field.name() == "json" => field.with_data_type(DataType::Utf8View),
            DataType::Binary if field.name() == "bytes" => field.with_data_type(DataType::BinaryView),
            _ => field,
        }
    };
    let fields: Vec<Field> = found.fields().iter().map(viewed).collect();
    Arc::new(Schema::new_with_metadata(fields, found.metadata().clone()))
}

/// Returns how many documents are read at once.
fn cached_rows(groups: &[RowGroupMetaData]) -> usize {
    let bytes: i64 = groups.iter().map(RowGroupMetaData::total_byte_size).sum();
    let rows: i64 = groups.iter().map(RowGroupMetaData::num_rows).sum();
    let mean_bytes = (bytes / rows.max(1)).max(1);
    let cached_rows = usize::try_from(BATCH_BYTES / mean_bytes).unwrap_or(1).max(1);
    // Where documents are larger than in the mean, memory is the bound.
    let bounded_rows = groups.iter().map(|group| batch_rows(TableKind::Packuments, group)).min().unwrap_or(1);
    cached_rows.min(bounded_rows)
}
