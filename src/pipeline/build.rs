//! Build: one partition's documents become its staged shards, on one thread that may block.
//!
//! Everything that costs cores happens here: decoding, columns, the merge with the previous shards, Parquet. The thread
//! is fed through a bounded channel, so it is never ahead of the network and the network is never far ahead of it.
//! Not here: which documents to ask for (`plan`), and the order in which shards become visible (`commit`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use tokio::runtime::Handle;
use tokio::sync::mpsc::Receiver;

use super::plan::PartitionPlan;
use super::progress::Progress;
use crate::error::{Doing, Error, Result};
use crate::fetch::{FetchItem, Fetched, SegmentBound, StagedAnswers, StagingWriter};
use crate::lake::{FORMAT_VERSION, Manifest, OriginLayout, Partition, ShardMeta, TOOL_VERSION, TableKind};
use crate::npm::{Answer, DocRow, Outcome, Representation};
use crate::registry::{RequestFailure, Response};
use crate::shard::{ShardMerge, ShardReader, ShardWriter, StoredDocuments};
use crate::store::{ShardFile, StagedFile, Store};
use crate::table::{Decoded, DocsBuilder, DocumentInput, DocumentTables, OutcomeRow, OutcomesBuilder, schema};

/// Columns are handed to the writers when they hold this many bytes …
const FLUSH_BYTES: usize = 8 << 20;
/// … or this many documents, whichever is first: it bounds memory, and changes no byte of a shard.
const FLUSH_DOCUMENTS: usize = 512;
/// Documents of this size are made into rows one at a time: each needs several times its size for the moment.
const LARGE_DOCUMENT_BYTES: usize = 16 << 20;
/// Rows of `docs` that are handed to its writer at once.
const DOCS_BATCH_ROWS: usize = 8_192;

/// What a partition's build needs to know.
pub(super) struct PartitionJob {
    pub(super) store: Store,
    pub(super) layout: OriginLayout,
    pub(super) partition: Partition,
    /// The rows of `_all_docs`, ascending.
    pub(super) rows: Vec<DocRow>,
    pub(super) plan: PartitionPlan,
    /// What is asked for.
    pub(super) representation: Representation,
    /// What the partition held before.
    pub(super) previous: Option<Manifest>,
    /// What an earlier run fetched and did not commit.
    pub(super) staged: StagedAnswers,
    /// When what is fetched becomes durable.
    pub(super) segment: SegmentBound,
    /// The previous shards of the tables that are merged, opened.
    pub(super) previous_shards: BTreeMap<TableKind, ShardFile>,
    pub(super) progress: Arc<Progress>,
    /// Held while a document of [`LARGE_DOCUMENT_BYTES`] becomes rows; of all partitions.
    pub(super) large_documents: Arc<Mutex<()>>,
}

impl PartitionJob {
    /// What is planned to be fetched and was not staged by an earlier run.
    pub(super) fn items_to_ask_for(&self) -> Vec<FetchItem> {
        let is_staged = |item: &&FetchItem| self.staged.has(item, self.representation);
        self.plan.fetch.iter().filter(|item| !is_staged(item)).cloned().collect()
    }
}

/// Builds the shards that change and leaves them durable in staging. Answers the manifest that will be true after the
/// commit. Ends with [`crate::error::ErrorKind::Interrupted`] when the channel closes before every document came; what
/// came by then is staged.
pub(super) fn build(mut job: PartitionJob, mut fetched: Receiver<Fetched>) -> Result<Manifest> {
    let mut shards = job.previous.as_ref().map_or_else(BTreeMap::new, |manifest| manifest.shards.clone());
    let mut outcomes = job.previous.as_ref().map_or_else(BTreeMap::new, |manifest| manifest.outcomes.clone());
    if job.plan.writes_documents() {
        let mut staged = std::mem::take(&mut job.staged);
        let (store, layout, partition) = (&job.store, &job.layout, &job.partition);
        let mut staging = StagingWriter::new(store, layout, partition, job.representation, &staged, job.segment)?;
        let mut documents = DocumentShards::open(&job)?;
        for item in &job.plan.fetch {
            if staged.has(item, job.representation) {
                let (response, fetched_at_us) = staged.take(item)?;
                documents.take(item, Ok(response), fetched_at_us)?;
                continue;
            }
            let Some(answer) = receive(&mut fetched, &mut staging)? else {
                staging.flush()?;
                return Err(Error::interrupted());
            };
            if let Ok(response) = &answer.response {
                staging.append(item, response, answer.fetched_at_us)?;
            }
            documents.take(item, answer.response, answer.fetched_at_us)?;
        }
        for (table, meta) in documents.finish(&job.progress)? {
            shards.insert(table.to_string(), meta);
        }
        outcomes = count_outcomes(&job)?;
    }
    if job.plan.writes_docs() {
        shards.insert(TableKind::Docs.to_string(), write_docs(&job)?);
    }
    Ok(Manifest {
        format_version: FORMAT_VERSION,
        tool_version: TOOL_VERSION.to_owned(),
        partition: job.partition.clone(),
        written_at: jiff::Timestamp::now().to_string(),
        shards,
        outcomes,
    })
}

/// The next answer; `None` when no more will come. What came before does not wait for it longer than its bound says.
fn receive(fetched: &mut Receiver<Fetched>, staging: &mut StagingWriter) -> Result<Option<Fetched>> {
    let Some(time_left) = staging.time_left() else { return Ok(fetched.blocking_recv()) };
    if !time_left.is_zero() {
        if let Ok(answer) = fetched.try_recv() {
            return Ok(Some(answer));
        }
        let waited = Handle::current().block_on(async { tokio::time::timeout(time_left, fetched.recv()).await });
        if let Ok(answer) = waited {
            return Ok(answer);
        }
    }
    staging.flush()?;
    Ok(fetched.blocking_recv())
}

fn write_docs(job: &PartitionJob) -> Result<ShardMeta> {
    let mut writer = ShardWriter::new(TableKind::Docs, schema(TableKind::Docs), stage(job, TableKind::Docs)?)?;
    let mut builder = DocsBuilder::new();
    for rows in job.rows.chunks(DOCS_BATCH_ROWS) {
        for row in rows {
            builder.push(row);
        }
        writer.write(builder.take_batch()?)?;
    }
    let (staged, meta) = writer.finish()?;
    staged.finish()?;
    note_written(&job.progress, &meta);
    Ok(meta)
}

fn stage(job: &PartitionJob, table: TableKind) -> Result<StagedFile> {
    job.store.stage(&job.layout.staged_shard(table, &job.partition))
}

fn note_written(progress: &Progress, meta: &ShardMeta) {
    Progress::add(&progress.shard_bytes, meta.size_bytes);
    Progress::add(&progress.rows_written, meta.rows);
}

/// Reads the new `outcomes` shard back: the counts cover rows that were carried over as well.
fn count_outcomes(job: &PartitionJob) -> Result<BTreeMap<String, u64>> {
    let path = job.layout.staged_shard(TableKind::Outcomes, &job.partition);
    let file = futures::executor::block_on(job.store.open_shard(&path))?
        .ok_or_else(|| Error::lake(format!("{path} vanished from staging")))?;
    let mut counts = BTreeMap::new();
    for batch in ShardReader::open(TableKind::Outcomes, file, &schema(TableKind::Outcomes))? {
        for held in crate::shard::held_outcomes(&batch?)? {
            *counts.entry(held.outcome.as_str().to_owned()).or_insert(0) += 1;
        }
    }
    Ok(counts)
}

/// The shards of the document tables and of `outcomes`, under way together in name order.
struct DocumentShards<'a> {
    job: &'a PartitionJob,
    tables: DocumentTables,
    outcomes: OutcomesBuilder,
    merges: BTreeMap<TableKind, ShardMerge<StagedFile>>,
    /// Names whose rows in the document tables are decided since the last flush: replaced, or dropped.
    decided: Vec<String>,
    /// Names whose row in `outcomes` is decided since the last flush.
    answered: Vec<String>,
    /// How many of the removed names have passed.
    removed_passed: usize,
    /// The documents as they were, opened when one of them has to be read again.
    held_documents: Option<StoredDocuments>,
}

/// What a document that was read for `item` says about the request.
fn outcome_of(decoded: &Decoded, item: &FetchItem) -> Outcome {
    match &decoded.rev {
        Some(rev) if rev.is_older_than(&item.announced_rev) => Outcome::Stale,
        _ => decoded.outcome,
    }
}

/// Writes rows of the document tables in place of all rows of the names that are decided.
fn write_rows(
    merges: &mut BTreeMap<TableKind, ShardMerge<StagedFile>>,
    decided: &mut Vec<String>,
    rows: Vec<(TableKind, RecordBatch)>,
) -> Result<()> {
    let mut batches: BTreeMap<TableKind, Vec<RecordBatch>> = BTreeMap::new();
    for (table, rows) in rows {
        batches.entry(table).or_default().push(rows);
    }
    let names: Vec<&str> = decided.iter().map(String::as_str).collect();
    for (table, merge) in merges.iter_mut().filter(|(table, _)| **table != TableKind::Outcomes) {
        let rows = batches.remove(table).unwrap_or_default();
        merge.replace(&names, rows).doing(|| format!("writing the shard of {table}"))?;
    }
    decided.clear();
    Ok(())
}

impl<'a> DocumentShards<'a> {
    fn open(job: &'a PartitionJob) -> Result<Self> {
        let mut merges = BTreeMap::new();
        for table in TableKind::OF_DOCUMENTS.into_iter().chain([TableKind::Outcomes]) {
            let previous = match job.previous_shards.get(&table) {
                Some(file) => Some(ShardReader::open(table, file.try_clone()?, &schema(table))?),
                None => None,
            };
            merges
                .insert(table, ShardMerge::new(ShardWriter::new(table, schema(table), stage(job, table)?)?, previous));
        }
        Ok(DocumentShards {
            job,
            tables: DocumentTables::new(true),
            outcomes: OutcomesBuilder::new(),
            merges,
            decided: Vec::new(),
            answered: Vec::new(),
            removed_passed: 0,
            held_documents: None,
        })
    }

    /// Takes the next answer in name order.
    fn take(&mut self, item: &FetchItem, response: Result<Response, RequestFailure>, fetched_at_us: i64) -> Result<()> {
        let name = item.name.as_str();
        self.pass_removed(Some(name));
        let progress = &self.job.progress;
        Progress::add(&progress.packuments_done, 1);
        let mut row = OutcomeRow {
            name,
            rev: Some(item.announced_rev.as_str()),
            outcome: Outcome::Failed,
            http_status: None,
            etag: None,
            last_modified: None,
            attempts: 0,
            fetched_at_micros: Some(fetched_at_us),
            detail: None,
        };
        // The memory that a large document needs on its way is had once, however many partitions are under way.
        let is_large = |response: &Response| match &response.answer {
            Answer::Fresh(document) => document.bytes.len() >= LARGE_DOCUMENT_BYTES,
            _ => false,
        };
        let large_documents = Arc::clone(&self.job.large_documents);
        let _alone = match &response {
            Ok(response) if is_large(response) => Some(large_documents.lock()),
            _ => None,
        };
        let decoded;
        let validators;
        let failure;
        match response {
            Ok(Response { answer, http_status, attempts, validators: sent }) => {
                validators = sent;
                row.http_status = Some(http_status);
                row.attempts = attempts;
                row.etag = validators.etag.as_deref();
                row.last_modified = validators.last_modified.as_deref();
                match answer {
                    Answer::Fresh(document) => {
                        Progress::add(&progress.packuments_fresh, 1);
                        Progress::add(&progress.document_bytes, document.bytes.len() as u64);
                        decoded = self.push(item, &document.bytes)?;
                        row.detail = decoded.detail.as_deref();
                        row.outcome = outcome_of(&decoded, item);
                    }
                    Answer::NotModified => {
                        Progress::add(&progress.packuments_not_modified, 1);
                        let held = self.job.plan.held(&item.name);
                        if held.is_some_and(|held| held.is_revised) {
                            // The rows are those of the same document under another announced revision.
                            let document = self.held_document(name)?;
                            decoded = self.push(item, &document)?;
                            row.detail = decoded.detail.as_deref();
                            row.outcome = outcome_of(&decoded, item);
                        } else {
                            row.outcome = held.map_or(Outcome::Present, |held| held.outcome);
                        }
                    }
                    Answer::Gone { status } => {
                        self.decided.push(name.to_owned());
                        row.outcome = if status == 451 { Outcome::Blocked } else { Outcome::NotFound };
                    }
                }
            }
            Err(found) => {
                // What the lake holds of it stays: a failure is no statement about the package.
                failure = found;
                row.outcome = failure.outcome.unwrap_or(Outcome::Failed);
                row.http_status = failure.http_status;
                row.attempts = failure.attempts;
                row.detail = Some(failure.error.message());
            }
        }
        let counter = match row.outcome {
            Outcome::NotFound | Outcome::Blocked => Some(&progress.packuments_gone),
            Outcome::Malformed => Some(&progress.packuments_malformed),
            Outcome::Stale => Some(&progress.packuments_stale),
            Outcome::Failed | Outcome::Oversize => Some(&progress.packuments_failed),
            Outcome::Present | Outcome::Tombstone => None,
        };
        if let Some(counter) = counter {
            Progress::add(counter, 1);
        }
        self.outcomes.push(&row);
        self.answered.push(name.to_owned());
        if self.answered.len() >= FLUSH_DOCUMENTS || self.tables.buffered_bytes() >= FLUSH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn push(&mut self, item: &FetchItem, bytes: &[u8]) -> Result<Decoded> {
        // Rows of a large document are written before it has been read to its end, so its name is decided first.
        self.decided.push(item.name.as_str().to_owned());
        let (merges, decided) = (&mut self.merges, &mut self.decided);
        let input = DocumentInput {
            name: item.name.as_str(),
            announced_rev: item.announced_rev.as_str(),
            representation: self.job.representation,
            bytes,
        };
        self.tables.push_and_drain(input, &mut |rows| write_rows(merges, decided, rows))
    }

    /// The document of `name` as the lake holds it.
    fn held_document(&mut self, name: &str) -> Result<Vec<u8>> {
        let gone = || {
            let manifest = self.job.layout.manifest(&self.job.partition);
            Error::lake(format!("the document of {name} is gone from its shard"))
                .hint(format!("delete {manifest}: the next ingest makes the partition anew"))
        };
        if self.held_documents.is_none() {
            // Not the file that is merged: two readers of one open file would move each other's place.
            let path = self.job.layout.shard(TableKind::Packuments, &self.job.partition);
            let file = futures::executor::block_on(self.job.store.open_shard(&path))?.ok_or_else(gone)?;
            self.held_documents = Some(StoredDocuments::open(file, &schema(TableKind::Packuments))?);
        }
        let documents = self.held_documents.as_mut().ok_or_else(gone)?;
        documents.find(name)?.ok_or_else(gone)
    }

    /// Drops the rows of removed names below `name`; of all that are left for `None`.
    fn pass_removed(&mut self, name: Option<&str>) {
        let removed = &self.job.plan.dropped;
        while let Some(gone) = removed.get(self.removed_passed) {
            if name.is_some_and(|name| gone.as_str() >= name) {
                return;
            }
            self.decided.push(gone.as_str().to_owned());
            self.answered.push(gone.as_str().to_owned());
            self.removed_passed += 1;
        }
    }

    fn flush(&mut self) -> Result<()> {
        write_rows(&mut self.merges, &mut self.decided, self.tables.take_batches()?)?;
        let answered: Vec<&str> = self.answered.iter().map(String::as_str).collect();
        if let Some(merge) = self.merges.get_mut(&TableKind::Outcomes) {
            let rows = vec![self.outcomes.take_batch()?];
            merge.replace(&answered, rows).doing(|| "writing the shard of outcomes".to_owned())?;
        }
        self.answered.clear();
        Ok(())
    }

    fn finish(mut self, progress: &Progress) -> Result<Vec<(TableKind, ShardMeta)>> {
        self.pass_removed(None);
        self.flush()?;
        let mut metas = Vec::new();
        for (table, merge) in self.merges {
            let (staged, meta) = merge.finish().doing(|| format!("writing the shard of {table}"))?;
            staged.finish()?;
            note_written(progress, &meta);
            metas.push((table, meta));
        }
        Ok(metas)
    }
}
