//! Recovery: ends a commit that a process began and did not end.
//!
//! For each table that the commit moves, the new shard is the staged one whose digest is that of the intent's manifest;
//! else it has been moved already, if the shard in place has this digest; else it is missing. A staged file with another
//! digest is never moved: a process that died during a build may have left it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::{Begun, MOVED_LAST, Right, Sources, abort_uploads, begin_uploads, clear_staging, lost_right, sha256};
use crate::error::{Doing, Result, unless_damaged};
use crate::lake::{CommitIntent, Manifest, OriginLayout, Partition, Record};
use crate::store::{Store, StoredRecord};
use crate::table::TableKind;

/// The state of a partition after [`settle`].
pub enum Settled {
    /// No commit was interrupted.
    Nothing,
    /// An interrupted commit is complete.
    Completed,
    /// An interrupted commit is given up: no table had changed, or another process has committed since. Staged answers
    /// are kept.
    Discarded,
    /// Shards are missing that can be made from `packuments`: rebuild them, then call [`complete`].
    Lacking(Box<Lacking>),
}

/// An interrupted commit whose staged shards are lost in part.
pub struct Lacking {
    found: StoredRecord<CommitIntent>,
    sources: Sources,
    base: Option<Bytes>,
    tables: BTreeSet<TableKind>,
}

impl Lacking {
    /// Returns the manifest of the commit. The shard of `packuments` in place is the one that it names.
    pub fn manifest(&self) -> &Manifest {
        &self.found.record.manifest
    }

    /// Returns the tables whose shards are missing.
    pub fn tables(&self) -> &BTreeSet<TableKind> {
        &self.tables
    }
}

/// Returns the partitions of an origin with an interrupted commit, or with one in progress.
/// Passes over an intent that is damaged: `verify` reports it.
pub async fn interrupted(store: &Store, layout: &OriginLayout) -> Result<Vec<Partition>> {
    Ok(intents(store, layout).await?.into_iter().map(|intent| intent.manifest.partition).collect())
}

/// Aborts the uploads that interrupted commits of an origin have begun. No process writes the origin now.
pub async fn abort_all_uploads(store: &Store, layout: &OriginLayout) -> Result<()> {
    for intent in intents(store, layout).await? {
        abort_uploads(store, layout, &intent).await?;
    }
    Ok(())
}

async fn intents(store: &Store, layout: &OriginLayout) -> Result<Vec<CommitIntent>> {
    let mut intents = Vec::new();
    for path in store.list(&layout.staging()).await?.into_iter().filter(|path| layout.is_commit_intent(path)) {
        intents.extend(unless_damaged(store.read_record::<CommitIntent>(&path).await)?.flatten());
    }
    Ok(intents)
}

/// Clears up a partition after a dead process: removes puts that it had begun and files that it had staged, aborts its
/// uploads, and ends its interrupted commit if that is possible without a rebuild. Staged answers stay. The caller has
/// the right to write the partition.
///
/// Fails as [`super::commit`] does.
pub async fn settle(
    store: &Store,
    layout: &OriginLayout,
    partition: &Partition,
    right: &impl Right,
) -> Result<Settled> {
    store.sweep_put(&layout.manifest(partition)).await?;
    store.sweep(&layout.partition_staging(partition), Duration::ZERO).await?;
    match store.find_record::<CommitIntent>(&layout.commit_intent(partition)).await? {
        None => {
            // No intent names them, and no later one may move them.
            clear_staging(store, layout, partition).await?;
            Ok(Settled::Nothing)
        }
        Some(found) => {
            resume(store, layout, right, found).await.doing(|| format!("ending the interrupted commit of {partition}"))
        }
    }
}

async fn resume(
    store: &Store,
    layout: &OriginLayout,
    right: &impl Right,
    found: StoredRecord<CommitIntent>,
) -> Result<Settled> {
    let intent = &found.record;
    let partition = &intent.manifest.partition;
    abort_uploads(store, layout, intent).await?;
    let path = layout.manifest(partition);
    let base = store.get(&path).await?;
    // A damaged manifest says nothing, and is replaced.
    let now = base.as_ref().and_then(|text| Manifest::from_json(&path, text).ok());
    if now.as_ref() == Some(&intent.manifest) {
        clear_staging(store, layout, partition).await?;
        return Ok(Settled::Completed);
    }
    let (origin, stem) = (layout.name(), partition.file_stem());
    let is_superseded =
        now.is_some() && intent.base_sha256.as_ref().is_some_and(|expected| *expected != sha256(base.as_ref()));
    if is_superseded {
        tracing::warn!(
            origin,
            partition = stem,
            "an interrupted commit is discarded: another one came after its build"
        );
        clear_staging(store, layout, partition).await?;
        return Ok(Settled::Discarded);
    }
    let (mut shards, mut missing) = (BTreeMap::new(), BTreeSet::new());
    for table in TableKind::in_order_of_promotion().filter(|table| intent.moves(*table)) {
        match find_shard(store, layout, &intent.manifest, table).await? {
            Found::Staged(path) => drop(shards.insert(table, path)),
            Found::InPlace => {}
            Found::Nowhere => drop(missing.insert(table)),
        }
    }
    if missing.contains(&TableKind::Packuments) || MOVED_LAST.iter().any(|table| missing.contains(table)) {
        tracing::warn!(
            origin,
            partition = stem,
            missing = missing.len(),
            "an interrupted commit is discarded: its staged shards are lost; staged answers are kept"
        );
        clear_staging(store, layout, partition).await?;
        return Ok(Settled::Discarded);
    }
    let sources = Sources { shards, events: find_events(store, layout, intent).await? };
    if missing.is_empty() {
        tracing::info!(
            origin,
            partition = stem,
            moves = sources.shards.len(),
            "an interrupted commit is rolled forward"
        );
        let intent = intent.clone();
        roll_forward(store, layout, right, found, intent, sources, base).await?;
        return Ok(Settled::Completed);
    }
    tracing::info!(
        origin,
        partition = stem,
        missing = missing.len(),
        "staged shards of an interrupted commit are lost"
    );
    Ok(Settled::Lacking(Box::new(Lacking { found, sources, base, tables: missing })))
}

/// Ends an interrupted commit after the shards of `tables`, the missing ones among them, were staged again. `rebuilt` is
/// its manifest, with these shards.
///
/// Fails as [`super::commit`] does.
pub async fn complete(
    store: &Store,
    layout: &OriginLayout,
    right: &impl Right,
    lacking: Lacking,
    rebuilt: Manifest,
    tables: &BTreeSet<TableKind>,
) -> Result<()> {
    let Lacking { found, mut sources, base, .. } = lacking;
    let partition = rebuilt.partition.clone();
    sources.shards.extend(tables.iter().map(|table| (*table, layout.staged_shard(*table, &partition))));
    let mut intent = CommitIntent { manifest: rebuilt, ..found.record.clone() };
    if let Some(moved) = &mut intent.moved {
        let added = tables.iter().map(|table| table.as_str().to_owned());
        moved.extend(added.filter(|table| !found.record.moved.iter().flatten().any(|before| before == table)));
    }
    roll_forward(store, layout, right, found, intent, sources, base)
        .await
        .doing(|| format!("ending the interrupted commit of {partition}"))
}

/// Replaces the intent by one with new uploads, then moves the shards.
async fn roll_forward(
    store: &Store,
    layout: &OriginLayout,
    right: &impl Right,
    found: StoredRecord<CommitIntent>,
    mut intent: CommitIntent,
    sources: Sources,
    base: Option<Bytes>,
) -> Result<()> {
    let partition = intent.manifest.partition.clone();
    right.confirm().await?;
    intent.uploads = begin_uploads(store, layout, &partition, &sources, intent.events.as_ref()).await?;
    let held = if intent == found.record {
        found
    } else {
        match store.replace_record(&layout.commit_intent(&partition), &found, intent.clone()).await? {
            Some(held) => held,
            None => {
                let _ = abort_uploads(store, layout, &intent).await;
                return Err(lost_right(layout, &partition));
            }
        }
    };
    Begun { store, layout, right, held, sources, base }.finish().await
}

/// Returns where the events of an interrupted commit are; `None` if there are none, or if they have been moved.
async fn find_events(store: &Store, layout: &OriginLayout, intent: &CommitIntent) -> Result<Option<String>> {
    let partition = &intent.manifest.partition;
    let Some(events) = &intent.events else { return Ok(None) };
    // In a bucket the copy stays until the commit has ended. A drain drops what it has already.
    if store.entry(&layout.feed_file(&events.name)).await?.is_some() {
        return Ok(None);
    }
    for path in [layout.staged_events(partition), layout.kept_events(partition, &events.sha256)] {
        if store.digest(&path).await?.is_some_and(|sha256| sha256 == events.sha256) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Where the new shard of a table is.
enum Found {
    Staged(String),
    InPlace,
    Nowhere,
}

async fn find_shard(store: &Store, layout: &OriginLayout, manifest: &Manifest, table: TableKind) -> Result<Found> {
    let partition = &manifest.partition;
    let Some(meta) = manifest.shards.get(table.as_str()) else { return Ok(Found::Nowhere) };
    let staged = [
        layout.staged_shard(table, partition),
        layout.kept_shard(table, partition, &meta.sha256),
        layout.earlier_staged_shard(table, partition),
    ];
    for path in staged {
        if store.digest(&path).await?.is_some_and(|sha256| sha256 == meta.sha256) {
            return Ok(Found::Staged(path));
        }
    }
    let is_in_place = store.digest(&layout.shard(table, partition)).await?.is_some_and(|sha256| sha256 == meta.sha256);
    Ok(if is_in_place { Found::InPlace } else { Found::Nowhere })
}
