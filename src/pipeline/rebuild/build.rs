//! Rebuilds the tables of one partition from its raw documents, and stages them. Blocks.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::encode::ShardWriter;
use crate::error::{Context, Doing, Error, ErrorKind, Result};
use crate::lake::{Manifest, OriginLayout, ShardMeta};
use crate::pipeline::lost::lost_error;
use crate::pipeline::progress::Progress;
use crate::pipeline::verify::open_sound;
use crate::pipeline::worker::{FLUSH_BYTES, FLUSH_DOCUMENTS, FLUSH_RAW_BYTES, LARGE_DOCUMENT_BYTES};
use crate::shard::{RawDocument, RawDocuments, ShardMerge, ShardReader, is_alike};
use crate::store::{ShardFile, StagedFile, Store};
use crate::table::{DocumentInput, DocumentTables, TableKind, schema};
use crate::version::{FORMAT_VERSION, TOOL_VERSION};

/// A shard that is written and not durable yet.
type Written = (StagedFile, ShardMeta);

/// The input of a rebuild of a partition.
pub(in crate::pipeline) struct Task {
    pub(in crate::pipeline) store: Store,
    pub(in crate::pipeline) layout: OriginLayout,
    /// The manifest of the partition.
    pub(in crate::pipeline) manifest: Manifest,
    /// The tables to rebuild.
    pub(in crate::pipeline) tables: BTreeSet<TableKind>,
    pub(in crate::pipeline) progress: Arc<Progress>,
    /// Cancelled when the run ends early: the build ends at the next document or batch.
    pub(in crate::pipeline) stop: CancellationToken,
    /// Held while a large document becomes rows; shared by all partitions.
    pub(in crate::pipeline) large_documents: Arc<Mutex<()>>,
}

impl Task {
    /// Stages the tables. Returns the manifest that will be true after the commit. Drops `core` when only waiting for the
    /// disk is left. Fails with [`ErrorKind::Interrupted`] if the run is stopped.
    pub(in crate::pipeline) fn build(&self, core: Option<OwnedSemaphorePermit>) -> Result<Manifest> {
        let mut written = Vec::new();
        // Tables that cannot be made from the documents are encoded again unchanged.
        for table in [TableKind::Docs, TableKind::Outcomes].into_iter().filter(|table| self.tables.contains(table)) {
            written.push((table, self.encode_again(table)?));
        }
        let of_documents = TableKind::OF_DOCUMENTS.into_iter().filter(|table| self.tables.contains(table));
        let writers = of_documents.map(|table| Ok((table, self.writer(table)?))).collect::<Result<BTreeMap<_, _>>>()?;
        if !writers.is_empty() {
            written.extend(self.make(writers)?);
        }
        drop(core);
        let mut shards = self.manifest.shards.clone();
        for (table, (staged, meta)) in written {
            staged.finish()?;
            self.progress.note_shard(&meta);
            shards.insert(table.to_string(), meta);
        }
        Ok(Manifest {
            format_version: FORMAT_VERSION,
            tool_version: TOOL_VERSION.to_owned(),
            written_at: jiff::Timestamp::now().to_string(),
            shards,
            ..self.manifest.clone()
        })
    }

    /// Makes tables from the documents.
    fn make(&self, mut writers: BTreeMap<TableKind, ShardWriter<StagedFile>>) -> Result<Vec<(TableKind, Written)>> {
        let file = match writers.contains_key(&TableKind::Packuments) {
            true => self.open_sound(TableKind::Packuments)?,
            false => self.open(TableKind::Packuments)?,
        };
        let mut written = Vec::new();
        // To compress the documents again is a third of the work, and gives the same bytes.
        if let Entry::Occupied(raw) = writers.entry(TableKind::Packuments)
            && is_alike(raw.get(), &file).doing(|| self.reading(TableKind::Packuments))?
        {
            let copy = ShardMerge::open(raw.remove(), Some(file.clone()), self.stop.clone());
            let copy = copy.and_then(ShardMerge::finish).doing(|| self.reading(TableKind::Packuments))?;
            written.push((TableKind::Packuments, copy));
        }
        let keeps_raw = writers.contains_key(&TableKind::Packuments);
        let mut shards = DocumentShards { tables: DocumentTables::new(keeps_raw), writers, documents: 0 };
        for batch in RawDocuments::open(file).doing(|| self.reading(TableKind::Packuments))? {
            for document in batch.doing(|| self.reading(TableKind::Packuments))?.iter() {
                if self.stop.is_cancelled() {
                    return Err(Error::interrupted());
                }
                let document = document.doing(|| self.reading(TableKind::Packuments))?;
                let is_large = document.body.len() >= LARGE_DOCUMENT_BYTES;
                let _alone = is_large.then(|| self.large_documents.lock());
                Progress::add(&self.progress.packuments_done, 1);
                Progress::add(&self.progress.document_bytes, document.body.len() as u64);
                shards.push(&document)?;
            }
        }
        written.extend(shards.finish()?);
        Ok(written)
    }

    /// Encodes the rows of a shard again.
    fn encode_again(&self, table: TableKind) -> Result<Written> {
        let schema = schema(table);
        let mut writer = self.writer(table)?;
        for batch in ShardReader::open(table, self.open_sound(table)?, &schema).doing(|| self.reading(table))? {
            if self.stop.is_cancelled() {
                return Err(Error::interrupted());
            }
            let columns = batch.doing(|| self.reading(table))?.columns().to_vec();
            let rows = RecordBatch::try_new(Arc::clone(&schema), columns)
                .or_error(ErrorKind::Lake, || format!("the rows of {table} lack a value that this version requires"));
            writer.write(rows.doing(|| self.reading(table))?)?;
        }
        writer.finish()
    }

    fn writer(&self, table: TableKind) -> Result<ShardWriter<StagedFile>> {
        let staged = self.store.stage(&self.layout.staged_shard(table, &self.manifest.partition))?;
        ShardWriter::new(table, schema(table), staged)
    }

    fn open(&self, table: TableKind) -> Result<ShardFile> {
        let path = self.layout.shard(table, &self.manifest.partition);
        let file = self.store.blocking().open_whole(&path)?;
        file.ok_or_else(|| lost_error(&path))
    }

    /// Opens a shard that will be replaced.
    fn open_sound(&self, table: TableKind) -> Result<ShardFile> {
        open_sound(&self.store, &self.layout, &self.manifest, table)
    }

    fn reading(&self, table: TableKind) -> String {
        format!("reading {}", self.layout.shard(table, &self.manifest.partition))
    }
}

/// The shards of the document tables in progress, and the rows that are not written to them yet.
struct DocumentShards {
    tables: DocumentTables,
    writers: BTreeMap<TableKind, ShardWriter<StagedFile>>,
    /// Documents since the last flush.
    documents: usize,
}

impl DocumentShards {
    /// Adds the rows of a document, and writes the rows so far if there are enough, as an ingest does.
    fn push(&mut self, document: &RawDocument<'_>) -> Result<()> {
        let writers = &mut self.writers;
        let input = DocumentInput {
            name: document.name,
            announced_rev: document.rev,
            representation: document.representation,
            bytes: &document.body,
        };
        self.tables.push_and_drain(input, &mut |rows| write(writers, rows))?;
        self.documents += 1;
        if self.documents >= FLUSH_DOCUMENTS || self.tables.buffered_bytes() >= FLUSH_BYTES {
            self.flush()?;
        } else if self.tables.raw_bytes() >= FLUSH_RAW_BYTES {
            let raw = self.tables.take_raw()?;
            write(&mut self.writers, raw.map(|rows| (TableKind::Packuments, rows)))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.documents = 0;
        write(&mut self.writers, self.tables.take_batches()?)
    }

    fn finish(mut self) -> Result<Vec<(TableKind, Written)>> {
        self.flush()?;
        self.writers.into_iter().map(|(table, writer)| Ok((table, writer.finish()?))).collect()
    }
}

/// Writes rows to the tables in progress.
fn write(
    writers: &mut BTreeMap<TableKind, ShardWriter<StagedFile>>,
    rows: impl IntoIterator<Item = (TableKind, RecordBatch)>,
) -> Result<()> {
    for (table, rows) in rows {
        if let Some(writer) = writers.get_mut(&table) {
            writer.write(rows).doing(|| format!("writing the shard of {table}"))?;
        }
    }
    Ok(())
}
