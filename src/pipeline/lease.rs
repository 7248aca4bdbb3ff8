//! Lease: the right to write an origin of a lake, held by one process at a time.
//!
//! It is a small file in the lake, put where none is and replaced only where it is still the one that was read: both
//! work on a disk and in a bucket. Its holder renews it; one that died is replaced at once where its death can be seen,
//! and elsewhere when its time has run out. Not here: what is done under it.

use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::process::{has_died, host_name, own_identity};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::lake::{LockRecord, OriginLayout};
use crate::store::Store;
use crate::version::TOOL_VERSION;

/// How long a lease holds without being renewed: it holds up nobody for long after its holder's machine died, and bears
/// clocks that differ by most of a minute.
const HOLDS_FOR_SECONDS: i64 = 60;
/// How often it is renewed: five times may fail before it lapses.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(10);
/// How often taking it is tried while others come and go. Each try fails only because another one succeeded.
const MAX_TRIES: usize = 10;

/// The right to write an origin. Give it back with [`Lease::end`].
pub struct Lease {
    watch: LeaseWatch,
    given_back: CancellationToken,
    renewal: AbortOnDropHandle<()>,
}

/// What those who work under a lease ask it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LeaseWatch {
    store: Store,
    layout: OriginLayout,
    holder: String,
    lost: CancellationToken,
}

impl Lease {
    /// Takes the lease of an origin and keeps renewing it. `purpose` is the command it is taken for.
    ///
    /// Fails with [`ErrorKind::Lake`] while another process holds it, and says which and since when.
    pub async fn take(store: &Store, layout: &OriginLayout, purpose: &str) -> Result<Lease> {
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
        Lease::hold(store, layout, record).await
    }

    async fn hold(store: &Store, layout: &OriginLayout, record: LockRecord) -> Result<Lease> {
        let held = put_record(store, layout, &record).await?;
        let lost = CancellationToken::new();
        let holder = record.holder.clone();
        let watch = LeaseWatch { store: store.clone(), layout: layout.clone(), holder, lost };
        let given_back = CancellationToken::new();
        let renewal = tokio::spawn(renew(watch.clone(), record, held, given_back.clone()));
        Ok(Lease { watch, given_back, renewal: AbortOnDropHandle::new(renewal) })
    }

    /// What those who work under the lease ask it.
    pub fn watch(&self) -> LeaseWatch {
        self.watch.clone()
    }

    /// Gives the lease back.
    pub async fn end(self) -> Result<()> {
        let LeaseWatch { store, layout, holder, .. } = self.watch;
        self.given_back.cancel();
        // The task may be inside a put, which goes on where the task is only aborted, and must not come after the deletion.
        let _ = self.renewal.await;
        match read_record(&store, &layout).await {
            Ok(Some((found, text))) if found.holder == holder => {
                store.delete_if_unchanged(&layout.lock(), &text).await.map(drop)
            }
            // Another one's, or gone, or no longer readable: nothing of ours is left to give back.
            _ => Ok(()),
        }
    }
}

impl LeaseWatch {
    /// Ends when the lease is no longer held: it could not be renewed, or was taken by another process.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Fails with [`ErrorKind::Lake`] if the lease is no longer held. To be asked before anything is changed that
    /// readers see.
    pub async fn confirm(&self) -> Result<()> {
        match read_record(&self.store, &self.layout).await? {
            Some((record, _)) if record.holder == self.holder && record.expires_at_s > now_s() => Ok(()),
            _ => Err(self.lost_error()),
        }
    }

    /// Why a run had to stop after [`LeaseWatch::lost`].
    pub fn lost_error(&self) -> Error {
        Error::lake(format!(
            "this process no longer holds the lock {} of {}",
            self.layout.lock(),
            self.store.location()
        ))
        .hint("it was deleted, or this process stood still for so long that another one took it; run the same command again")
    }
}

/// Puts `record` in the lake where nobody else holds the lease. Answers its bytes.
async fn put_record(store: &Store, layout: &OriginLayout, record: &LockRecord) -> Result<Bytes> {
    let text = to_json(record)?;
    for _ in 0..MAX_TRIES {
        if store.put_if_absent(&layout.lock(), text.clone()).await? {
            return Ok(text);
        }
        let Some((holder, found)) = read_record(store, layout).await? else { continue };
        if !is_free(&holder) {
            return Err(held_by(&holder, store, layout));
        }
        if store.replace_if_unchanged(&layout.lock(), &found, text.clone()).await? {
            return Ok(text);
        }
    }
    Err(Error::lake(format!("cannot take the lock {} of {}", layout.lock(), store.location()))
        .hint("many processes try the same at once; let one of them do it"))
}

/// Who holds the lease of an origin now; `None` where nobody does, or its holder has died.
pub(super) async fn live_holder(store: &Store, layout: &OriginLayout) -> Result<Option<LockRecord>> {
    Ok(read_record(store, layout).await?.map(|(record, _)| record).filter(|record| !is_free(record)))
}

/// Whether another process may take the place of a holder.
fn is_free(holder: &LockRecord) -> bool {
    let has_died = || holder.process_identity.as_ref().is_some_and(|identity| has_died(holder.process_id, identity));
    holder.expires_at_s <= now_s() || has_died()
}

async fn read_record(store: &Store, layout: &OriginLayout) -> Result<Option<(LockRecord, Bytes)>> {
    let path = layout.lock();
    let Some(text) = store.get(&path).await? else { return Ok(None) };
    let record = serde_json::from_slice(&text)
        .or_error(ErrorKind::Lake, || format!("{path} in {} is damaged", store.location()))
        .map_err(|error| error.hint("delete it if no other process works on this lake"))?;
    Ok(Some((record, text)))
}

/// Renews the lease until it is lost, or given back.
async fn renew(watch: LeaseWatch, mut record: LockRecord, mut held: Bytes, given_back: CancellationToken) {
    let LeaseWatch { store, layout, lost, .. } = watch;
    while given_back.run_until_cancelled(tokio::time::sleep(RENEWAL_INTERVAL)).await.is_some() {
        let lapses_at_s = record.expires_at_s;
        record.expires_at_s = now_s() + HOLDS_FOR_SECONDS;
        let Ok(text) = to_json(&record) else { continue };
        match store.replace_if_unchanged(&layout.lock(), &held, text.clone()).await {
            Ok(true) => {
                held = text;
                continue;
            }
            // A put that failed by its answer may have arrived all the same.
            Ok(false) => match read_record(&store, &layout).await {
                Ok(Some((found, text))) if found.holder == record.holder => held = text,
                _ => {
                    lost.cancel();
                    return;
                }
            },
            Err(_) => {}
        }
        record.expires_at_s = lapses_at_s;
        if now_s() >= lapses_at_s {
            lost.cancel();
            return;
        }
    }
}

fn held_by(holder: &LockRecord, store: &Store, layout: &OriginLayout) -> Error {
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
        "wait until it has ended (all-docs status says how far it is), or stop it; if its machine died, its lock lapses at {}",
        time(holder.expires_at_s)
    ))
}

fn to_json(record: &LockRecord) -> Result<Bytes> {
    let mut text = serde_json::to_vec_pretty(record)
        .or_error(ErrorKind::Internal, || "a lock cannot be spelled as JSON".to_owned())?;
    text.push(b'\n');
    Ok(text.into())
}

fn now_s() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::lake::{Layout, ProcessIdentity};

    fn record(expires_in_s: i64, process_identity: Option<ProcessIdentity>) -> LockRecord {
        let now_s = now_s();
        LockRecord {
            holder: "another".to_owned(),
            purpose: "ingest".to_owned(),
            tool_version: "0".to_owned(),
            host: "far-away".to_owned(),
            process_id: u32::MAX,
            process_identity,
            since_s: now_s - 500,
            expires_at_s: now_s + expires_in_s,
        }
    }

    /// A lock that somebody left, on another machine unless `process_identity` says otherwise.
    async fn leave(store: &Store, expires_in_s: i64, process_identity: Option<ProcessIdentity>) -> Bytes {
        let text = to_json(&record(expires_in_s, process_identity)).unwrap();
        store.put(&Layout::origin("npm").lock(), text.clone()).await.unwrap();
        text
    }

    #[tokio::test]
    async fn one_holds_it_and_the_next_is_told_who() {
        let (store, layout) = (Store::memory(), Layout::origin("npm"));
        let lease = Lease::take(&store, &layout, "ingest").await.unwrap();
        lease.watch().confirm().await.unwrap();
        let error = Lease::take(&store, &layout, "verify").await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Lake);
        let own_id = std::process::id().to_string();
        assert!(error.message().contains(&own_id) && error.message().contains("ingest"), "{error}");
        Lease::take(&store, &Layout::origin("mirror"), "ingest").await.unwrap();
        lease.end().await.unwrap();
        Lease::take(&store, &layout, "verify").await.unwrap().end().await.unwrap();
        assert_eq!(store.get(&layout.lock()).await.unwrap(), None);
    }

    #[tokio::test]
    async fn one_that_lapsed_is_taken_and_one_that_holds_is_not() {
        let (store, layout) = (Store::memory(), Layout::origin("npm"));
        leave(&store, 5, None).await;
        let error = Lease::take(&store, &layout, "ingest").await.err().unwrap();
        assert!(error.message().contains("far-away"), "{error}");
        leave(&store, 0, None).await;
        Lease::take(&store, &layout, "ingest").await.unwrap();
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn one_of_a_process_that_died_on_this_machine_is_taken_at_once() {
        let (store, layout) = (Store::memory(), Layout::origin("npm"));
        leave(&store, 60, own_identity()).await;
        Lease::take(&store, &layout, "ingest").await.unwrap();
    }

    #[tokio::test]
    async fn of_many_that_take_one_that_lapsed_one_gets_it() {
        let (store, layout) = (Store::memory(), Layout::origin("npm"));
        leave(&store, -1, None).await;
        let takers = (0..10).map(|_| Lease::take(&store, &layout, "ingest"));
        let taken: Vec<_> = futures::future::join_all(takers).await.into_iter().flatten().collect();
        assert_eq!(taken.len(), 1);
        taken[0].watch().confirm().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_renewed_and_its_loss_is_noticed() {
        let (store, layout) = (Store::memory(), Layout::origin("npm"));
        let lease = Lease::take(&store, &layout, "ingest").await.unwrap();
        let watch = lease.watch();
        tokio::time::sleep(RENEWAL_INTERVAL * 7).await;
        lease.watch().confirm().await.unwrap();
        assert!(!watch.lost.is_cancelled());
        let others = leave(&store, 60, None).await;
        watch.lost().await;
        assert_eq!(lease.watch().confirm().await.unwrap_err().kind(), ErrorKind::Lake);
        lease.end().await.unwrap();
        assert_eq!(store.get(&layout.lock()).await.unwrap(), Some(others), "the lock of another one stays");
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_fails_once_is_made_up_for() {
        use crate::store::Failure;
        let (store, layout) = (Store::memory(), Layout::origin("npm"));
        let failing = store.failing_at(2, Failure::Once);
        let lease = Lease::take(&failing, &layout, "ingest").await.unwrap();
        tokio::time::sleep(RENEWAL_INTERVAL * 3).await;
        assert!(failing.failed_at().is_some());
        lease.watch().confirm().await.unwrap();
        assert!(!lease.watch().lost.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_being_renewed_when_it_is_given_back_is_given_back() {
        use crate::store::Failure;
        let folder = tempfile::tempdir().unwrap();
        let (store, layout) = (Store::open(folder.path().to_str().unwrap()).unwrap(), Layout::origin("npm"));
        store.put(&format!("{}/before", layout.root()), "").await.unwrap();
        // Taking it has five steps; the fourth of the renewal gives it its name.
        let held = store.failing_at(9, Failure::Held);
        let lease = Lease::hold(&held, &layout, record(30, None)).await.unwrap();
        tokio::task::yield_now().await;
        tokio::time::advance(RENEWAL_INTERVAL).await;
        while held.failed_at().is_none() {
            tokio::task::yield_now().await;
        }
        let ending = tokio::spawn(lease.end());
        // One that does not wait for the renewal has read the lock by then.
        for _ in 0..300_000 {
            tokio::task::yield_now().await;
        }
        held.let_go();
        ending.await.unwrap().unwrap();
        assert_eq!(store.get(&layout.lock()).await.unwrap(), None);
    }
}
