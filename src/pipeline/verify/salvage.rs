//! Salvage: finds the intact data of a broken partition, and which of its documents are intact.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::partition::{open_as_named, open_cursor};
use crate::error::{Result, unless_damaged};
use crate::fetch::{FetchItem, SegmentBound, StagedAnswers, StagingWriter};
use crate::lake::{Manifest, OriginLayout, Partition};
use crate::npm::{Answer, Document, Fingerprint, Outcome, PackageName, Representation, Revision, Validators};
use crate::registry::Response;
use crate::shard::{NameCursor, Row};
use crate::store::{Store, blocking};
use crate::table::{TableKind, schema};

/// Segments may be large: the answers of a lost one are read again from the shard that they came from.
const SEGMENT: SegmentBound = SegmentBound { answers: 1_000, bytes: 16 << 20, age: Duration::MAX };
/// The tables that hold the names requested of the partition; the first readable one counts.
const TABLES_OF_NAMES: [TableKind; 3] = [TableKind::Outcomes, TableKind::Packuments, TableKind::Packages];

/// Returns the names that were requested; `None` if no shard shows them. Blocks.
pub(super) fn names_held(
    store: &Store,
    layout: &OriginLayout,
    partition: &Partition,
) -> Result<Option<BTreeSet<PackageName>>> {
    let read = |table: TableKind| -> Result<Option<BTreeSet<PackageName>>> {
        let Some(mut cursor) = open_cursor(store, layout, partition, table, &[])? else { return Ok(None) };
        let mut names = BTreeSet::new();
        while let Some(name) = cursor.name().map(PackageName::new) {
            names.insert(name);
            cursor.pass(|_| Ok(()))?;
        }
        Ok(Some(names))
    };
    for table in TABLES_OF_NAMES {
        if let Some(names) = unless_damaged(read(table))?.flatten() {
            return Ok(Some(names));
        }
    }
    Ok(None)
}

/// Returns the form of most of its documents; the full form if that is not known. Blocks.
pub(super) fn wanted_form(store: &Store, layout: &OriginLayout, partition: &Partition) -> Result<Representation> {
    let count = || -> Result<(u64, u64)> {
        let (mut abbreviated, mut full) = (0, 0);
        if let Some(mut cursor) = open_cursor(store, layout, partition, TableKind::Packuments, &["representation"])? {
            while cursor.name().is_some() {
                cursor.pass(|row| {
                    match row.text("representation")? == Some(Representation::Abbreviated.as_str()) {
                        true => abbreviated += 1,
                        false => full += 1,
                    }
                    Ok(())
                })?;
            }
        }
        Ok((abbreviated, full))
    };
    Ok(match unless_damaged(count())? {
        Some((abbreviated, full)) if abbreviated > full => Representation::Abbreviated,
        _ => Representation::Full,
    })
}

/// A staged answer: its name, its contents, and the time when it was received, in µs since 1970.
type Salvaged = (FetchItem, Response, i64);

/// Stages every answer of the partition that its shards still hold completely, like a new answer. Returns the number of
/// documents. Stages nothing unless both `outcomes` and `packuments` match the manifest.
pub(super) async fn restage(
    store: &Store,
    layout: &OriginLayout,
    manifest: &Manifest,
    representation: Representation,
) -> Result<u64> {
    let (sender, mut answers) = mpsc::channel(1);
    let (task_store, task_layout, task_manifest) = (store.clone(), layout.clone(), manifest.clone());
    let read = move || read_answers(&task_store, &task_layout, &task_manifest, representation, &sender);
    let write = async {
        let staged = StagedAnswers::default();
        let mut staging = StagingWriter::new(store, layout, &manifest.partition, representation, &staged, SEGMENT)?;
        let mut documents_saved = 0;
        while let Some((item, response, fetched_at_us)) = answers.recv().await {
            documents_saved += u64::from(matches!(response.answer, Answer::Fresh(_)));
            staging.append(&item, &response, fetched_at_us).await?;
        }
        staging.flush().await?;
        Ok(documents_saved)
    };
    let ((), documents_saved) = futures::try_join!(blocking("reading the intact data of a partition", read), write)?;
    Ok(documents_saved)
}

/// Sends the answers to `answers`, and ends early if the receiver is closed. Blocks.
fn read_answers(
    store: &Store,
    layout: &OriginLayout,
    manifest: &Manifest,
    representation: Representation,
    answers: &mpsc::Sender<Salvaged>,
) -> Result<()> {
    let sound = |table| open_as_named(store, layout, manifest, table);
    let Some(outcomes) = sound(TableKind::Outcomes)? else { return Ok(()) };
    let Some(documents) = sound(TableKind::Packuments)? else { return Ok(()) };
    let outcome_columns = ["outcome", "rev", "http_status", "etag", "last_modified", "attempts", "fetched_at"];
    let document_columns = ["representation", "json", "bytes"];
    let cursor = |table, file, columns| NameCursor::open(table, file, &schema(table), columns);
    let mut outcomes = cursor(TableKind::Outcomes, outcomes, &outcome_columns)?;
    let mut documents = cursor(TableKind::Packuments, documents, &document_columns)?;
    while let Some(name) = outcomes.name().map(PackageName::new) {
        let mut document = None;
        while documents.name().is_some_and(|other| other <= name.as_str()) {
            let is_its_own = documents.name() == Some(name.as_str());
            documents.pass(|row| {
                if is_its_own && row.text("representation")? == Some(representation.as_str()) {
                    document = bytes_of(row)?;
                }
                Ok(())
            })?;
        }
        let mut answer = None;
        outcomes.pass(|row| {
            answer = read_answer(row, &name, document.take(), representation)?;
            Ok(())
        })?;
        if let Some(answer) = answer
            && answers.blocking_send(answer).is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}

fn bytes_of(row: Row<'_>) -> Result<Option<Bytes>> {
    Ok(match row.text("json")? {
        Some(text) => Some(Bytes::copy_from_slice(text.as_bytes())),
        None => row.bytes("bytes").map(Bytes::copy_from_slice),
    })
}

/// Returns the answer behind a row of `outcomes`; `None` for one that has to be requested again.
fn read_answer(
    row: Row<'_>,
    name: &PackageName,
    document: Option<Bytes>,
    representation: Representation,
) -> Result<Option<Salvaged>> {
    let text = |column| row.text(column);
    let validators =
        Validators { etag: text("etag")?.map(str::to_owned), last_modified: text("last_modified")?.map(str::to_owned) };
    let status = row.number("http_status").and_then(|status| u16::try_from(status).ok());
    let answer = match (text("outcome")?.and_then(Outcome::parse), document) {
        (Some(Outcome::Present | Outcome::Tombstone | Outcome::Malformed), Some(bytes)) => {
            Answer::Fresh(Document { bytes, representation, validators: validators.clone() })
        }
        _ => return Ok(None),
    };
    let (Some(rev), Some(fetched_at_us)) = (text("rev")?, row.number("fetched_at")) else { return Ok(None) };
    let attempts = row.number("attempts").and_then(|count| u32::try_from(count).ok()).unwrap_or(1);
    let item = FetchItem {
        name: name.clone(),
        announced_rev: Revision::from(rev),
        validators: None,
        is_held: false,
        last_answer_us: None,
        credentials: Fingerprint::NONE,
        last: None,
    };
    Ok(Some((
        item,
        Response { answer, http_status: status.unwrap_or(200), attempts, validators, is_packument: true, gzip: None },
        fetched_at_us,
    )))
}
