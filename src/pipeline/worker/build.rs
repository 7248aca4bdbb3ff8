//! Build: turns one partition's documents into its staged shards, on one thread that may block.
//!
//! All CPU-heavy work happens here: decoding, columns, the merge with the previous shards, Parquet. A bounded channel
//! feeds the thread, so it is never ahead of the network and the network is never far ahead of it. Not here: which
//! documents to request (`plan`), and the order in which shards become visible (`commit`).

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc::Receiver;

use super::document_shards::DocumentShards;
use super::job::PartitionJob;
use crate::commit::Change;
use crate::encode::ShardWriter;
use crate::error::{Error, Result};
use crate::fetch::{FetchItem, Fetched};
use crate::lake::{EventsFile, Manifest, ShardMeta};
use crate::npm::Outcome;
use crate::pipeline::progress::Progress;
use crate::table::TableKind;
use crate::table::{DocsBuilder, schema};
use crate::version::{FORMAT_VERSION, TOOL_VERSION};

/// Rows of `docs` that are passed to its writer at once.
const DOCS_BATCH_ROWS: usize = 8_192;

/// Builds the shards that change and leaves them durable in staging. Fails with
/// [`crate::error::ErrorKind::Interrupted`] if the channel closes before every document has arrived, if some are left
/// out, or if the job is stopped.
pub(super) fn build(mut job: PartitionJob, mut fetched: Receiver<Fetched>) -> Result<(Change, Option<EventsFile>)> {
    let mut events = None;
    let mut unfilled = job.previous.as_ref().map_or_else(Vec::new, |manifest| manifest.unfilled.clone());
    let mut gone: Vec<String> = job.plan.dropped.iter().map(ToString::to_string).collect();
    let mut staged_tables = Vec::new();
    let mut shards = job.previous.as_ref().map_or_else(BTreeMap::new, |manifest| manifest.shards.clone());
    let mut outcomes = job.previous.as_ref().map_or_else(BTreeMap::new, |manifest| manifest.outcomes.clone());
    let mut oversize_limit_bytes = job.previous.as_ref().and_then(|manifest| manifest.oversize_limit_bytes);
    if job.plan.writes_documents() {
        let mut staged = std::mem::take(&mut job.staged);
        let mut documents = DocumentShards::open(&job)?;
        for item in &job.plan.fetch {
            if job.stop.is_cancelled() {
                return Err(Error::interrupted());
            }
            if staged.has(item, job.representation()) {
                let (response, fetched_at_us) = staged.take(item)?;
                Progress::add(&job.progress.packuments_resumed, 1);
                documents.take(item, Ok(response), fetched_at_us)?;
                continue;
            }
            let Some(answer) = fetched.blocking_recv() else { return Err(Error::interrupted()) };
            if answer.item.name != item.name {
                // The run is ending, and this name was left out. Documents that still arrive are staged before they get
                // here.
                while fetched.blocking_recv().is_some() {}
                return Err(Error::interrupted());
            }
            documents.take(item, answer.response, answer.fetched_at_us)?;
        }
        let refused_now = documents.refused_as_oversize;
        outcomes = documents.outcomes();
        unfilled = documents.events.unfilled();
        let ended = std::mem::take(&mut documents.ended);
        let staged = documents.finish(&job.progress)?;
        events = staged.events;
        for (table, meta) in staged.shards {
            shards.insert(table.to_string(), meta);
            staged_tables.push(table);
        }
        let refused = outcomes.get(Outcome::Oversize.as_str()).copied().unwrap_or_default();
        let limit_now = (refused_now > 0).then_some(job.item.wanted.max_document_bytes);
        oversize_limit_bytes = match oversize_limit_bytes {
            // An earlier run refused some.
            before if refused > refused_now => before.map(|before| limit_now.map_or(before, |now| now.min(before))),
            _ => limit_now,
        };
        gone.extend(ended.iter().map(ToString::to_string));
        gone.sort_unstable();
        if !ended.is_empty() {
            Progress::add(&job.progress.names_removed, ended.len() as u64);
            Arc::make_mut(&mut job.rows).retain(|row| !ended.contains(&row.name));
        }
    }
    if job.plan.writes_docs() {
        shards.insert(TableKind::Docs.to_string(), write_docs(&job)?);
        staged_tables.push(TableKind::Docs);
    }
    let documents_form = documents_form(&job);
    let manifest = Manifest {
        format_version: FORMAT_VERSION,
        tool_version: TOOL_VERSION.to_owned(),
        partition: job.partition().clone(),
        written_at: jiff::Timestamp::now().to_string(),
        shards,
        outcomes,
        listed_at_us: job.listed_at_us,
        oversize_limit_bytes,
        documents_form,
        cut_from: None,
        unfilled,
        removed: if job.plan.is_of_delta { gone } else { Vec::new() },
    };
    Ok((Change { manifest, moved: staged_tables, base: job.base.take() }, events))
}

/// Returns the form of all documents of the partition after the build, if it is one and known.
fn documents_form(job: &PartitionJob) -> Option<String> {
    let form = job.representation().as_str();
    let held_form = |item: &FetchItem| job.plan.held_form(&item.name);
    if job.plan.is_of_delta && job.plan.fetch.iter().filter_map(held_form).any(|held| held.as_str() != form) {
        return None;
    }
    let has_documents = |manifest: &&Manifest| manifest.rows(TableKind::Packuments) > 0;
    match (job.previous.as_ref().filter(has_documents), job.plan.writes_documents()) {
        (Some(previous), false) => previous.documents_form.clone(),
        (Some(previous), true) => previous.documents_form.clone().filter(|before| before == form),
        (None, writes_documents) => writes_documents.then(|| form.to_owned()),
    }
}

fn write_docs(job: &PartitionJob) -> Result<ShardMeta> {
    let mut writer = ShardWriter::new(TableKind::Docs, schema(TableKind::Docs), job.stage(TableKind::Docs)?)?;
    let mut builder = DocsBuilder::new();
    for rows in job.rows.chunks(DOCS_BATCH_ROWS) {
        if job.stop.is_cancelled() {
            return Err(Error::interrupted());
        }
        for row in rows {
            builder.push(row);
        }
        writer.write(builder.take_batch()?)?;
    }
    let (staged, meta) = writer.finish()?;
    staged.finish()?;
    job.progress.note_shard(&meta);
    Ok(meta)
}
