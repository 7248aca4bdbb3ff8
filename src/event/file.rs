//! One Parquet file of events: writing and reading it.

use std::collections::BTreeSet;
use std::io::Write;

use arrow::array::{AsArray, RecordBatch};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::store::{ShardFile, Store};
use crate::table::events::{Event, EventKind, event_batch, event_schema};

/// Events that are encoded or decoded at once.
const BATCH_ROWS: usize = 8_192;
/// Rows of a row group.
const GROUP_ROWS: usize = 131_072;
/// The key, in the metadata of a file, of the names whose removal is among its events: a JSON list.
const REMOVED: &str = "all_docs.removed";
/// The key of the files of the feed that the last drain put into a file of a day: a JSON list of their names. Until they
/// are deleted, their events are in both.
const DRAINED: &str = "all_docs.drained";
/// The hint of an error for a damaged file.
const REPAIR: &str = "all-docs verify --repair moves it aside; the events in it are lost, and the others stay";

/// Returns the bytes of a file of events that were all seen at one time, in microseconds since 1970.
pub fn encode_events(events: &[Event], seen_at_us: i64) -> Result<Bytes> {
    let mut writer = EventsWriter::new(Vec::new())?;
    for events in events.chunks(BATCH_ROWS) {
        writer.write(&event_batch(events, seen_at_us)?)?;
    }
    writer.finish(&[]).map(Bytes::from)
}

/// Writes a file of events.
pub struct EventsWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    removed: BTreeSet<String>,
}

impl<W: Write + Send> EventsWriter<W> {
    /// Begins a file.
    pub fn new(sink: W) -> Result<EventsWriter<W>> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_data_page_row_count_limit(BATCH_ROWS)
            .set_write_batch_size(BATCH_ROWS)
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_column_dictionary_enabled(ColumnPath::from("id"), false)
            .build();
        let writer =
            ArrowWriter::try_new(sink, event_schema(), Some(properties)).or_error(ErrorKind::Internal, cannot)?;
        Ok(EventsWriter { writer, removed: BTreeSet::new() })
    }

    /// Adds events.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let [names, kinds] = ["name", "event"]
            .map(|column| batch.column_by_name(column).and_then(|column| column.as_string_opt::<i32>()));
        for (name, kind) in names.into_iter().flatten().zip(kinds.into_iter().flatten()) {
            let ends = [EventKind::PackageRemoved, EventKind::PackageUnpublished];
            if ends.iter().any(|end| kind == Some(end.as_str())) {
                self.removed.extend(name.map(str::to_owned));
            }
        }
        self.writer.write(batch).or_error(ErrorKind::Lake, cannot)
    }

    /// Ends the file. `drained` are the names of the files of the feed that are in it.
    pub fn finish(mut self, drained: &[String]) -> Result<W> {
        let removed: Vec<&String> = self.removed.iter().collect();
        let lists = [(REMOVED, serde_json::to_string(&removed)), (DRAINED, serde_json::to_string(drained))];
        for (key, list) in lists {
            let list = list.or_error(ErrorKind::Internal, cannot)?;
            self.writer.append_key_value_metadata(KeyValue::new(key.to_owned(), list));
        }
        self.writer.into_inner().or_error(ErrorKind::Lake, cannot)
    }
}

fn cannot() -> String {
    "cannot write a file of events".to_owned()
}

/// An open file of events. Blocks.
pub struct EventsReader {
    path: String,
    file: ShardFile,
    metadata: ArrowReaderMetadata,
}

impl EventsReader {
    /// Opens a file of events; `None` if there is none. `is_whole` says whether all of it will be read.
    ///
    /// Fails with [`ErrorKind::Lake`] if it is damaged, or has not the columns of events.
    pub fn open(store: &Store, path: &str, is_whole: bool) -> Result<Option<EventsReader>> {
        let store = store.blocking();
        let Some(file) = (if is_whole { store.open_whole(path)? } else { store.open(path)? }) else { return Ok(None) };
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new());
        let metadata = metadata.map_err(|error| file.failure(|| damaged(path).source(error)))?;
        let expected = event_schema();
        let columns = |schema: &arrow::datatypes::Schema| -> Vec<_> {
            schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
        };
        if columns(metadata.schema()) != columns(&expected) {
            return Err(damaged(path).source("its columns are not those of events"));
        }
        Ok(Some(EventsReader { path: path.to_owned(), file, metadata }))
    }

    /// Returns the number of its events.
    pub fn rows(&self) -> u64 {
        u64::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or_default()
    }

    /// Returns the names whose removal is among its events.
    pub fn removed(&self) -> Vec<String> {
        self.list(REMOVED)
    }

    /// Returns the names of the files of the feed that the last drain put into it.
    pub fn drained(&self) -> Vec<String> {
        self.list(DRAINED)
    }

    fn list(&self, key: &str) -> Vec<String> {
        let metadata = self.metadata.metadata().file_metadata().key_value_metadata();
        let value = metadata.into_iter().flatten().find(|pair| pair.key == key).and_then(|pair| pair.value.as_ref());
        value.and_then(|list| serde_json::from_str(list).ok()).unwrap_or_default()
    }

    /// Returns its events, batch by batch in the order of the file: all columns, or those of `columns`.
    pub fn batches(&self, columns: Option<&[&str]>) -> Result<impl Iterator<Item = Result<RecordBatch>> + use<>> {
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone());
        if let Some(columns) = columns {
            let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
            builder = builder.with_projection(mask);
        }
        let (file, path) = (self.file.clone(), self.path.clone());
        let failed = move |error: arrow::error::ArrowError| file.failure(|| damaged(&path).source(error));
        let reader = builder.with_batch_size(BATCH_ROWS).build();
        let reader = reader.map_err(|error| self.file.failure(|| damaged(&self.path).source(error)))?;
        Ok(reader.map(move |batch| batch.map_err(&failed)))
    }
}

/// Returns the error for a file of events that cannot be read.
fn damaged(path: &str) -> Error {
    Error::lake(format!("the events in {path} are damaged")).hint(REPAIR)
}
