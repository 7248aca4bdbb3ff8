//! The spool: the rows of a listing in a file of staging, so that memory does not grow with the registry.

use crate::encode::ShardWriter;
use crate::error::{Error, Result};
use crate::npm::DocRow;
use crate::scan::with_misplaced;
use crate::shard::{ShardReader, doc_rows};
use crate::store::Store;
use crate::table::{DocsBuilder, TableKind, schema};
use tokio::sync::mpsc;

/// The rows of a scan on disk, and the rows that came out of place.
#[derive(Clone)]
pub(super) struct Spool {
    pub(super) store: Store,
    pub(super) path: String,
    pub(super) misplaced: Vec<DocRow>,
}

impl Spool {
    /// Reads all rows in the order of their names. Blocks.
    pub(super) fn rows(&self) -> Result<impl Iterator<Item = Result<DocRow>> + use<>> {
        let file =
            self.store.blocking().open(&self.path)?.ok_or_else(|| Error::lake(format!("{} vanished", self.path)))?;
        let reader = ShardReader::open(TableKind::Docs, file, &schema(TableKind::Docs))?;
        let rows = reader.flat_map(|batch| match batch.and_then(|batch| doc_rows(&batch)) {
            Ok(rows) => rows.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        });
        Ok(with_misplaced(rows, self.misplaced.clone()))
    }
}

/// Writes pages of rows, which arrive in the order of names. Blocks until the last page has arrived.
pub(super) fn write_spool(store: &Store, path: &str, mut pages: mpsc::Receiver<Vec<DocRow>>) -> Result<()> {
    let mut writer = ShardWriter::new(TableKind::Docs, schema(TableKind::Docs), store.stage(path)?)?;
    let mut builder = DocsBuilder::new();
    while let Some(rows) = pages.blocking_recv() {
        for row in &rows {
            builder.push(row);
        }
        writer.write(builder.take_batch()?)?;
    }
    let (staged, _) = writer.finish()?;
    staged.finish()
}
