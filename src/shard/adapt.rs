//! Shards of earlier versions: their columns become those of this version.
//!
//! A column that the shard lacks is null, one that this version does not have is not read, and one of another type is
//! cast, value by value: what does not fit is null. A shard of this version has this version's columns exactly, but for
//! the words that describe them. A shard of a newer version is refused.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{FileMetaData, ParquetMetaData};
use parquet::file::reader::ChunkReader;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::store::ShardFile;
use crate::table::{SCHEMA_VERSION_KEY, TableKind, schema_version};

/// The version of its table's schema that a shard was written by. Those of format 1 do not say; theirs is 1.
pub fn schema_version_of(metadata: &FileMetaData) -> u32 {
    let entries = metadata.key_value_metadata().into_iter().flatten();
    let said = entries.filter(|entry| entry.key == SCHEMA_VERSION_KEY).find_map(|entry| entry.value.as_deref());
    said.and_then(|version| version.parse().ok()).unwrap_or(1)
}

/// Fails with [`ErrorKind::Lake`] where a newer version of the tool wrote a shard of `kind`. One that cannot be read at all
/// passes: other readers say why.
pub fn refuse_newer(kind: TableKind, file: ShardFile) -> Result<()> {
    match ParquetRecordBatchReaderBuilder::try_new(file) {
        Ok(builder) => check_version(kind, schema_version_of(builder.metadata().file_metadata())),
        Err(_) => Ok(()),
    }
}

/// An array as one of another type. A value that does not fit is null.
pub fn fit(array: &ArrayRef, data_type: &DataType) -> ArrayRef {
    if array.data_type() == data_type {
        return Arc::clone(array);
    }
    let options = CastOptions { safe: true, ..CastOptions::default() };
    let cast = can_cast_types(array.data_type(), data_type)
        .then(|| cast_with_options(array, data_type, &options).ok())
        .flatten();
    cast.unwrap_or_else(|| new_null_array(data_type, array.len()))
}

/// What makes the batches of an old shard those of this version.
pub(super) struct Adapter {
    columns: SchemaRef,
}

impl Adapter {
    /// Adapts the rows of a batch. A column that may be null here may be one that this version requires.
    pub(super) fn adapt(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let column = |field: &FieldRef| match batch.column_by_name(field.name()) {
            Some(array) => fit(array, field.data_type()),
            None => new_null_array(field.data_type(), batch.num_rows()),
        };
        let columns = self.columns.fields().iter().map(column).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.columns), columns, &options)
            .or_error(ErrorKind::Lake, || "the rows of an old shard cannot be adapted".to_owned())
    }
}

/// How a shard of `kind` is read whose columns should be `current`, or those of them that `wanted` names.
pub(super) struct Reading {
    /// The version of the schema that it was written by.
    pub(super) schema_version: u32,
    /// The columns to read of the file; `None` for all of them.
    pub(super) columns: Option<Vec<String>>,
    /// What the batches pass then; `None` where they are this version's already.
    pub(super) adapter: Option<Adapter>,
}

impl Reading {
    /// Fails with [`ErrorKind::Lake`] for a shard of a newer version, and for one of this version whose columns are
    /// others.
    pub(super) fn of(
        kind: TableKind,
        metadata: &ParquetMetaData,
        found: &Schema,
        current: &SchemaRef,
        wanted: Option<&[&str]>,
    ) -> Result<Reading> {
        let schema_version = schema_version_of(metadata.file_metadata());
        check_version(kind, schema_version)?;
        let owned = |columns: &[&str]| columns.iter().map(|&column| column.to_owned()).collect();
        if schema_version == self::schema_version(kind) {
            if !same_columns(found, current) {
                return Err(Error::lake(format!(
                    "a shard of {kind} has other columns than version {schema_version} of its schema"
                ))
                .hint("all-docs verify names every shard that is not as its manifest says"));
            }
            return Ok(Reading { schema_version, columns: wanted.map(owned), adapter: None });
        }
        let is_wanted = |field: &&FieldRef| wanted.is_none_or(|wanted| wanted.contains(&field.name().as_str()));
        let fields: Vec<&FieldRef> = current.fields().iter().filter(is_wanted).collect();
        let columns = fields.iter().map(|field| field.name()).filter(|name| found.field_with_name(name).is_ok());
        let columns = Some(columns.cloned().collect());
        let nullable = fields.iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<Field>>();
        Ok(Reading { schema_version, columns, adapter: Some(Adapter { columns: Arc::new(Schema::new(nullable)) }) })
    }

    /// Lets a builder read only the columns of this reading.
    pub(super) fn project<T: ChunkReader + 'static>(
        &self,
        builder: ParquetRecordBatchReaderBuilder<T>,
    ) -> ParquetRecordBatchReaderBuilder<T> {
        let Some(columns) = &self.columns else { return builder };
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().map(String::as_str));
        builder.with_projection(mask)
    }
}

pub(super) fn check_version(kind: TableKind, found: u32) -> Result<()> {
    let known = schema_version(kind);
    if found <= known {
        return Ok(());
    }
    Err(Error::lake(format!(
        "a newer version of all-docs wrote a shard of {kind}: it has version {found} of the schema, and this all-docs knows {known}"
    ))
    .hint("update all-docs"))
}

/// Whether names, types and order are the same. The words that describe a column are not compared.
fn same_columns(one: &Schema, other: &Schema) -> bool {
    let same = |(one, other): (&FieldRef, &FieldRef)| {
        one.name() == other.name() && one.data_type() == other.data_type() && one.is_nullable() == other.is_nullable()
    };
    one.fields().len() == other.fields().len() && one.fields().iter().zip(other.fields()).all(same)
}
