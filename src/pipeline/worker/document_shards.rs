//! Writes the shards of the document tables and of `outcomes` of one partition, all in the order of names.
//!
//! If no row of a document changes, only `outcomes` gets a new shard. Not here: where the answers come from and how they
//! are made durable (`build`).

mod recording;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::bounds::{FLUSH_BYTES, FLUSH_DOCUMENTS, FLUSH_RAW_BYTES, LARGE_DOCUMENT_BYTES};
use super::decided::{Decided, write_rows};
use super::events::EventRecorder;
use super::job::PartitionJob;
use super::served::{has_ended, outcome_of};
use crate::encode::ShardWriter;
use crate::error::{Doing, Error, Result};
use crate::fetch::FetchItem;
use crate::lake::{EventsFile, ShardMeta};
use crate::npm::{Answer, Outcome, PackageName, Representation, Revision};
use crate::pipeline::progress::Progress;
use crate::pipeline::verify::open_sound;
use crate::registry::{RequestFailure, Response};
use crate::shard::{ShardMerge, StoredDocuments};
use crate::store::{ShardFile, StagedFile};
use crate::table::TableKind;
use crate::table::{Decoded, DocumentInput, DocumentTables, OutcomeRow, OutcomesBuilder, schema};

/// The shards, and the rows that are not yet written to them.
pub(super) struct DocumentShards<'a> {
    job: &'a PartitionJob,
    tables: DocumentTables,
    outcomes: OutcomesBuilder,
    /// The merge of `outcomes`, and from the first document that changes on those of the other tables.
    merges: BTreeMap<TableKind, ShardMerge<StagedFile>>,
    /// The previous shards of these tables.
    previous: BTreeMap<TableKind, ShardFile>,
    decided: Decided,
    /// Names whose row in `outcomes` is decided since the last flush.
    answered: Vec<String>,
    /// How many names have each outcome.
    counts: BTreeMap<Outcome, u64>,
    /// How many documents of this run were too large.
    pub(super) refused_as_oversize: u64,
    /// Names that the feed calls deleted, and that are.
    pub(super) ended: BTreeSet<PackageName>,
    /// How many of the removed names have been passed.
    removed_passed: usize,
    /// The stored documents, opened when one of them has to be read again.
    held_documents: Option<StoredDocuments>,
    pub(super) events: EventRecorder<'a>,
}

/// Keeps the tag of the request, because the lake's document stays.
fn hold_tag<'a>(row: &mut OutcomeRow<'a>, item: &'a FetchItem) {
    let held = item.validators.as_ref();
    row.etag = held.and_then(|held| held.etag.as_deref());
    row.last_modified = held.and_then(|held| held.last_modified.as_deref());
}

/// The staged files of a build.
pub(super) struct Staged {
    pub(super) shards: Vec<(TableKind, ShardMeta)>,
    /// The events; `None` if there are none.
    pub(super) events: Option<EventsFile>,
}

impl<'a> DocumentShards<'a> {
    pub(super) fn open(job: &'a PartitionJob) -> Result<Self> {
        let mut shards = DocumentShards {
            job,
            tables: DocumentTables::new(true),
            outcomes: OutcomesBuilder::new(),
            merges: BTreeMap::new(),
            previous: BTreeMap::new(),
            decided: Decided::default(),
            answered: Vec::new(),
            counts: job.plan.carried.clone(),
            refused_as_oversize: 0,
            ended: BTreeSet::new(),
            removed_passed: 0,
            held_documents: None,
            events: EventRecorder::new(job),
        };
        let has = |table: TableKind| job.previous_names(table).is_some();
        shards.open_merge(TableKind::Outcomes)?;
        if !TableKind::of_answers().all(has) {
            shards.open_documents()?;
        }
        Ok(shards)
    }

    fn open_merge(&mut self, table: TableKind) -> Result<()> {
        let job = self.job;
        // Row groups are copied undecoded, and a wrong bit may decode: only the digest shows damage.
        let open = |manifest| open_sound(&job.store, &job.layout, manifest, table);
        let previous = job.previous_names(table).map(open).transpose()?;
        self.previous.extend(previous.clone().map(|file| (table, file)));
        let writer = ShardWriter::new(table, schema(table), job.stage(table)?)?;
        self.merges.insert(table, ShardMerge::open(writer, previous, job.stop.clone())?);
        Ok(())
    }

    /// Opens the merges of the tables of documents, unless they are open.
    fn open_documents(&mut self) -> Result<()> {
        for table in TableKind::of_answers() {
            if !self.merges.contains_key(&table) {
                self.open_merge(table)?;
            }
        }
        Ok(())
    }

    /// Marks the rows of a name in the tables of documents as replaced, or dropped.
    fn decide(&mut self, name: &str) -> Result<()> {
        self.open_documents()?;
        self.decided.push(name);
        Ok(())
    }

    /// Drops all rows of a name.
    fn end(&mut self, name: &str) -> Result<()> {
        self.answered.push(name.to_owned());
        self.decide(name)
    }

    /// Takes the next answer in name order.
    pub(super) fn take(
        &mut self,
        item: &FetchItem,
        response: Result<Response, RequestFailure>,
        fetched_at_us: i64,
    ) -> Result<()> {
        let name = item.name.as_str();
        self.pass_removed(Some(name))?;
        let progress = &self.job.progress;
        Progress::add(&progress.packuments_done, 1);
        if self.job.plan.deleted.contains_key(&item.name) && has_ended(item, &response, self.job.representation()) {
            self.ended.insert(item.name.clone());
            self.record_end(item, &response)?;
            return self.end(name);
        }
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
            next_request_at_micros: None,
            repetitions: 1,
            credentials: None,
        };
        // Large documents are processed one at a time, so the memory for one is enough for all partitions in progress.
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
        let superseded;
        let validators;
        let failure;
        let said_of_absence;
        // Whether the lake's document stays, if it has one.
        let mut stays = false;
        match response {
            Ok(Response { answer, http_status, attempts, validators: sent, .. }) => {
                validators = sent;
                row.http_status = Some(http_status);
                row.attempts = attempts;
                row.etag = validators.etag.as_deref();
                row.last_modified = validators.last_modified.as_deref();
                match answer {
                    Answer::Fresh(document) => {
                        Progress::add(&progress.packuments_fresh, 1);
                        Progress::add(&progress.document_bytes, document.bytes.len() as u64);
                        superseded = self.superseded(item, &document.bytes);
                        if let Some(why) = &superseded {
                            // The rows of the newer one stay, and its tag with them.
                            row.outcome = Outcome::Stale;
                            row.detail = Some(why);
                            hold_tag(&mut row, item);
                            stays = true;
                        } else {
                            decoded = self.push(item, &document.bytes)?;
                            self.record(item, &document.bytes, &decoded)?;
                            row.detail = decoded.detail.as_deref();
                            row.outcome = outcome_of(&decoded, item);
                        }
                    }
                    Answer::NotModified => {
                        Progress::add(&progress.packuments_not_modified, 1);
                        if let Some(outcome) = self.job.plan.outcome_if_unchanged(item) {
                            row.outcome = outcome;
                            stays = true;
                            row.detail = (!outcome.is_whole()).then_some("it has not changed since the last request");
                        } else {
                            // The rows are those of the same document under another announced revision.
                            let document = self.held_document(name)?;
                            decoded = self.push(item, &document)?;
                            row.detail = decoded.detail.as_deref();
                            row.outcome = outcome_of(&decoded, item);
                        }
                    }
                    Answer::Gone { status, said } => {
                        said_of_absence = said;
                        row.detail = said_of_absence.as_deref();
                        let is_of_credentials = matches!(status, 401 | 403);
                        let is_blocked = is_of_credentials || status == 451;
                        // While the registry lists a name, only another document replaces that of the lake: who asks
                        // with an expired token is told that it is gone. The user can decide otherwise.
                        let is_kept = item.is_held && (is_of_credentials || !self.job.item.wanted.accepts_removals);
                        row.outcome = match (is_blocked, is_kept) {
                            (true, _) => Outcome::Blocked,
                            (false, true) => Outcome::Stale,
                            (false, false) => Outcome::NotFound,
                        };
                        if is_kept {
                            hold_tag(&mut row, item);
                            stays = true;
                        } else if item.is_held {
                            self.decide(name)?;
                            self.record_removal(name)?;
                        }
                    }
                }
            }
            Err(found) => {
                // The lake's document and its tag stay: a failure says nothing about the package.
                failure = found;
                hold_tag(&mut row, item);
                stays = true;
                row.outcome = failure.outcome.unwrap_or(Outcome::Failed);
                row.http_status = failure.http_status;
                row.attempts = failure.attempts;
                row.detail = Some(failure.error.message());
            }
        }
        if stays && item.is_held && self.job.plan.is_of_delta {
            self.push_held(item)?;
        }
        row.repetitions = item.repetitions_of(row.outcome);
        // A name without a URL is never requested.
        let is_request = row.attempts > 0;
        let next_request_us = match item.is_held && row.outcome == Outcome::Blocked {
            // A document of the lake is not left behind the registry for longer than necessary.
            true => Some(fetched_at_us),
            false => row.outcome.next_request_us(fetched_at_us, row.repetitions),
        };
        row.next_request_at_micros = next_request_us.filter(|_| is_request);
        row.credentials = row.outcome.can_change().then_some(item.credentials);
        self.refused_as_oversize += u64::from(row.outcome == Outcome::Oversize);
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
        *self.counts.entry(row.outcome).or_default() += 1;
        self.events.answered(item, row.outcome);
        self.outcomes.push(&row);
        self.answered.push(name.to_owned());
        if self.answered.len() >= FLUSH_DOCUMENTS || self.tables.buffered_bytes() >= FLUSH_BYTES {
            self.flush()?;
        } else if self.tables.raw_bytes() >= FLUSH_RAW_BYTES {
            self.flush_raw()?;
        }
        Ok(())
    }

    /// Returns why a served document does not replace the one that the lake holds: a server that lags behind has
    /// returned an older document, older also than the announced revision.
    fn superseded(&self, item: &FetchItem, body: &[u8]) -> Option<String> {
        let least = self.job.plan.least_rev(&item.name)?;
        let served = Revision::of_document(body)?;
        let is_behind = served.is_older_than(least) && served.is_older_than(&item.announced_rev);
        is_behind.then(|| format!("revision {served} was served, and {least} or a later one is held"))
    }

    fn push(&mut self, item: &FetchItem, body: &Bytes) -> Result<Decoded> {
        self.push_as(item, &item.announced_rev, self.job.representation(), body)
    }

    /// Writes the rows of the lake's own document of a name: a delta holds all rows of its names.
    fn push_held(&mut self, item: &FetchItem) -> Result<()> {
        let Some(held) = self.job.plan.held(&item.name) else { return Ok(()) };
        let form = held.representation.unwrap_or(self.job.representation());
        let document = self.held_document(item.name.as_str())?;
        self.push_as(item, &held.rev, form, &document).map(drop)
    }

    fn push_as(
        &mut self,
        item: &FetchItem,
        announced_rev: &Revision,
        representation: Representation,
        body: &Bytes,
    ) -> Result<Decoded> {
        // Rows of a large document are written before it has been read to its end, so its name is decided first.
        self.decide(item.name.as_str())?;
        let (merges, decided) = (&mut self.merges, &mut self.decided);
        let (name, announced_rev) = (item.name.as_str(), announced_rev.as_str());
        let input = DocumentInput { name, announced_rev, representation, bytes: body };
        self.tables.push_and_drain(input, &mut |rows| write_rows(merges, decided, rows))
    }

    /// Reads the document of `name` from the lake.
    fn held_document(&mut self, name: &str) -> Result<Bytes> {
        self.find_held(name)?.ok_or_else(|| {
            let manifest = self.job.layout.manifest(self.job.partition());
            Error::lake(format!("the document of {name} is gone from its shard"))
                .hint(format!("delete {manifest}: the next ingest rebuilds the partition"))
        })
    }

    /// Returns the document of `name` if the lake holds one.
    fn find_held(&mut self, name: &str) -> Result<Option<Bytes>> {
        if let Some(known) = &self.job.known {
            return known.document(&PackageName::new(name));
        }
        if self.held_documents.is_none() {
            self.open_documents()?;
            let Some(file) = self.previous.get(&TableKind::Packuments).cloned() else { return Ok(None) };
            self.held_documents = Some(StoredDocuments::open(file)?);
        }
        self.held_documents.as_mut().map_or(Ok(None), |documents| documents.find(name))
    }

    /// Drops the rows of removed names below `name`, or of all remaining ones for `None`.
    fn pass_removed(&mut self, name: Option<&str>) -> Result<()> {
        let removed = &self.job.plan.dropped;
        while let Some(gone) = removed.get(self.removed_passed) {
            if name.is_some_and(|name| gone.as_str() >= name) {
                return Ok(());
            }
            self.end(gone.as_str())?;
            self.record_removal(gone.as_str())?;
            self.removed_passed += 1;
        }
        Ok(())
    }

    /// Writes the raw documents so far; their names are decided.
    fn flush_raw(&mut self) -> Result<()> {
        let table = TableKind::Packuments;
        if let Some(merge) = self.merges.get_mut(&table) {
            let rows = self.tables.take_raw()?.into_iter().collect();
            merge.replace(&self.decided.untold(table), rows).doing(|| format!("writing the shard of {table}"))?;
            self.decided.told_packuments = self.decided.names.len();
        }
        Ok(())
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

    /// Returns how many names of the partition have each outcome.
    pub(super) fn outcomes(&self) -> BTreeMap<String, u64> {
        self.counts.iter().map(|(outcome, count)| (outcome.as_str().to_owned(), *count)).collect()
    }

    /// Stages the shards, and the events if there are any.
    pub(super) fn finish(mut self, progress: &Progress) -> Result<Staged> {
        self.pass_removed(None)?;
        self.flush()?;
        let mut metas = Vec::new();
        for (table, merge) in self.merges {
            let (staged, meta) = merge.finish().doing(|| format!("writing the shard of {table}"))?;
            staged.finish()?;
            progress.note_shard(&meta);
            metas.push((table, meta));
        }
        Ok(Staged { shards: metas, events: self.events.finish()? })
    }
}
