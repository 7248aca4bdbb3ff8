//! Reads documents of a `packuments` shard by name, one at a time and any number of them: the names of a row group are
//! read once, and of its documents only the pages of those that are asked for. Not here: many documents at once (`lookup`).

use arrow::array::{AsArray, RecordBatch};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::file::metadata::{PageIndexPolicy, RowGroupMetaData};

use super::reader::{ShardReader, text_column, unreadable};
use crate::error::{Error, Result};
use crate::store::ShardFile;
use crate::table::{TableKind, schema};

/// A shard of documents.
pub struct StoredDocuments {
    file: ShardFile,
    metadata: ArrowReaderMetadata,
    /// The row group that was read last, and its names.
    group: Option<(usize, Vec<String>)>,
}

impl StoredDocuments {
    /// Opens a shard of packuments. Fails as [`ShardReader::open`] does.
    pub fn open(file: ShardFile) -> Result<StoredDocuments> {
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::load(&file, options);
        let metadata = metadata.map_err(|error| unreadable(TableKind::Packuments, &file, error))?;
        Ok(StoredDocuments { file, metadata, group: None })
    }

    /// Returns the document of `name` byte for byte; `None` if the shard has none. It is quick if calls are in the order
    /// of names.
    pub fn find(&mut self, name: &str) -> Result<Option<Bytes>> {
        let groups = self.metadata.metadata().row_groups().iter().enumerate();
        let possible: Vec<usize> = groups.filter(|(_, group)| may_have(group, name)).map(|(place, _)| place).collect();
        for group in possible {
            let names = self.names_of(group)?;
            let Ok(row) = names.binary_search_by(|held| held.as_str().cmp(name)) else { continue };
            let selection = RowSelection::from_consecutive_ranges(std::iter::once(row..row + 1), names.len());
            if let Some(batch) = self.read(group, &["json", "bytes"], Some(selection))?.next() {
                return document(&batch?).map(Some);
            }
        }
        Ok(None)
    }

    fn names_of(&mut self, group: usize) -> Result<&[String]> {
        let is_read = self.group.as_ref().is_some_and(|(read, _)| *read == group);
        if !is_read {
            let mut names = Vec::new();
            for batch in self.read(group, &["name"], None)? {
                names.extend(text_column(&batch?, "name")?.iter().flatten().map(str::to_owned));
            }
            self.group = Some((group, names));
        }
        Ok(self.group.as_ref().map_or(&[], |(_, names)| names))
    }

    fn read(&self, group: usize, columns: &[&str], selection: Option<RowSelection>) -> Result<ShardReader> {
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone());
        builder = builder.with_row_groups(vec![group]);
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection);
        }
        let kind = TableKind::Packuments;
        ShardReader::build(kind, self.file.clone(), builder, &schema(kind), Some(columns))
    }
}

/// Returns whether a row group may have a name, by its statistics.
fn may_have(group: &RowGroupMetaData, name: &str) -> bool {
    let names = group.columns().iter().find(|column| column.column_path().string() == "name");
    let known = names.and_then(|names| names.statistics());
    let bounds = known.and_then(|known| Some((known.min_bytes_opt()?, known.max_bytes_opt()?)));
    bounds.is_none_or(|(least, greatest)| (least..=greatest).contains(&name.as_bytes()))
}

/// Returns the document of a batch with one row.
fn document(batch: &RecordBatch) -> Result<Bytes> {
    let text = text_column(batch, "json")?;
    if text.iter().flatten().next().is_some() {
        return Ok(Bytes::copy_from_slice(text.value(0).as_bytes()));
    }
    let bytes = batch.column_by_name("bytes").and_then(|column| column.as_binary_opt::<i32>());
    let bytes = bytes.filter(|column| column.iter().flatten().next().is_some());
    let bytes = bytes.map(|column| Bytes::copy_from_slice(column.value(0)));
    bytes.ok_or_else(|| Error::lake("a row of packuments has no document"))
}
