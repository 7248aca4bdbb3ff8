//! Changes of the record of the overlay. Each replaces the whole record only if no other process has changed it meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;

use sha2::{Digest, Sha256};

use super::view::OverlayView;
use crate::error::{Error, Result};
use crate::lake::{Delta, Manifest, OriginLayout, Overlay, Partition, PartitionSet, Record};
use crate::store::Store;
use crate::table::TableKind;

/// The stem of the writer's lease, and the command for which it and leases of partitions are taken.
pub(super) const WRITER: &str = "follow";
/// The most tries to replace the record while others replace it.
const MAX_TRIES: usize = 100;

/// The end of an attempt to put a delta on record.
pub(super) enum Recording {
    Done(Box<Manifest>),
    /// Another process has changed the same names. The delta is to be built again.
    Outdated,
    /// Another process is changing the same names.
    Busy,
}

/// Returns the entry of a committed delta in the record. `oldest_at_us` is when the oldest of its rows was committed.
pub(super) fn delta_of(manifest: &Manifest, (first, last): (u64, u64), oldest_at_us: i64) -> Result<Delta> {
    Ok(Delta {
        first,
        last,
        manifest_sha256: format!("{:x}", Sha256::digest(manifest.to_json()?)),
        names: manifest.rows(TableKind::Docs) + manifest.removed.len() as u64,
        size_bytes: manifest.shards.values().map(|shard| shard.size_bytes).sum(),
        oldest_at_us,
    })
}

/// Makes the record of an origin without one. A writer does so before its first delta: without a record, deltas have lost it.
pub(super) async fn create(store: &Store, layout: &OriginLayout) -> Result<()> {
    store.create_record(&layout.overlay(), Overlay::empty()).await.map(drop)
}

/// Adds the delta of the next commit. It counts from then on. Returns false, and adds nothing, if a commit of the base has
/// begun since `before` in one of the partitions with these file stems.
///
/// Fails with [`crate::error::ErrorKind::Lake`] if another process has added one of the same number.
pub(super) async fn add(
    store: &Store,
    layout: &OriginLayout,
    delta: &Delta,
    before: &Overlay,
    stems: &BTreeSet<String>,
) -> Result<bool> {
    let is_next = |record: &Overlay| record.newest + 1 == delta.first;
    let add = |record: &mut Overlay| {
        let are_same = stems.iter().all(|stem| record.base_commits.get(stem) == before.base_commits.get(stem));
        if is_next(record) && are_same {
            record.newest = delta.last;
            record.deltas.push(delta.clone());
        }
    };
    let now = store.update_record(&layout.overlay(), || ready(Ok(Overlay::empty())), add).await?;
    match now.deltas.contains(delta) {
        false if !is_next(&now) => {
            Err(Error::lake(format!("another process has written the overlay of {} meanwhile", layout.name())).hint(
                "this process stood still for so long that another one took its place; run the same command again",
            ))
        }
        is_added => Ok(is_added),
    }
}

/// Takes the number of the next commit, as for a commit without changes. Returns the record.
pub(super) async fn skip_number(store: &Store, layout: &OriginLayout) -> Result<Overlay> {
    store.update_record(&layout.overlay(), || ready(Ok(Overlay::empty())), |record| record.newest += 1).await
}

/// Notes that a commit of the base shards of a partition has begun: its intent is there. Returns false if there is no overlay.
///
/// The writer of the overlay reads the record first, then looks for intents and manifests of the base, and then adds its
/// delta, if nothing was noted since. So of two commits that change the same names, the later one sees the earlier one.
pub(in crate::pipeline) async fn note_base_commit(store: &Store, layout: &OriginLayout, stem: &str) -> Result<bool> {
    let path = layout.overlay();
    for _ in 0..MAX_TRIES {
        let Some(found) = store.find_record::<Overlay>(&path).await? else { return Ok(false) };
        let mut record = found.record.clone();
        *record.base_commits.entry(stem.to_owned()).or_default() += 1;
        if store.replace_record(&path, &found, record).await?.is_some() {
            return Ok(true);
        }
    }
    Err(Error::lake(format!("cannot write {path}"))
        .hint("other processes write it all the time; run the same command again"))
}

/// Notes that a partition has taken over all deltas up to the number `newest`. Returns false if one of the deltas that it
/// took over is part of a larger one by now, which reaches beyond `newest`: then it has to be taken over again.
pub(super) async fn note_folded(store: &Store, layout: &OriginLayout, stem: &str, newest: u64) -> Result<bool> {
    let straddles = |record: &Overlay| record.deltas.iter().any(|delta| delta.first <= newest && newest < delta.last);
    let note = |record: &mut Overlay| {
        let folded = record.folded.get(stem).copied().unwrap_or_default();
        if !straddles(record) && !record.deltas.is_empty() {
            record.folded.insert(stem.to_owned(), folded.max(newest));
        }
    };
    let now = store.update_record(&layout.overlay(), || ready(Ok(Overlay::empty())), note).await?;
    Ok(!straddles(&now))
}

/// Replaces `sources`, which stand together, by the delta that was made of them as of `before`. Returns false, and changes
/// nothing, if the record names them no longer, or if a partition has taken one over meanwhile.
pub(super) async fn replace(
    store: &Store,
    layout: &OriginLayout,
    before: &Overlay,
    sources: &[Delta],
    merged: &Delta,
) -> Result<bool> {
    let path = layout.overlay();
    for _ in 0..MAX_TRIES {
        let Some(found) = store.find_record::<Overlay>(&path).await? else { return Ok(false) };
        let mut record = found.record.clone();
        let at = record.deltas.windows(sources.len().max(1)).position(|deltas| deltas == sources);
        let Some(at) = at.filter(|_| counts_alike(before, &record, sources)) else { return Ok(false) };
        record.deltas.splice(at..at + sources.len(), [merged.clone()]);
        if store.replace_record(&path, &found, record).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns whether the same of `deltas` count for each partition in two records.
fn counts_alike(one: &Overlay, other: &Overlay, deltas: &[Delta]) -> bool {
    let mut stems = one.folded.keys().chain(other.folded.keys());
    stems.all(|stem| deltas.iter().all(|delta| one.counts_for(delta, stem) == other.counts_for(delta, stem)))
}

/// Takes the deltas out of the record that no partition of `set` needs any more, and deletes their folders. Returns how
/// many.
pub(in crate::pipeline) async fn trim(
    store: &Store,
    layout: &OriginLayout,
    set: &PartitionSet,
    view: &OverlayView,
) -> Result<usize> {
    let mut is_needed: BTreeMap<u64, bool> = BTreeMap::new();
    for held in &view.deltas {
        let needs = |partition: Partition| {
            view.record.counts_for(&held.delta, &partition.file_stem()) && held.names_in(&partition).next().is_some()
        };
        is_needed.insert(held.delta.last, set.iter().any(needs));
    }
    let unneeded: Vec<Delta> =
        view.record.deltas.iter().filter(|delta| is_needed.get(&delta.last) == Some(&false)).cloned().collect();
    if unneeded.is_empty() {
        return Ok(0);
    }
    for delta in &unneeded {
        release_events(store, &delta.layout(layout)).await?;
    }
    let drop = |record: &mut Overlay| {
        record.deltas.retain(|delta| !unneeded.contains(delta));
        let deltas = &record.deltas;
        record.folded.retain(|_, folded| deltas.iter().any(|delta| delta.last <= *folded));
    };
    store.update_record(&layout.overlay(), || ready(Ok(Overlay::empty())), drop).await?;
    for delta in &unneeded {
        store.delete_folder(delta.layout(layout).root()).await?;
    }
    Ok(unneeded.len())
}

/// Moves the events of a delta that is on record into the feed of its origin. If a process died before it did so, the next one
/// does.
pub(super) async fn release_events(store: &Store, own: &OriginLayout) -> Result<()> {
    let feed = own.whole_origin().feed();
    for path in store.list(&own.feed()).await? {
        if let Some((_, file)) = path.rsplit_once('/') {
            store.promote(&path, &format!("{feed}/{file}")).await?;
        }
    }
    Ok(())
}
