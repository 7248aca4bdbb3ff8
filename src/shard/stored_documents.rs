//! Reads the documents of a `packuments` shard by name, in ascending order of names. Not here: documents by name in any
//! order (`query/`).

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::SchemaRef;

use super::reader::{ShardReader, text_column};
use crate::error::{Error, Result};
use crate::store::ShardFile;
use crate::table::TableKind;

/// A shard of documents, read forwards.
pub struct StoredDocuments {
    reader: ShardReader,
    batch: Option<RecordBatch>,
    row: usize,
}

impl StoredDocuments {
    /// Opens a shard of packuments. Fails as [`ShardReader::open`] does.
    pub fn open(file: ShardFile, schema: &SchemaRef) -> Result<StoredDocuments> {
        let reader = ShardReader::open(TableKind::Packuments, file, schema)?;
        Ok(StoredDocuments { reader, batch: None, row: 0 })
    }

    /// Returns the document of `name` byte for byte; `None` if the shard has none. Calls must be in ascending order of
    /// names.
    pub fn find(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        loop {
            let Some(batch) = self.batch.as_ref().filter(|batch| self.row < batch.num_rows()) else {
                self.row = 0;
                self.batch = self.reader.next().transpose()?;
                if self.batch.is_none() {
                    return Ok(None);
                }
                continue;
            };
            let found = text_column(batch, "name")?.value(self.row);
            if found > name {
                return Ok(None);
            }
            if found == name {
                return document(batch, self.row).map(Some);
            }
            self.row += 1;
        }
    }
}

fn document(batch: &RecordBatch, row: usize) -> Result<Vec<u8>> {
    let text = text_column(batch, "json")?;
    if text.is_valid(row) {
        return Ok(text.value(row).as_bytes().to_vec());
    }
    let bytes = batch.column_by_name("bytes").and_then(|column| column.as_binary_opt::<i32>());
    let bytes = bytes.filter(|column| column.is_valid(row));
    bytes.map(|column| column.value(row).to_vec()).ok_or_else(|| Error::lake("a row of packuments has no document"))
}
