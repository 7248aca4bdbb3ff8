//! Adapts shards of earlier versions to the columns of this version.
//!
//! A column that the shard lacks is null. A column that this version does not have is not read. A column of another
//! type is cast, value by value; a value that does not fit is null. A shard of this version has exactly this version's
//! columns, except for their descriptions. A shard of a newer version is refused.

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

/// Returns the schema version of a shard. Shards of format 1 do not state it; theirs is 1.
pub fn schema_version_of(metadata: &FileMetaData) -> u32 {
    let entries = metadata.key_value_metadata().into_iter().flatten();
    let said = entries.filter(|entry| entry.key == SCHEMA_VERSION_KEY).find_map(|entry| entry.value.as_deref());
    said.and_then(|version| version.parse().ok()).unwrap_or(1)
}

/// Fails with [`ErrorKind::Lake`] if a newer version of the tool wrote a shard of `kind`. Accepts a shard that cannot
/// be read at all: other readers report the reason.
pub fn refuse_newer(kind: TableKind, file: ShardFile) -> Result<()> {
    match ParquetRecordBatchReaderBuilder::try_new(file) {
        Ok(builder) => check_version(kind, schema_version_of(builder.metadata().file_metadata())),
        Err(_) => Ok(()),
    }
}

/// Casts an array to another type. A value that does not fit is null.
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

/// Converts the batches of an old shard into those of this version.
pub(super) struct Adapter {
    columns: SchemaRef,
}

impl Adapter {
    /// Adapts the rows of a batch. A column may be null here even if this version requires it.
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

/// The way to read a shard of `kind` so that it has the columns `current`, or those of them that `wanted` names.
pub(super) struct Reading {
    /// The schema version of the shard.
    pub(super) schema_version: u32,
    /// The columns to read from the file; `None` for all of them.
    pub(super) columns: Option<Vec<String>>,
    /// The adapter of the batches; `None` if they have this version's columns already.
    pub(super) adapter: Option<Adapter>,
}

impl Reading {
    /// Fails with [`ErrorKind::Lake`] for a shard of a newer version, and for one of this version with different
    /// columns.
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

    /// Restricts a builder to the columns of this reading.
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

/// Returns whether names, types and order are the same. Descriptions of columns are not compared.
fn same_columns(one: &Schema, other: &Schema) -> bool {
    let same = |(one, other): (&FieldRef, &FieldRef)| {
        one.name() == other.name() && one.data_type() == other.data_type() && one.is_nullable() == other.is_nullable()
    };
    one.fields().len() == other.fields().len() && one.fields().iter().zip(other.fields()).all(same)
}
