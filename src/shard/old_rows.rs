//! The remaining rows of the previous shard. Row groups stay undecoded as long as possible.

use std::error::Error as StdError;
use std::io::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::bloom_filter::Sbbf;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::{ColumnChunkMetaData, FileMetaData, PageIndexPolicy, ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::reader::ChunkReader;
use parquet::file::statistics::Statistics;

use super::reader::{ShardReader, batch_rows, unreadable};
use crate::encode::{EncodedGroup, Names, ShardWriter};
use crate::error::{Error, Result};
use crate::store::ShardFile;
use crate::table::TableKind;

/// The number of rows that are decoded at once, except for documents.
const BATCH_ROWS: usize = 8_192;

/// The previous shard's rows from the next one on.
pub(super) struct OldRows {
    source: Source,
    /// Rows that were read and not yet taken.
    batch: Option<RecordBatch>,
}

/// The source of rows after `batch`.
enum Source {
    /// A shard of another version: all of it is decoded.
    Rows(ShardReader),
    /// A shard whose row groups may be copied.
    Groups(Groups),
}

struct Groups {
    kind: TableKind,
    file: ShardFile,
    metadata: ArrowReaderMetadata,
    /// The next row group that is not read yet.
    next: usize,
    /// The names of that row group, with its index: decoded once, however many names are looked up.
    names: Option<(usize, Vec<RecordBatch>)>,
    /// The rest of the row group before it.
    rows: Option<ParquetRecordBatchReader>,
}

/// Returns whether the writer of a shard has made another one: the same rows then have the same bytes in both. Fails as
/// [`ShardReader::open`] does.
pub fn is_alike<W: Write + Send>(writer: &ShardWriter<W>, other: &ShardFile) -> Result<bool> {
    let metadata = ArrowReaderMetadata::load(other, ArrowReaderOptions::new());
    let metadata = metadata.map_err(|error| unreadable(writer.table(), other, error))?;
    Ok(writer.has_written(metadata.metadata().file_metadata()))
}

impl OldRows {
    /// Opens the previous shard of `kind`, with the columns `schema`. `is_alike` says whether the same writer made it,
    /// so that its row groups can be copied. Fails as [`ShardReader::open`] does.
    pub(super) fn open(
        kind: TableKind,
        file: ShardFile,
        schema: &SchemaRef,
        is_alike: impl FnOnce(&FileMetaData) -> bool,
    ) -> Result<OldRows> {
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        // Keep the encoding statistics in full, because they are written again.
        let options = options.with_encoding_stats_as_mask(false);
        let damaged = |error| unreadable(kind, &file, error);
        let metadata = ArrowReaderMetadata::load(&file, options).map_err(damaged)?;
        let source = if is_alike(metadata.metadata().file_metadata()) {
            let options = ArrowReaderOptions::new().with_schema(with_dictionaries(&metadata));
            let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options);
            let metadata = metadata.map_err(damaged)?;
            Source::Groups(Groups { kind, file, metadata, next: 0, names: None, rows: None })
        } else {
            Source::Rows(ShardReader::open(kind, file, schema)?)
        };
        Ok(OldRows { source, batch: None })
    }

    /// Returns whether the next row can have a name below `name`, or equal to it if `is_inclusive`. Decodes no row
    /// group.
    pub(super) fn may_have(&mut self, name: &str, is_inclusive: bool) -> Result<bool> {
        let is_within = |least: &[u8]| least < name.as_bytes() || (is_inclusive && least == name.as_bytes());
        if let Some(group) = self.unread_group()? {
            return Ok(bounds(group).is_none_or(|(least, _)| is_within(least)));
        }
        let Some(batch) = self.current()? else { return Ok(false) };
        Ok(is_within(names(batch)?.of_row(0).as_bytes()))
    }

    /// Drops the rows whose names are below `name`. Decodes only a row group that has other rows too.
    pub(super) fn pass_below(&mut self, name: &str) -> Result<()> {
        loop {
            let is_below = |group| bounds(group).is_some_and(|(_, greatest)| greatest < name.as_bytes());
            if self.unread_group()?.is_some_and(is_below) {
                if let Source::Groups(groups) = &mut self.source {
                    groups.next += 1;
                }
            } else if self.take_while(|old_name| old_name < name)?.is_none() {
                return Ok(());
            }
        }
    }

    /// Returns the name of the next row if it begins a row group whose names are all below `name`; for `None` there is
    /// no bound. The shard's last row group qualifies only if `with_last`: it ends where the rows end.
    pub(super) fn whole_group_below(&mut self, name: Option<&str>, with_last: bool) -> Result<Option<String>> {
        let is_last = match &self.source {
            Source::Groups(groups) => groups.next + 1 == groups.metadata.metadata().num_row_groups(),
            Source::Rows(_) => return Ok(None),
        };
        let Some(group) = self.unread_group()? else { return Ok(None) };
        let Some((least, greatest)) = bounds(group) else { return Ok(None) };
        let is_below = name.is_none_or(|name| greatest < name.as_bytes()) && (with_last || !is_last);
        let is_exact = statistics(group).is_some_and(Statistics::min_is_exact);
        let first = std::str::from_utf8(least).ok().filter(|_| is_below && is_exact);
        Ok(first.map(str::to_owned))
    }

    /// Returns whether there can be rows of `name`, by the names of the next row group; returns true if that is already
    /// read.
    pub(super) fn has_rows_of(&mut self, name: &str) -> Result<bool> {
        let is_unread = self.unread_group()?.is_some();
        match &mut self.source {
            Source::Groups(groups) if is_unread => groups.has_rows_of(name),
            _ => Ok(true),
        }
    }

    /// Takes the next row group undecoded; none of its rows may have been read.
    pub(super) fn take_group(&mut self) -> Result<Option<EncodedGroup>> {
        let Source::Groups(groups) = &mut self.source else { return Ok(None) };
        groups.next += 1;
        groups.encoded(groups.next - 1).map_err(|error| groups.damaged(error)).map(Some)
    }

    /// Takes the leading rows whose name satisfies `belongs`, within one batch; `None` if the next row's name does not
    /// satisfy it.
    pub(super) fn take_while(&mut self, belongs: impl Fn(&str) -> bool) -> Result<Option<RecordBatch>> {
        let Some(batch) = self.current()? else { return Ok(None) };
        let names = names(batch)?;
        let count = partition_point(batch.num_rows(), |row| belongs(names.of_row(row)));
        if count == 0 {
            return Ok(None);
        }
        let taken = batch.slice(0, count);
        self.batch = Some(batch.slice(count, batch.num_rows() - count));
        Ok(Some(taken))
    }

    /// Returns the current rows, never an empty batch; `None` at the end.
    fn current(&mut self) -> Result<Option<&RecordBatch>> {
        while self.batch.as_ref().is_none_or(|batch| batch.num_rows() == 0) {
            self.batch = match &mut self.source {
                Source::Rows(reader) => reader.next().transpose()?,
                Source::Groups(groups) => groups.next_batch()?,
            };
            if self.batch.is_none() {
                return Ok(None);
            }
        }
        Ok(self.batch.as_ref())
    }

    /// Returns the next row group if all rows before it were taken.
    fn unread_group(&mut self) -> Result<Option<&RowGroupMetaData>> {
        let Source::Groups(groups) = &mut self.source else { return Ok(None) };
        if self.batch.as_ref().is_none_or(|batch| batch.num_rows() == 0) {
            self.batch = groups.rest_of_group()?;
        }
        let is_read = self.batch.is_some();
        Ok(groups.metadata.metadata().row_groups().get(groups.next).filter(|_| !is_read))
    }
}

impl Groups {
    /// Reads the next rows.
    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.rest_of_group()? {
                return Ok(Some(batch));
            }
            if self.next == self.metadata.metadata().num_row_groups() {
                return Ok(None);
            }
            let rows = self.group().build().map_err(|error| self.damaged(error))?;
            self.rows = Some(rows);
            self.next += 1;
        }
    }

    /// Returns a reader of the next row group, which is still unread.
    fn group(&self) -> ParquetRecordBatchReaderBuilder<ShardFile> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone());
        let batch_rows = match self.kind {
            TableKind::Packuments => batch_rows(self.kind, self.metadata.metadata().row_group(self.next)),
            _ => BATCH_ROWS,
        };
        builder.with_row_groups(vec![self.next]).with_batch_size(batch_rows)
    }

    fn damaged(&self, error: impl StdError + Send + Sync + 'static) -> Error {
        unreadable(self.kind, &self.file, error)
    }

    fn has_rows_of(&mut self, name: &str) -> Result<bool> {
        if self.names.as_ref().is_none_or(|(index, _)| *index != self.next) {
            self.names = Some((self.next, self.read_names()?));
        }
        for batch in self.names.iter().flat_map(|(_, batches)| batches) {
            let (names, rows) = (names(batch)?, batch.num_rows());
            let first = partition_point(rows, |row| names.of_row(row) < name);
            if first < rows {
                return Ok(names.of_row(first) == name);
            }
        }
        // The batch can begin with the next row group.
        Ok(true)
    }

    fn read_names(&self) -> Result<Vec<RecordBatch>> {
        let builder = self.group();
        let only_name = ProjectionMask::columns(builder.parquet_schema(), ["name"]);
        let batches = builder.with_projection(only_name).build().map_err(|error| self.damaged(error))?;
        batches.map(|batch| batch.map_err(|error| self.damaged(error))).collect()
    }

    /// Reads the next rows of the current row group.
    fn rest_of_group(&mut self) -> Result<Option<RecordBatch>> {
        let batch = self.rows.as_mut().and_then(Iterator::next).transpose();
        let batch = batch.map_err(|error| self.damaged(error))?;
        if batch.is_none() {
            self.rows = None;
        }
        Ok(batch)
    }

    fn encoded(&self, index: usize) -> ParquetResult<EncodedGroup> {
        let metadata: &ParquetMetaData = self.metadata.metadata();
        let group = metadata.row_group(index);
        let ranges = group.columns().iter().map(|column| column.byte_range());
        let start = ranges.clone().map(|(start, _)| start).min().unwrap_or_default();
        let end = ranges.map(|(start, length)| start + length).max().unwrap_or_default();
        let column_indexes = metadata.column_index().and_then(|groups| groups.get(index));
        let offset_indexes = metadata.offset_index().and_then(|groups| groups.get(index));
        let column = |(place, column): (usize, &ColumnChunkMetaData)| -> ParquetResult<ColumnCloseResult> {
            let column_index = column_indexes.and_then(|columns| columns.get(place)).cloned();
            Ok(ColumnCloseResult {
                bytes_written: column.byte_range().1,
                rows_written: group.num_rows() as u64,
                metadata: as_written(column)?,
                bloom_filter: Sbbf::read_from_column_chunk(column, &self.file)?,
                column_index: column_index.filter(|index| !matches!(index, ColumnIndexMetaData::NONE)),
                offset_index: offset_indexes.and_then(|columns| columns.get(place)).cloned(),
            })
        };
        Ok(EncodedGroup {
            bytes: self.file.get_bytes(start, (end - start) as usize)?,
            offset: start,
            columns: group.columns().iter().enumerate().map(column).collect::<ParquetResult<_>>()?,
            rows: group.num_rows() as usize,
        })
    }
}

/// Returns the schema of a shard with dictionaries for texts and lists of texts that have a dictionary in the file.
/// Then the texts are not copied for each row, and the writer looks each text up once.
fn with_dictionaries(metadata: &ArrowReaderMetadata) -> SchemaRef {
    let columns = metadata.metadata().row_groups().first().map(RowGroupMetaData::columns).unwrap_or_default();
    let with_dictionary = |field: &FieldRef| {
        let own = |column: &&ColumnChunkMetaData| column.column_path().parts().first() == Some(field.name());
        let has_dictionary = |column: &ColumnChunkMetaData| column.dictionary_page_offset().is_some();
        match columns.iter().filter(own).all(has_dictionary) {
            true => Arc::new(field.as_ref().clone().with_data_type(as_dictionary(field.data_type()))),
            false => Arc::clone(field),
        }
    };
    let schema = metadata.schema();
    let fields: Vec<FieldRef> = schema.fields().iter().map(with_dictionary).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn as_dictionary(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8 => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        DataType::List(item) => {
            DataType::List(Arc::new(item.as_ref().clone().with_data_type(as_dictionary(item.data_type()))))
        }
        other => other.clone(),
    }
}

/// Returns the metadata of a column chunk as the library must write it again. The library writes the bounds of 32-bit
/// numbers, which it encodes itself, in their old place as well, but does not report this when it reads them.
fn as_written(column: &ColumnChunkMetaData) -> ParquetResult<ColumnChunkMetaData> {
    let Some(Statistics::Int32(bounds)) = column.statistics() else { return Ok(column.clone()) };
    let bounds = Statistics::Int32(bounds.clone().with_backwards_compatible_min_max(true));
    column.clone().into_builder().set_statistics(bounds).build()
}

fn names(batch: &RecordBatch) -> Result<Names<'_>> {
    Names::of(batch).ok_or_else(|| Error::lake("a shard has no text column name"))
}

fn statistics(group: &RowGroupMetaData) -> Option<&Statistics> {
    group.columns().first()?.statistics()
}

/// Returns a lower and an upper bound of a row group's names.
fn bounds(group: &RowGroupMetaData) -> Option<(&[u8], &[u8])> {
    let statistics = statistics(group)?;
    Some((statistics.min_bytes_opt()?, statistics.max_bytes_opt()?))
}

/// Returns the index of the first of `rows` rows that does not satisfy `is_before`; rows that satisfy it come first.
pub(super) fn partition_point(rows: usize, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, rows);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}
