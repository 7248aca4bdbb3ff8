//! Reads a committed shard, in order, in constant memory. Not here: SQL over shards (`query/`).

use std::collections::{HashMap, HashSet};
use std::error::Error as StdError;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{Int32Type, SchemaRef, TimestampMicrosecondType};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowFilter,
};
use parquet::file::metadata::RowGroupMetaData;

use super::adapt::{Adapter, Reading};
use crate::error::{Error, Result};
use crate::lake::HeldOutcome;
use crate::npm::{DocRow, Fingerprint, Outcome, PackageName, Representation, Revision, Validators};
use crate::store::ShardFile;
use crate::table::{TableKind, schema};

/// The number of rows in a batch: few enough that a batch of documents stays small in memory.
const READ_BATCH_ROWS: usize = 1_024;
/// The same for rows that are chosen by a flag, which most rows do not have.
const READ_BATCH_FLAGGED: usize = 8_192;
/// The same for tables whose rows are whole documents.
const READ_BATCH_DOCUMENTS: usize = 32;
/// The bytes of documents in a batch, by the mean of the row group with the largest documents.
const READ_BATCH_DOCUMENT_BYTES: i64 = 32 << 20;

/// A shard's batches in file order, with the columns of this version.
pub struct ShardReader {
    kind: TableKind,
    schema_version: u32,
    file: ShardFile,
    reader: ParquetRecordBatchReader,
    adapter: Option<Adapter>,
}

impl ShardReader {
    /// Opens a shard of `kind`; `schema` has its columns in this version. Rows of an earlier version are adapted.
    ///
    /// Fails with [`crate::error::ErrorKind::Lake`] if the file is not Parquet, if a newer version wrote it, or if this
    /// version wrote it with different columns.
    pub fn open(kind: TableKind, file: ShardFile, schema: &SchemaRef) -> Result<ShardReader> {
        ShardReader::open_some(kind, file, schema, None)
    }

    /// Opens a shard like [`ShardReader::open`], but reads only `columns`.
    pub fn open_columns(kind: TableKind, file: ShardFile, schema: &SchemaRef, columns: &[&str]) -> Result<ShardReader> {
        ShardReader::open_some(kind, file, schema, Some(columns))
    }

    /// Opens a shard like [`ShardReader::open_columns`], but reads only the rows in which the Boolean column `flag` is true.
    pub fn open_where(
        kind: TableKind,
        file: ShardFile,
        schema: &SchemaRef,
        columns: &[&str],
        flag: &str,
    ) -> Result<ShardReader> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone());
        let builder = builder.map_err(|error| unreadable(kind, &file, error))?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), [flag]);
        let is_true = ArrowPredicateFn::new(mask, |batch| {
            let flags = batch.columns().first().and_then(|column| column.as_boolean_opt()).cloned();
            Ok(flags.unwrap_or_else(|| BooleanArray::from(vec![false; batch.num_rows()])))
        });
        let builder =
            builder.with_batch_size(READ_BATCH_FLAGGED).with_row_filter(RowFilter::new(vec![Box::new(is_true)]));
        ShardReader::build(kind, file, builder, schema, Some(columns))
    }

    fn open_some(
        kind: TableKind,
        file: ShardFile,
        schema: &SchemaRef,
        columns: Option<&[&str]>,
    ) -> Result<ShardReader> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone());
        let builder = builder.map_err(|error| unreadable(kind, &file, error))?;
        let has_documents = columns.is_none_or(|columns| columns.contains(&"json"));
        let groups = builder.metadata().row_groups().iter().filter(|_| has_documents);
        let batch_rows = groups.map(|group| batch_rows(kind, group)).min().unwrap_or(READ_BATCH_ROWS);
        ShardReader::build(kind, file, builder.with_batch_size(batch_rows), schema, columns)
    }

    /// Reads the batches of `builder`, which reads `file`, with the columns that `columns` names, or all columns.
    pub(super) fn build(
        kind: TableKind,
        file: ShardFile,
        builder: ParquetRecordBatchReaderBuilder<ShardFile>,
        schema: &SchemaRef,
        columns: Option<&[&str]>,
    ) -> Result<ShardReader> {
        let reading = Reading::of(kind, builder.metadata(), builder.schema(), schema, columns)?;
        let reader = reading.project(builder).build().map_err(|error| unreadable(kind, &file, error))?;
        Ok(ShardReader { kind, schema_version: reading.schema_version, file, reader, adapter: reading.adapter })
    }

    /// Returns the schema version of the shard.
    pub fn schema_version(&self) -> u32 {
        self.schema_version
    }
}

/// Returns the error for a shard whose footer or pages could not be read: it is damaged unless the operating system
/// refused the read.
pub(super) fn unreadable(kind: TableKind, file: &ShardFile, error: impl StdError + Send + Sync + 'static) -> Error {
    file.failure(|| Error::lake(format!("a shard of {kind} is damaged")).source(error))
}

/// Returns how many rows of a row group are read at once: fewer for large documents, one for a document of 100 MB.
pub(super) fn batch_rows(kind: TableKind, group: &RowGroupMetaData) -> usize {
    if kind != TableKind::Packuments {
        return READ_BATCH_ROWS;
    }
    let mean_bytes = (group.total_byte_size() / group.num_rows().max(1)).max(1);
    usize::try_from(READ_BATCH_DOCUMENT_BYTES / mean_bytes).unwrap_or(1).clamp(1, READ_BATCH_DOCUMENTS)
}

impl Iterator for ShardReader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let kind = self.kind;
        let batch = self.reader.next()?.map_err(|error| unreadable(kind, &self.file, error));
        Some(match &self.adapter {
            Some(adapter) => batch.and_then(|batch| adapter.adapt(&batch)),
            None => batch,
        })
    }
}

/// Returns the rows of a `docs` batch.
pub fn doc_rows(batch: &RecordBatch) -> Result<Vec<DocRow>> {
    let (names, revs) = (text_column(batch, "name")?, text_column(batch, "rev")?);
    let row = |index| DocRow { name: PackageName::new(names.value(index)), rev: Revision::new(revs.value(index)) };
    Ok((0..batch.num_rows()).map(row).collect())
}

/// Returns the rows of an `outcomes` batch. They do not state the form of a document; [`document_forms`]
/// does.
pub fn held_outcomes(batch: &RecordBatch) -> Result<Vec<HeldOutcome>> {
    let (names, revs) = (text_column(batch, "name")?, text_column(batch, "rev")?);
    let (outcomes, etags) = (text_column(batch, "outcome")?, text_column(batch, "etag")?);
    let last_modified = text_column(batch, "last_modified")?;
    let times =
        batch.column_by_name("fetched_at").and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
    let times = times.ok_or_else(|| Error::lake("a shard of outcomes has no times"))?;
    let (repetitions, next_times) = (batch.column_by_name("repetitions"), batch.column_by_name("next_request_at"));
    let repetitions = repetitions.and_then(|column| column.as_primitive_opt::<Int32Type>());
    let next_times = next_times.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    let (Some(repetitions), Some(next_times)) = (repetitions, next_times) else {
        return Err(Error::lake("a shard of outcomes has no column of the next request"));
    };
    let credentials = text_column(batch, "credentials")?;
    let optional = |column: &StringArray, index| column.is_valid(index).then(|| column.value(index).to_owned());
    let row = |index| {
        completed(HeldOutcome {
            name: PackageName::new(names.value(index)),
            rev: Revision::new(if revs.is_valid(index) { revs.value(index) } else { "" }),
            // An outcome of a newer version of the tool counts as failed, so the document is requested again.
            outcome: Outcome::parse(outcomes.value(index)).unwrap_or(Outcome::Failed),
            validators: Validators { etag: optional(etags, index), last_modified: optional(last_modified, index) },
            fetched_at_us: times.is_valid(index).then(|| times.value(index)),
            representation: None,
            repetitions: match repetitions.is_valid(index) {
                true => u32::try_from(repetitions.value(index)).unwrap_or(1).max(1),
                false => 0,
            },
            credentials: credentials.is_valid(index).then(|| Fingerprint::parse(credentials.value(index))).flatten(),
            next_request_at_us: next_times.is_valid(index).then(|| next_times.value(index)),
        })
    };
    Ok((0..batch.num_rows()).map(row).collect())
}

/// Completes a row of an earlier version: its outcome counts as seen once.
fn completed(mut held: HeldOutcome) -> HeldOutcome {
    if held.repetitions == 0 {
        held.repetitions = 1;
        held.next_request_at_us = held.outcome.next_request_us(held.fetched_at_us.unwrap_or_default(), 1);
    }
    held
}

/// Returns the form of each document in a `packuments` shard, by name.
pub fn document_forms(file: ShardFile) -> Result<HashMap<PackageName, Representation>> {
    let mut forms = HashMap::new();
    each_document(file, "representation", |name, form| {
        let is_abbreviated = form == Representation::Abbreviated.as_str();
        let form = if is_abbreviated { Representation::Abbreviated } else { Representation::Full };
        forms.insert(PackageName::new(name), form);
    })?;
    Ok(forms)
}

/// Returns the revisions of the documents of some names in a `packuments` shard.
pub fn document_revs(file: ShardFile, names: &HashSet<PackageName>) -> Result<HashMap<PackageName, Revision>> {
    let mut found = HashMap::new();
    each_document(file, "rev", |name, rev| {
        let name = PackageName::new(name);
        if names.contains(&name) {
            found.insert(name, Revision::new(rev));
        }
    })?;
    Ok(found)
}

/// Calls `each` with the name of every row and its text in another column.
fn each_document(file: ShardFile, column: &str, mut each: impl FnMut(&str, &str)) -> Result<()> {
    let schema = schema(TableKind::Packuments);
    for batch in ShardReader::open_columns(TableKind::Packuments, file, &schema, &["name", column])? {
        let batch = batch?;
        let (names, values) = (text_column(&batch, "name")?, text_column(&batch, column)?);
        (0..batch.num_rows()).for_each(|row| each(names.value(row), values.value(row)));
    }
    Ok(())
}

/// Returns a text column by name.
pub(super) fn text_column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray> {
    batch
        .column_by_name(name)
        .and_then(|column| column.as_string_opt::<i32>())
        .ok_or_else(|| Error::lake(format!("a shard has no text column {name}")))
}
