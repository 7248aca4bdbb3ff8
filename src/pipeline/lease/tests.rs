//! Tests of leases: one holder, takeover, renewal, and the exclusion of partitions and whole origins.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;

use super::*;
use crate::error::ErrorKind;
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

/// Stores a lock of another process, on another machine unless `process_identity` says otherwise.
async fn leave(store: &Store, expires_in_s: i64, process_identity: Option<ProcessIdentity>) -> Bytes {
    let path = Layout::origin("npm").lock();
    store.put_record(&path, &record(expires_in_s, process_identity)).await.unwrap();
    store.get(&path).await.unwrap().unwrap()
}

#[tokio::test]
async fn one_process_holds_a_lease_and_the_next_learns_which() {
    let (store, layout) = (Store::memory(), Layout::origin("npm"));
    let lease = Lease::of_origin(&store, &layout, "ingest").await.unwrap();
    lease.watch().confirm().await.unwrap();
    let error = Lease::of_origin(&store, &layout, "verify").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Lake);
    let own_id = std::process::id().to_string();
    assert!(error.message().contains(&own_id) && error.message().contains("ingest"), "{error}");
    Lease::of_origin(&store, &Layout::origin("mirror"), "ingest").await.unwrap();
    lease.end().await.unwrap();
    Lease::of_origin(&store, &layout, "verify").await.unwrap().end().await.unwrap();
    assert_eq!(store.get(&layout.lock()).await.unwrap(), None);
}

#[tokio::test]
async fn one_that_lapsed_is_taken_and_one_that_holds_is_not() {
    let (store, layout) = (Store::memory(), Layout::origin("npm"));
    leave(&store, 5, None).await;
    let error = Lease::of_origin(&store, &layout, "ingest").await.err().unwrap();
    assert!(error.message().contains("far-away"), "{error}");
    leave(&store, 0, None).await;
    Lease::of_origin(&store, &layout, "ingest").await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn one_of_a_process_that_died_on_this_machine_is_taken_at_once() {
    let (store, layout) = (Store::memory(), Layout::origin("npm"));
    leave(&store, 60, own_identity()).await;
    Lease::of_origin(&store, &layout, "ingest").await.unwrap();
}

#[tokio::test]
async fn leases_of_the_dead_are_swept_and_those_of_the_living_and_unreadable_ones_stay() {
    let (store, layout) = (Store::memory(), Layout::origin("npm"));
    store.put_record(&layout.lease_of("a"), &record(-1, None)).await.unwrap();
    store.put_record(&layout.lease_of("b"), &record(60, None)).await.unwrap();
    store.put(&layout.lease_of("c"), "{").await.unwrap();
    sweep_leases(&store, &layout).await.unwrap();
    assert_eq!(store.list("").await.unwrap(), [layout.lease_of("b"), layout.lease_of("c")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_being_swept_is_not_taken_over_and_then_deleted() {
    use crate::store::{Failure, Step};
    let (store, layout) = (Store::memory(), Layout::origin("npm"));
    let partition = Partition { start: None, end: None };
    store.put_record(&layout.lease(&partition), &record(-1, None)).await.unwrap();
    let is_deletion =
        |reached: &crate::store::Reached| reached.step == Step::Delete && reached.path.contains("leases/");
    let held = store.failing_at_such(is_deletion, 0, Failure::Held);
    let sweep = tokio::spawn({
        let (held, layout) = (held.clone(), layout.clone());
        async move { sweep_leases(&held, &layout).await }
    });
    held.until(|| held.failed_at().is_some()).await;
    let take = || Lease::of_partition(&store, &layout, &partition, "ingest");
    let Attempt::HeldBy(holder) = take().await.unwrap() else { panic!("its new holder would lose it") };
    assert_eq!(holder.purpose, "sweep");
    held.let_go();
    sweep.await.unwrap().unwrap();
    take().await.unwrap().taken().watch().confirm().await.unwrap();
}

#[tokio::test]
async fn of_many_that_take_one_that_lapsed_one_gets_it() {
    let (store, layout) = (Store::memory(), Layout::origin("npm"));
    leave(&store, -1, None).await;
    let takers = (0..10).map(|_| Lease::of_origin(&store, &layout, "ingest"));
    let taken: Vec<_> = futures::future::join_all(takers).await.into_iter().flatten().collect();
    assert_eq!(taken.len(), 1);
    taken[0].watch().confirm().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_is_renewed_and_its_loss_is_noticed() {
    let (store, layout) = (Store::memory(), Layout::origin("npm"));
    let lease = Lease::of_origin(&store, &layout, "ingest").await.unwrap();
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
    let lease = Lease::of_origin(&failing, &layout, "ingest").await.unwrap();
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
    let lease = Lease::hold(&held, layout.lock(), record(30, None)).await.unwrap().taken();
    tokio::task::yield_now().await;
    tokio::time::advance(RENEWAL_INTERVAL).await;
    while held.failed_at().is_none() {
        tokio::task::yield_now().await;
    }
    let ending = tokio::spawn(lease.end());
    // A call that does not wait for the renewal has read the lock by then.
    for _ in 0..300_000 {
        tokio::task::yield_now().await;
    }
    held.let_go();
    ending.await.unwrap().unwrap();
    assert_eq!(store.get(&layout.lock()).await.unwrap(), None);
}

#[tokio::test]
async fn partitions_are_held_one_by_one_and_exclude_the_whole_origin() {
    let (store, layout) = (Store::memory(), Layout::origin("npm"));
    let parts =
        [Partition { start: None, end: Some("m".to_owned()) }, Partition { start: Some("m".to_owned()), end: None }];
    let take = async |part: &Partition| Lease::of_partition(&store, &layout, part, "ingest").await;
    let first = take(&parts[0]).await.unwrap().taken();
    let Attempt::HeldBy(holder) = take(&parts[0]).await.unwrap() else { panic!("it was taken twice") };
    assert_eq!(holder.holder, first.watch.holder);
    let second = take(&parts[1]).await.unwrap().taken();
    let error = Lease::of_origin(&store, &layout, "cache clear").await.err().unwrap();
    assert!(error.message().contains("another process works on npm"), "{error}");
    assert_eq!(store.get(&layout.lock()).await.unwrap(), None, "a lock that was refused is given back");
    first.end().await.unwrap();
    second.end().await.unwrap();
    assert!(live_workers(&store, &layout).await.unwrap().is_empty());

    let whole = Lease::of_origin(&store, &layout, "cache clear").await.unwrap();
    let error = take(&parts[0]).await.err().unwrap();
    assert!(error.message().contains("cache clear"), "{error}");
    assert!(store.list(&layout.leases()).await.unwrap().is_empty(), "a lease that was refused is given back");
    whole.end().await.unwrap();
}

impl Attempt {
    fn taken(self) -> Lease {
        match self {
            Attempt::Taken(lease) => lease,
            Attempt::HeldBy(holder) => panic!("{holder:?} holds it"),
        }
    }
}
