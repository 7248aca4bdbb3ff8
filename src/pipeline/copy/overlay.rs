//! Copies an origin with its overlay: deltas first, then the partitions, then the record.
//!
//! A base shard may be newer than the record: it then has the same rows as the deltas that it has taken over. So the record
//! that was read before the partitions is true of them. If a partition took deltas over while it was copied, and may have
//! changed after that, everything is compared again.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::ends::Ends;
use super::partition::{Ended, PURPOSE, Work};
use super::summary::{CopyOptions, CopySummary};
use super::{Sets, copy_partition, copy_tables};
use crate::commit::Right;
use crate::error::{Doing, Error, Result};
use crate::lake::{Delta, OriginLayout, Overlay, Record};
use crate::pipeline::lease::{Lease, LeaseWatch};
use crate::pipeline::overlay::{refuse_lost_record, writer_lease};

/// How often everything is compared again because partitions were folded meanwhile.
const MAX_COPIES: usize = 20;

/// Copies the tables of an origin, and its overlay.
pub(super) async fn copy_with_overlay(
    ends: &Ends,
    sets: &Sets,
    options: &CopyOptions,
    summary: &mut CopySummary,
    writer: Option<&LeaseWatch>,
) -> Result<()> {
    let path = ends.layout.overlay();
    let read = async || ends.from.read_record::<Overlay>(&path).await;
    let mut is_again = false;
    for _ in 0..MAX_COPIES {
        let before = read().await?;
        if before.is_none() && !is_again {
            refuse_lost_record(&ends.layout, &ends.from.list(&ends.layout.overlay_folder()).await?)?;
        }
        let deltas = before.as_ref().map_or(&[][..], |record| record.deltas.as_slice());
        if !deltas.is_empty() {
            // Deltas without a record count as damage.
            if ends.to.create_record(&path, Overlay::empty()).await?.is_none()
                && let Some(held) = ends.to.read_record::<Overlay>(&path).await?
                && held.deltas.iter().any(|own| is_other(own, deltas))
            {
                // The copy was followed. Its own deltas have the folders of these.
                put_record(ends, Some(&Overlay::empty()), writer).await?;
            }
        }
        if !copy_deltas(ends, deltas, summary).await? {
            // A delta vanished: it was merged, or folded.
            continue;
        }
        let mut counted = CopySummary::default();
        copy_tables(ends, sets, options, &mut counted).await?;
        add(summary, counted, is_again);
        is_again = true;
        if ends.stop.is_cancelled() {
            return Ok(());
        }
        let now = read().await?.unwrap_or_else(Overlay::empty);
        let is_true_yet = match &before {
            Some(before) => before.holds_until(&now, |_| true),
            None => now.folded.is_empty(),
        };
        if is_true_yet && put_record(ends, before.as_ref(), writer).await? {
            return Ok(());
        }
    }
    Err(replaced_all_the_time(ends))
}

/// Makes the error of a copy of an overlay that other processes fold or merge all the time.
pub(super) fn replaced_all_the_time(ends: &Ends) -> Error {
    Error::lake(format!("the overlay of {} was changed again and again while it was copied", ends.layout.name()))
        .hint("run the same command again: what is copied is not copied again")
}

/// Takes the lease of the writer of the copy's overlay, if the copy has an overlay or is to have one, or was followed. A follower
/// that began while its partitions are replaced would miss changes.
pub(super) async fn writer_if_needed(ends: &Ends, options: &CopyOptions) -> Result<Option<Lease>> {
    let (to, layout) = (&ends.to, &ends.layout);
    let of_source = ends.from.read_record::<Overlay>(&layout.overlay()).await?;
    let brings_deltas = !options.is_cut() && of_source.is_some_and(|record| !record.deltas.is_empty());
    let is_needed =
        brings_deltas || to.entry(&layout.overlay()).await?.is_some() || to.entry(&layout.follow()).await?.is_some();
    match is_needed {
        true => writer_lease(to, layout, PURPOSE, &ends.stop).await.map(Some),
        false => Ok(None),
    }
}

/// Returns whether a delta has the folder of one of `others`, and other contents.
fn is_other(delta: &Delta, others: &[Delta]) -> bool {
    let same = |other: &&Delta| (other.first, other.last) == (delta.first, delta.last);
    others.iter().find(same).is_some_and(|other| other.manifest_sha256 != delta.manifest_sha256)
}

/// Adds the counts of a copy. Partitions that were copied before are not counted twice.
fn add(summary: &mut CopySummary, counted: CopySummary, is_again: bool) {
    let CopySummary { partitions_total, partitions_copied, partitions_current, partitions_removed, .. } = counted;
    summary.partitions_copied += partitions_copied;
    summary.partitions_removed += partitions_removed;
    summary.shards_copied += counted.shards_copied;
    summary.bytes_copied += counted.bytes_copied;
    if !is_again {
        summary.partitions_total += partitions_total;
        summary.partitions_current += partitions_current;
    }
}

/// Copies the deltas that the copy does not have. Returns false if one of them is gone.
async fn copy_deltas(ends: &Ends, deltas: &[Delta], summary: &mut CopySummary) -> Result<bool> {
    for delta in deltas {
        let own = ends.of_delta(delta);
        let work = Work { partition: Delta::PARTITION, present: BTreeSet::new() };
        let is_there = async |store: &crate::store::Store| store.get(&own.layout.manifest(&Delta::PARTITION)).await;
        let (wanted, held) = (is_there(&ends.from).await?, is_there(&ends.to).await?);
        if wanted.is_none() {
            return Ok(false);
        }
        if wanted == held {
            continue;
        }
        match Box::pin(copy_partition(&own, work)).await? {
            Ended::Copied { shards, bytes } => {
                summary.shards_copied += shards;
                summary.bytes_copied += bytes;
            }
            Ended::Current => {}
            Ended::Removed => return Ok(false),
            Ended::Held(_) => {
                return Err(Error::lake(format!("another process copies the overlay of {}", ends.layout.name()))
                    .hint("run the same command again when it has ended"));
            }
        }
    }
    Ok(true)
}

/// Puts the record into the copy, or removes it there, and deletes the deltas that it does not name. Returns false, and puts no
/// record, if the copy has not all of its deltas.
///
/// Fails with [`crate::error::ErrorKind::Lake`] while the copy is followed.
pub(super) async fn put_record(ends: &Ends, record: Option<&Overlay>, writer: Option<&LeaseWatch>) -> Result<bool> {
    let replacing = async {
        let (to, layout) = (&ends.to, &ends.layout);
        let is_current = to.get(&layout.overlay()).await? == record.map(Overlay::to_json).transpose()?.map(Into::into);
        if is_current && other_deltas(ends, record).await?.is_empty() {
            return Ok(true);
        }
        if let Some(writer) = writer {
            return replace(ends, record, writer).await;
        }
        let lease = writer_lease(to, layout, PURPOSE, &ends.stop).await?;
        let replaced = replace(ends, record, &lease.watch()).await;
        lease.end_after(replaced).await
    };
    replacing.await.doing(|| format!("replacing the overlay of {}", ends.to.location()))
}

/// The same under the lease of the writer of the overlay. No reader meets deltas without a record.
async fn replace(ends: &Ends, record: Option<&Overlay>, writer: &LeaseWatch) -> Result<bool> {
    let (to, layout) = (&ends.to, &ends.layout);
    for delta in record.into_iter().flat_map(|record| &record.deltas) {
        let manifest = to.get(&delta.layout(layout).manifest(&Delta::PARTITION)).await?;
        if manifest.is_none_or(|text| format!("{:x}", Sha256::digest(&text)) != delta.manifest_sha256) {
            return Ok(false);
        }
    }
    writer.confirm().await?;
    // The places of the feed there belong to other contents.
    to.delete(&layout.follow()).await?;
    if record.is_some() || to.entry(&layout.overlay()).await?.is_some() {
        to.put_record(&layout.overlay(), record.unwrap_or(&Overlay::empty())).await?;
    }
    for own in other_deltas(ends, record).await? {
        to.delete_folder(own.root()).await?;
    }
    if record.is_none() {
        to.delete(&layout.overlay()).await?;
    }
    Ok(true)
}

/// Returns the deltas in the copy that a record does not name.
async fn other_deltas(ends: &Ends, record: Option<&Overlay>) -> Result<Vec<OriginLayout>> {
    let layout = &ends.layout;
    let deltas = record.into_iter().flat_map(|record| &record.deltas);
    let mut known: BTreeSet<String> = deltas.map(|delta| delta.layout(layout).root().to_owned()).collect();
    let paths = ends.to.list(&layout.overlay_folder()).await?;
    let found = paths.into_iter().filter_map(|path| layout.delta_at(&path));
    Ok(found.filter(|own| known.insert(own.root().to_owned())).collect())
}
