//! Lease: the right to write a partition, or all of an origin, held by one process at a time.
//!
//! A lease is a small file in the lake. It is created only if there is none, and replaced only if it is still the one
//! that was read: both work on a disk and in a bucket. Its holder renews it. The lease of a dead holder is taken over
//! at once if the death can be seen, and otherwise when it expires. Not here: the work that is done under it.
//!
//! A partition's lease and the lock of the whole origin exclude each other. Each process puts its own first and then
//! looks for the other, so of two processes at least one sees the other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::process::{has_died, host_name, own_identity};
use crate::commit::Right;
use crate::error::{Error, Result};
use crate::lake::{LockRecord, OriginLayout, Partition, PartitionSet};
use crate::store::{Store, StoredRecord};
use crate::version::TOOL_VERSION;

/// How long a lease holds without being renewed. It is short, so that a dead machine holds others up only briefly, and
/// it tolerates clocks that differ by most of a minute.
const HOLDS_FOR_SECONDS: i64 = 60;
/// How often it is renewed: five renewals may fail before it lapses.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(10);
/// How soon a partition held by another process is checked again: its lease may have been given back, or have lapsed. The
/// interval grows by a half each time, because each look at a bucket is a request.
const FIRST_LOOK_INTERVAL: Duration = Duration::from_millis(500);
const LONGEST_LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// How often taking it is tried while others take and release it. Each try fails only because another one succeeded.
const MAX_TRIES: usize = 10;

/// The right to write a partition, or all of an origin. Give it back with [`Lease::end`].
pub struct Lease {
    watch: LeaseWatch,
    given_back: CancellationToken,
    renewal: AbortOnDropHandle<()>,
}

/// Tells the code that works under a lease whether it still holds. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LeaseWatch {
    store: Store,
    path: String,
    holder: String,
    lost: CancellationToken,
    /// When it lapses, as last renewed: seconds since 1970.
    expires_at_s: Arc<AtomicI64>,
}

/// The result of an attempt to take a lease.
#[allow(clippy::large_enum_variant)]
pub enum Attempt {
    /// This process holds it now.
    Taken(Lease),
    /// Another process holds it.
    HeldBy(LockRecord),
}

impl Lease {
    /// Takes the lock of a whole origin and keeps renewing it. No other process writes any of its partitions meanwhile.
    /// `purpose` is the command that takes it.
    ///
    /// Fails with [`crate::error::ErrorKind::Lake`] while another process holds it or works on a partition; the error
    /// says which process and since when.
    pub async fn of_origin(store: &Store, layout: &OriginLayout, purpose: &str) -> Result<Lease> {
        let lease = match Lease::attempt(store, layout.lock(), purpose).await? {
            Attempt::Taken(lease) => lease,
            Attempt::HeldBy(holder) => return Err(held_by(&holder, store, layout)),
        };
        let workers = live_workers(store, layout).await;
        lease.unless(workers.map(|workers| workers.into_iter().next()), layout).await
    }

    /// Tries to take the lease of a partition, and keeps renewing it.
    ///
    /// Fails with [`crate::error::ErrorKind::Lake`] while another process holds the lock of the whole origin, and if the
    /// origin has other partitions by now. They are replaced under that lock, so they stay as long as the lease is held.
    pub async fn of_partition(
        store: &Store,
        layout: &OriginLayout,
        partition: &Partition,
        purpose: &str,
    ) -> Result<Attempt> {
        let lease = match Lease::of_stem(store, layout, &partition.file_stem(), purpose).await? {
            Attempt::Taken(lease) => lease,
            held => return Ok(held),
        };
        let error = match store.read_record::<PartitionSet>(&layout.partition_set()).await {
            Ok(set) if set.as_ref().is_none_or(|set| set.has(partition)) => return Ok(Attempt::Taken(lease)),
            Ok(_) => Error::lake(format!(
                "{} was cut into other partitions meanwhile: {partition} is none of them",
                layout.name()
            ))
            .hint("run the same command again"),
            Err(error) => error,
        };
        lease.end().await?;
        Err(error)
    }

    /// Tries to take the lease with a file stem, like that of a partition, and keeps renewing it.
    ///
    /// Fails with [`crate::error::ErrorKind::Lake`] while another process holds the lock of the whole origin.
    pub(super) async fn of_stem(store: &Store, layout: &OriginLayout, stem: &str, purpose: &str) -> Result<Attempt> {
        let lease = match Lease::attempt(store, layout.lease_of(stem), purpose).await? {
            Attempt::Taken(lease) => lease,
            held => return Ok(held),
        };
        let holder = live_holder(store, &layout.lock()).await;
        lease.unless(holder, layout).await.map(Attempt::Taken)
    }

    /// Gives the lease back if another process holds one that excludes it, or if that is not known.
    async fn unless(self, excluding: Result<Option<LockRecord>>, layout: &OriginLayout) -> Result<Lease> {
        let error = match excluding {
            Ok(None) => return Ok(self),
            Ok(Some(holder)) => held_by(&holder, &self.watch.store, layout),
            Err(error) => error,
        };
        self.end().await?;
        Err(error)
    }

    async fn attempt(store: &Store, path: String, purpose: &str) -> Result<Attempt> {
        let now_s = now_s();
        let record = LockRecord {
            holder: format!("{:032x}", fastrand::u128(..)),
            purpose: purpose.to_owned(),
            tool_version: TOOL_VERSION.to_owned(),
            host: host_name(),
            process_id: std::process::id(),
            process_identity: own_identity(),
            since_s: now_s,
            expires_at_s: now_s + HOLDS_FOR_SECONDS,
        };
        Lease::hold(store, path, record).await
    }

    async fn hold(store: &Store, path: String, record: LockRecord) -> Result<Attempt> {
        let held = match put_record(store, &path, &record).await? {
            Ok(held) => held,
            Err(holder) => return Ok(Attempt::HeldBy(holder)),
        };
        let lost = CancellationToken::new();
        let holder = record.holder.clone();
        let expires_at_s = Arc::new(AtomicI64::new(record.expires_at_s));
        let watch = LeaseWatch { store: store.clone(), path, holder, lost, expires_at_s };
        let given_back = CancellationToken::new();
        let renewal = tokio::spawn(renew(watch.clone(), held, given_back.clone()));
        Ok(Attempt::Taken(Lease { watch, given_back, renewal: AbortOnDropHandle::new(renewal) }))
    }

    /// Returns a watch, which tells whether the lease still holds.
    pub fn watch(&self) -> LeaseWatch {
        self.watch.clone()
    }

    /// Gives the lease back, and returns the result of the work under it. The first error is the one to report.
    pub async fn end_after<T>(self, worked: Result<T>) -> Result<T> {
        let ended = self.end().await;
        worked.and_then(|worked| ended.map(|()| worked))
    }

    /// Gives the lease back.
    pub async fn end(self) -> Result<()> {
        let LeaseWatch { store, path, holder, .. } = self.watch;
        self.given_back.cancel();
        // The task may be inside a put. The put goes on if the task is only aborted, and it must not come after the
        // deletion.
        let _ = self.renewal.await;
        match store.find_record::<LockRecord>(&path).await {
            // Another process may take over a lapsed lease while this one deletes it. The next sweep removes it.
            Ok(Some(found)) if found.record.holder == holder && found.record.expires_at_s > now_s() => {
                tracing::debug!(path, "a lease is given back");
                store.delete_record(&path, &found).await.map(drop)
            }
            // It is held by another process, gone, or unreadable: there is nothing to give back.
            _ => Ok(()),
        }
    }
}

impl LeaseWatch {
    /// Completes when the lease is no longer held: it could not be renewed, or another process took it.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Returns the reason why a run had to stop after [`LeaseWatch::lost`].
    pub fn lost_error(&self) -> Error {
        Error::lake(format!(
            "this process no longer holds the lock {} of {}",
            self.path,
            self.store.location()
        ))
        .hint("it was deleted, or this process stood still for so long that another one took it; run the same command again")
    }
}

/// The lease of a partition, or the lock of its origin, is the right to write it.
impl Right for LeaseWatch {
    async fn confirm(&self) -> Result<()> {
        match self.store.read_record::<LockRecord>(&self.path).await? {
            Some(record) if record.holder == self.holder && record.expires_at_s > now_s() => self.check(),
            _ => Err(self.lost_error()),
        }
    }

    fn check(&self) -> Result<()> {
        let has_lapsed = now_s() >= self.expires_at_s.load(Ordering::Relaxed);
        if self.lost.is_cancelled() || has_lapsed { Err(self.lost_error()) } else { Ok(()) }
    }
}

/// Puts `record` in the lake if no other process holds the lease. Returns the stored record, or the holder of the
/// lease.
async fn put_record(
    store: &Store,
    path: &str,
    record: &LockRecord,
) -> Result<Result<StoredRecord<LockRecord>, LockRecord>> {
    for _ in 0..MAX_TRIES {
        if let Some(held) = store.create_record(path, record.clone()).await? {
            tracing::debug!(path, purpose = record.purpose, "a lease is taken");
            return Ok(Ok(held));
        }
        let Some(found) = store.find_record::<LockRecord>(path).await? else { continue };
        let LockRecord { process_id, host, .. } = &found.record;
        if !is_free(&found.record) {
            tracing::debug!(path, process_id, host, "another process holds a lease");
            return Ok(Err(found.record));
        }
        if let Some(held) = store.replace_record(path, &found, record.clone()).await? {
            tracing::info!(path, process_id, host, "a lease is taken over: its holder died or let it lapse");
            return Ok(Ok(held));
        }
    }
    Err(Error::lake(format!("cannot take the lock {path} of {}", store.location()))
        .hint("many processes try the same at once; let one of them do it"))
}

/// Returns the holder of the lease at `path`; `None` if there is no holder, or it has died.
pub(super) async fn live_holder(store: &Store, path: &str) -> Result<Option<LockRecord>> {
    Ok(store.read_record(path).await?.filter(|record| !is_free(record)))
}

/// Returns the processes that hold a lease of a partition now. A lease that cannot be read is an error.
pub(super) async fn live_workers(store: &Store, layout: &OriginLayout) -> Result<Vec<LockRecord>> {
    let mut holders = Vec::new();
    for path in lease_paths(store, layout).await? {
        holders.extend(live_holder(store, &path).await?);
    }
    Ok(holders)
}

/// Returns the paths of partition leases, including any other object at such a path.
pub(super) async fn lease_paths(store: &Store, layout: &OriginLayout) -> Result<BTreeSet<String>> {
    let folder = layout.leases();
    let below = store.list(&folder).await?;
    let names = below.iter().filter_map(|path| path.strip_prefix(&folder)?.trim_start_matches('/').split('/').next());
    Ok(names.filter(|name| name.ends_with(".json")).map(|name| format!("{folder}/{name}")).collect())
}

/// Removes each partition lease whose holder has died. Keeps an unreadable lease: `verify` reports it.
pub(super) async fn sweep_leases(store: &Store, layout: &OriginLayout) -> Result<()> {
    for path in lease_paths(store, layout).await? {
        if let Ok(Some(found)) = store.find_record::<LockRecord>(&path).await
            && is_free(&found.record)
        {
            // A bucket compares and deletes in two steps, and another process may take the lease over in between. It does
            // not take over one that is held.
            if let Attempt::Taken(lease) = Lease::attempt(store, path.clone(), "sweep").await? {
                lease.end().await?;
                tracing::debug!(path, "the lease of a dead process is swept");
            }
        }
    }
    Ok(())
}

/// Fails while another process holds the lock of the whole origin.
pub(super) async fn refuse_locked(store: &Store, layout: &OriginLayout) -> Result<()> {
    match live_holder(store, &layout.lock()).await? {
        Some(holder) => Err(held_by(&holder, store, layout)),
        None => Ok(()),
    }
}

/// Waits until other processes release some of the partitions with these file stems, and returns the released ones.
/// Returns at once if there are none.
pub(super) async fn given_back(
    store: &Store,
    layout: &OriginLayout,
    stems: &BTreeSet<String>,
) -> Result<BTreeSet<String>> {
    let mut interval = FIRST_LOOK_INTERVAL;
    loop {
        let mut given_back = BTreeSet::new();
        for stem in stems {
            if live_holder(store, &layout.lease_of(stem)).await?.is_none() {
                given_back.insert(stem.clone());
            }
        }
        if !given_back.is_empty() || stems.is_empty() {
            return Ok(given_back);
        }
        tokio::time::sleep(interval).await;
        interval = (interval * 3 / 2).min(LONGEST_LOOK_INTERVAL);
    }
}

/// Returns whether another process may take over from a holder.
fn is_free(holder: &LockRecord) -> bool {
    let has_died = || holder.process_identity.as_ref().is_some_and(|identity| has_died(holder.process_id, identity));
    holder.expires_at_s <= now_s() || has_died()
}

/// Renews the lease until it is lost, or given back.
async fn renew(watch: LeaseWatch, mut held: StoredRecord<LockRecord>, given_back: CancellationToken) {
    let LeaseWatch { store, path, lost, expires_at_s, .. } = watch;
    while given_back.run_until_cancelled(tokio::time::sleep(RENEWAL_INTERVAL)).await.is_some() {
        let renewed = LockRecord { expires_at_s: now_s() + HOLDS_FOR_SECONDS, ..held.record.clone() };
        match store.replace_record(&path, &held, renewed).await {
            Ok(Some(renewed)) => {
                tracing::trace!(path, "a lease is renewed");
                held = renewed;
            }
            // A put whose response was lost may still have been stored.
            Ok(None) => match store.find_record::<LockRecord>(&path).await {
                Ok(Some(found)) if found.record.holder == held.record.holder => held = found,
                _ => {
                    tracing::warn!(path, "a lease is lost: another process took it, or it was deleted");
                    lost.cancel();
                    return;
                }
            },
            Err(error) => tracing::warn!(path, %error, "a lease could not be renewed"),
        }
        expires_at_s.store(held.record.expires_at_s, Ordering::Relaxed);
        if now_s() >= held.record.expires_at_s {
            tracing::warn!(path, "a lease is lost: it lapsed before it could be renewed");
            lost.cancel();
            return;
        }
    }
}

/// Returns the error for a process that needs a lock that another process holds.
pub(super) fn held_by(holder: &LockRecord, store: &Store, layout: &OriginLayout) -> Error {
    let time = |seconds| jiff::Timestamp::from_second(seconds).map_or_else(|_| "?".to_owned(), |time| time.to_string());
    Error::lake(format!(
        "another process works on {} in {}: {} of all-docs {}, process {} on {}, since {}",
        layout.name(),
        store.location(),
        holder.purpose,
        holder.tool_version,
        holder.process_id,
        holder.host,
        time(holder.since_s),
    ))
    .hint(format!(
        "wait until it has ended (all-docs status shows its progress), or stop it; if its machine died, its lock lapses at {}",
        time(holder.expires_at_s)
    ))
}

fn now_s() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[cfg(test)]
mod tests;
