//! Buckets that are busy, lose connections and responses, and processes that die between any two operations.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use all_docs::error::{Error, ErrorKind};
use all_docs::store::{MemoryBucket, ShardFile, Store, StoreUsage};
use bytes::Bytes;
use parquet::file::reader::ChunkReader;
use tokio::time::Instant;

use super::conformance::{PART_BYTES, conforms, noise, on_a_thread, stage};
use super::faulty::{Fault, Faulty, Operation, PASSING};

/// Every fifth operation fails for the moment.
#[tokio::test(start_paused = true)]
async fn every_promise_holds_in_bad_weather() {
    let fresh = async || {
        let script = |operation: &Operation| {
            // A thread that waits for a paused clock would wait forever, so a read only meets a failure that is not
            // waited for. An update whose response is lost may be replaced before that is found out.
            let faults: &[Fault] = match operation.kind {
                "get" => &[Fault::Reset, Fault::LostResponse],
                "update" => &[Fault::Unavailable, Fault::SlowDown, Fault::Reset, Fault::Conflict],
                "create" => &[Fault::Unavailable, Fault::SlowDown, Fault::Reset, Fault::LostResponse, Fault::Conflict],
                _ => &PASSING,
            };
            operation.number.is_multiple_of(5).then(|| faults[operation.number / 5 % faults.len()])
        };
        Faulty::new(Arc::new(MemoryBucket::new()), script).store()
    };
    conforms(fresh, 2_500).await;
}

#[tokio::test(start_paused = true)]
async fn a_put_under_a_condition_finds_out_about_a_lost_response() {
    for fault in [PASSING.as_slice(), &[Fault::Conflict]].concat() {
        let bucket = MemoryBucket::new();
        let creating = Faulty::failing(&bucket, "create", fault, 2);
        assert!(creating.store().put_if_absent("x", "1").await.unwrap(), "{fault:?}");
        let updating = Faulty::failing(&bucket, "update", fault, 2);
        let (old, new) = (Bytes::from_static(b"1"), Bytes::from_static(b"2"));
        assert!(updating.store().replace_if_unchanged("x", &old, new.clone()).await.unwrap(), "{fault:?}");
        assert_eq!(updating.store().get("x").await.unwrap().unwrap(), new);
        // The loser finds out as well, whatever it heard.
        let losing = Faulty::failing(&bucket, "create", fault, 1);
        assert!(!losing.store().put_if_absent("x", "3").await.unwrap(), "{fault:?}");
        assert_eq!(losing.store().get("x").await.unwrap().unwrap(), new);
    }
}

/// The bytes are the same, and still only one of two created the object.
#[tokio::test(start_paused = true)]
async fn of_two_that_create_the_same_bytes_one_wins_also_if_both_lose_the_response() {
    let bucket = MemoryBucket::new();
    let stores = [(); 2].map(|()| Faulty::failing(&bucket, "create", Fault::LostResponse, 1).store());
    let [first, second] = stores.each_ref().map(|store| store.put_if_absent("x", "same"));
    let won = futures::join!(first, second);
    assert_eq!(u32::from(won.0.unwrap()) + u32::from(won.1.unwrap()), 1);
}

#[tokio::test(start_paused = true)]
async fn an_upload_outlives_failures_of_the_moment() {
    let bytes = noise(PART_BYTES + 1, 1);
    for kind in ["begin", "part", "complete"] {
        for fault in PASSING {
            let bucket = MemoryBucket::new();
            let store = Faulty::failing(&bucket, kind, fault, 3).store();
            stage(&store, "s/x", &bytes).await;
            assert!(store.promote("s/x", "t/x").await.unwrap(), "{fault:?} of {kind}");
            assert!(store.get("t/x").await.unwrap().unwrap() == bytes, "{fault:?} of {kind}");
            assert_eq!(store.list("").await.unwrap(), ["t/x"]);
            // An upload whose id was lost is left to a rule of the bucket: nobody knows it.
            let lost = if (kind, fault) == ("begin", Fault::LostResponse) { 3 } else { 0 };
            assert_eq!(bucket.open_uploads(), lost, "{fault:?} of {kind}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_fails_for_good_is_aborted_and_keeps_what_is_staged() {
    let (old, new) = (noise(10, 1), noise(2 * PART_BYTES, 2));
    for kind in ["part", "complete"] {
        let bucket = MemoryBucket::new();
        let store = Faulty::failing(&bucket, kind, Fault::Unavailable, usize::MAX).store();
        store.put("t/x", old.clone()).await.unwrap();
        stage(&store, "s/x", &new).await;
        let began = Instant::now();
        let error = store.promote("s/x", "t/x").await.unwrap_err();
        assert!(error.is_of_system(), "{error:?}");
        assert!(began.elapsed() <= Duration::from_secs(61), "{:?} is too long", began.elapsed());
        assert_eq!(bucket.open_uploads(), 0);
        assert_eq!(store.get("t/x").await.unwrap().unwrap(), old);
        assert_eq!(store.list("").await.unwrap(), ["s/x", "t/x"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_operation_is_given_up_after_a_minute_and_a_check_after_ten_seconds() {
    let bucket = MemoryBucket::new();
    for kind in ["put", "create", "get", "list", "delete"] {
        let store = Faulty::failing(&bucket, kind, Fault::SlowDown, usize::MAX).store();
        // The bucket is reached once.
        match kind {
            "get" => drop(store.list("").await.unwrap()),
            _ => drop(store.get("y").await.unwrap()),
        }
        let began = Instant::now();
        let failed: Result<(), Error> = match kind {
            "put" => store.put("x", "1").await,
            "create" => store.put_if_absent("x", "1").await.map(drop),
            "get" => store.get("x").await.map(drop),
            "list" => store.list("").await.map(drop),
            _ => store.delete("x").await,
        };
        let error = failed.unwrap_err();
        assert!(error.is_of_system(), "{error:?}");
        let seconds = began.elapsed().as_secs_f64();
        assert!((40.0..=60.0).contains(&seconds), "{kind}: {seconds}");
        assert!(store.usage().retries >= 5, "{:?}", store.usage());
    }
    let store = Faulty::failing(&bucket, "list", Fault::Unavailable, usize::MAX).store();
    let began = Instant::now();
    assert!(store.check().await.is_err());
    assert!(began.elapsed() <= Duration::from_secs(10), "{:?}", began.elapsed());
    let store = Faulty::failing(&bucket, "list", Fault::Unavailable, 2).store();
    store.check().await.unwrap();
}

/// The changes of an object, by name: it is `old` or missing before, and `new` or missing afterwards.
const CHANGES: [&str; 8] = ["put", "create", "replace", "delete", "delete if", "move", "upload", "begun upload"];

fn new_bytes(change: &str) -> Bytes {
    if change.ends_with("upload") { noise(PART_BYTES + 9, 9) } else { Bytes::from_static(b"new") }
}

async fn change(store: &Store, change: &str) -> Result<(), Error> {
    let (old, new) = (Bytes::from_static(b"old"), new_bytes(change));
    match change {
        "put" => store.put("o/x", new).await,
        "create" => store.put_if_absent("o/x", new).await.map(drop),
        "replace" => store.replace_if_unchanged("o/x", &old, new).await.map(drop),
        "delete" => store.delete("o/x").await,
        "delete if" => store.delete_if_unchanged("o/x", &old).await.map(drop),
        "begun upload" => {
            let upload = store.begin_upload("s/x", "o/x").await?;
            store.promote_upload("s/x", "o/x", upload.as_ref()).await.map(drop)
        }
        _ => store.promote("s/x", "o/x").await.map(drop),
    }
}

#[tokio::test(start_paused = true)]
async fn a_death_between_any_two_operations_leaves_the_old_object_or_the_new_one() {
    for name in CHANGES {
        let (mut deaths, mut seen_old, mut seen_new) = (0, false, false);
        let old = (name != "create").then(|| Bytes::from_static(b"old"));
        let new = (!name.starts_with("delete")).then(|| new_bytes(name));
        for number in 0.. {
            let mut is_reached = false;
            for fault in [Fault::Death, Fault::DeathAfter] {
                let bucket = MemoryBucket::new();
                let living = Faulty::new(Arc::new(bucket.clone()), |_| None).store();
                if let Some(old) = &old {
                    living.put("o/x", old.clone()).await.unwrap();
                }
                let script = move |operation: &Operation| (operation.number == number).then_some(fault);
                let dying = Faulty::new(Arc::new(bucket.clone()), script);
                let store = dying.store();
                stage(&store, "s/x", &new_bytes(name)).await;
                let changed = change(&store, name).await;
                let found = living.get("o/x").await.unwrap();
                assert!(found == old || found == new, "{name}: {fault:?} at {number}: {found:?}");
                let others: Vec<String> = living.list("").await.unwrap();
                assert!(others.iter().all(|path| path == "o/x"), "{others:?}");
                if dying.seen().len() <= number {
                    changed.unwrap();
                    assert_eq!(found, new, "{name}");
                    continue;
                }
                is_reached = true;
                deaths += 1;
                assert!(changed.is_err(), "{name} ended well after a death at {number}");
                (seen_old, seen_new) = (seen_old || found == old, seen_new || found == new);
                // Whoever comes next can do the same again.
                let next = Faulty::new(Arc::new(bucket.clone()), |_| None).store();
                stage(&next, "s/x", &new_bytes(name)).await;
                change(&next, name).await.unwrap();
                assert_eq!(next.get("o/x").await.unwrap(), new, "{name}: {fault:?} at {number}");
            }
            if !is_reached {
                break;
            }
        }
        assert!(deaths >= 2 && seen_old && seen_new, "{name}: {deaths}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_operation_is_counted_with_its_bytes() {
    let bucket = MemoryBucket::new();
    let faulty = Faulty::failing(&bucket, "put", Fault::Unavailable, 1);
    let store = faulty.store();
    let old = Bytes::from_static(b"12345");
    store.put("x", old.clone()).await.unwrap();
    assert!(store.put_if_absent("y", "123").await.unwrap());
    assert!(!store.put_if_absent("y", "123").await.unwrap());
    assert!(store.replace_if_unchanged("x", &old, "1234567").await.unwrap());
    store.list("").await.unwrap();
    store.entry("y").await.unwrap();
    stage(&store, "s/z", &noise(2 * PART_BYTES + 10, 1)).await;
    assert!(store.promote("s/z", "z").await.unwrap());
    store.delete("y").await.unwrap();
    let expected = StoreUsage {
        puts: 2,
        creates: 2,
        updates: 1,
        gets: 1,
        heads: 2,
        lists: 1,
        deletes: 1,
        uploads_begun: 1,
        parts: 3,
        uploads_completed: 1,
        uploads_aborted: 0,
        retries: 1,
        bytes_up: 2 * 5 + 2 * 3 + 7 + 2 * PART_BYTES as u64 + 10,
        bytes_down: 5,
    };
    assert_eq!(store.usage(), expected);
    assert_eq!(faulty.seen().iter().filter(|operation| operation.changes()).count(), 11);
    for number in 0..1_001 {
        store.put(&format!("many/{number}"), "").await.unwrap();
    }
    let before = store.usage().lists;
    assert_eq!(store.list("many").await.unwrap().len(), 1_001);
    assert_eq!(store.usage().lists - before, 2, "two pages");
    assert_eq!(Store::open("target").unwrap().usage(), StoreUsage::default());
}

async fn open(store: &Store) -> ShardFile {
    store.open_shard("t/x").await.unwrap().unwrap()
}

#[tokio::test]
async fn a_shard_is_opened_by_one_request_and_read_in_windows_that_grow() {
    let bytes = noise(20 << 20, 1);
    let faulty = Faulty::new(Arc::new(MemoryBucket::new()), |_| None);
    let store = faulty.store();
    store.put("t/x", bytes.clone()).await.unwrap();
    let gets = || faulty.seen().iter().filter(|operation| operation.kind == "get").count();
    let file = open(&store).await;
    assert_eq!((gets(), file.size_bytes()), (1, 20 << 20));
    let (reader, expected) = (file.clone(), bytes.clone());
    on_a_thread(move || {
        let tail = (20 << 20) - (60 << 10);
        assert_eq!(reader.get_bytes(tail as u64, 60 << 10).unwrap(), expected[tail..]);
    })
    .await;
    assert_eq!(gets(), 1, "the footer came with the first request");
    let expected = bytes.clone();
    let reader = file.clone();
    on_a_thread(move || {
        // As a decoder of pages reads: a header here, and a page there.
        for start in (0..1_000_000_usize).step_by(1_000) {
            assert_eq!(reader.get_bytes(start as u64, 100).unwrap(), expected[start..start + 100]);
            assert_eq!(reader.get_bytes(start as u64 + 100, 900).unwrap(), expected[start + 100..start + 1_000]);
        }
    })
    .await;
    assert!(gets() <= 7, "{} requests for a million bytes", gets());
    let before = gets();
    assert!(super::conformance::read_all(open(&store).await).await == bytes);
    assert!(gets() - before <= 14, "{} requests for 20 MB", gets() - before);
    assert!(store.usage().bytes_down < 25 << 20, "{:?}", store.usage());
}

#[tokio::test]
async fn a_read_that_the_bucket_refuses_is_no_damage() {
    let bucket = MemoryBucket::new();
    let reads = Arc::new(AtomicUsize::new(0));
    let faulty = Faulty::new(Arc::new(bucket.clone()), {
        let reads = Arc::clone(&reads);
        move |operation| {
            let is_second = operation.kind == "get" && reads.fetch_add(1, Ordering::Relaxed) > 0;
            is_second.then_some(Fault::Death)
        }
    });
    let store = faulty.store();
    store.put("t/x", noise(1 << 20, 1)).await.unwrap();
    let file = open(&store).await;
    let error = on_a_thread(move || {
        let error = file.get_bytes(0, 10).unwrap_err();
        file.failure(|| Error::lake("it is damaged").source(error))
    })
    .await;
    assert_eq!(error.kind(), ErrorKind::Lake);
    assert!(error.is_of_system() && !error.message().contains("damaged"), "{error:?}");
}

/// Returns how long an operation on a bucket took that fails every put.
async fn time_of_put(store: &Store) -> Duration {
    let started = Instant::now();
    let error = store.put("x", "1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lake);
    started.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_fails_for_good_is_waited_for_a_minute_once_and_seconds_before_and_after() {
    let (short, long) = (Duration::from_secs(10), Duration::from_secs(30)..Duration::from_secs(61));
    let store = Faulty::failing(&MemoryBucket::new(), "put", Fault::SlowDown, usize::MAX).store();
    assert!(time_of_put(&store).await < short, "nothing was ever reached");
    assert_eq!(store.get("y").await.unwrap(), None);
    assert_eq!(store.trouble(Duration::ZERO), None, "it has responded");
    assert!(long.contains(&time_of_put(&store).await), "it may be restarting");
    assert_eq!(store.trouble(Duration::from_secs(5)).as_deref(), Some("HTTP 429"));
    assert!(time_of_put(&store).await < short, "the steps that end a run wait no minute each");

    let store = Faulty::failing(&MemoryBucket::new(), "put", Fault::Reset, usize::MAX).store();
    store.get("y").await.unwrap();
    store.hurry();
    assert!(time_of_put(&store).await < short, "the user wants to stop");
}
