//! Arrays in a bucket, read by ranges while they are replaced.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use all_docs::array::{Counts, Downloads, DownloadsShape, FIRST_DAY, PackageAxis, Right, Rows};
use all_docs::lake::Layout;
use all_docs::store::{MemoryBucket, Store};
use bytes::Bytes;
use futures::FutureExt;
use jiff::ToSpan;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use url::Url;

use crate::store::faulty::{Faulty, Operation};

const SHARD: &str = "lake/npm/downloads.zarr/downloads/c/0/0";
const ROWS: u32 = 4_096;
const DAYS: u32 = 128;

/// Returns a count that cannot be compressed: the shard is far larger than the end of it that is read at first.
fn count(seed: u64, row: u32, day: u32) -> u64 {
    let mixed = (seed << 40 | u64::from(row) << 16 | u64::from(day)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33
}

/// Writes downloads of which every count is known.
async fn write(store: &Store, seed: u64) {
    let layout = Layout::origin("npm");
    let mut axis = PackageAxis::default();
    for row in 0..ROWS {
        axis.add(&format!("package-{row}"), FIRST_DAY);
    }
    let shape = DownloadsShape { shard_rows: ROWS.into(), shard_days: DAYS.into(), chunk_rows: 64, chunk_days: 64 };
    let right: Right = Arc::new(|| Ok(()));
    let last_day = FIRST_DAY + i64::from(DAYS - 1).days();
    let downloads = Downloads::open_with(store, &layout, &axis, last_day, &right, shape).await.unwrap();
    let mut writer = downloads.writer(&downloads.blocks()[0], &right).await.unwrap();
    for row in 0..ROWS {
        let counts = (0..DAYS).map(|day| Some(count(seed, row, day) + 1)).collect();
        writer.record(Counts { row, since: FIRST_DAY, counts }).await.unwrap();
    }
    writer.finish().await.unwrap();
}

fn store_of(bucket: &MemoryBucket) -> Store {
    Store::of_objects(Arc::new(bucket.clone()), Url::parse("memory:///lake/").unwrap(), Path::from("lake"), None)
}

/// Returns the bytes of the shard in each of two generations, and the bucket, which holds the first.
async fn generations() -> (MemoryBucket, [Bytes; 2]) {
    let (bucket, other) = (MemoryBucket::new(), MemoryBucket::new());
    write(&store_of(&bucket), 1).await;
    write(&store_of(&other), 2).await;
    let path = Path::from(SHARD);
    let mut both = Vec::new();
    for bucket in [&bucket, &other] {
        both.push(bucket.get(&path).await.unwrap().bytes().await.unwrap());
    }
    let both: [Bytes; 2] = both.try_into().unwrap();
    assert!(both[0].len() > 1 << 20 && both[0] != both[1]);
    (bucket, both)
}

/// The rows that are read: of two chunks that are too far from each other for one request.
const WANTED: [u32; 3] = [3, 5, ROWS / 4 * 3];

async fn read(store: &Store) -> all_docs::error::Result<Vec<Vec<Option<u32>>>> {
    let downloads = Downloads::find(store, &Layout::origin("npm")).await?.unwrap();
    assert_eq!(downloads.tiles(&Rows::of(WANTED), FIRST_DAY..=downloads.last_day()).len(), 1);
    downloads.read(&WANTED, FIRST_DAY..=FIRST_DAY + 9.days()).await
}

fn expected(seed: u64) -> Vec<Vec<Option<u32>>> {
    let of_row = |row| (0..10).map(|day| Some(count(seed, row, day) as u32 + 1)).collect();
    WANTED.map(of_row).to_vec()
}

#[tokio::test]
async fn only_the_wanted_parts_of_a_shard_are_fetched() {
    let (bucket, [shard, _]) = generations().await;
    let store = store_of(&bucket);
    let before = store.usage();
    assert_eq!(read(&store).await.unwrap(), expected(1));
    let after = store.usage();
    let bytes = after.bytes_down - before.bytes_down;
    assert!(bytes < shard.len() as u64 / 4, "{bytes} of {}", shard.len());
    assert_eq!(after.gets - before.gets, 4, "the group, the end of the shard, and two parts of it");
}

#[tokio::test]
async fn a_shard_that_is_replaced_between_two_of_its_parts_is_read_again_as_a_whole() {
    // The first request is for the group, and each try of the shard takes three.
    for replaced_at in 1..=4 {
        let (bucket, both) = generations().await;
        let put = Arc::new(bucket.clone());
        let (gets, new) = (AtomicUsize::new(0), both[1].clone());
        let script = move |operation: &Operation| {
            if operation.kind == "get" && gets.fetch_add(1, Ordering::SeqCst) + 1 == replaced_at {
                let payload = PutPayload::from_bytes(new.clone());
                put.put(&Path::from(SHARD), payload).now_or_never().unwrap().unwrap();
            }
            None
        };
        let faulty = Faulty::new(Arc::new(bucket), script);
        let found = read(&faulty.store()).await.unwrap();
        assert_eq!(found, expected(2), "replaced before request {replaced_at}");
        let of_shard = faulty.seen().iter().filter(|operation| operation.path == SHARD).count();
        assert_eq!(of_shard, [3, 3, 2 + 3, 3 + 3][replaced_at - 1]);
    }
}

#[tokio::test]
async fn a_shard_that_is_replaced_all_the_time_is_an_error() {
    let (bucket, both) = generations().await;
    let put = Arc::new(bucket.clone());
    let turn = Mutex::new(0);
    let script = move |operation: &Operation| {
        if operation.kind == "get" && operation.path == SHARD {
            let mut turn = turn.lock().unwrap();
            *turn += 1;
            let payload = PutPayload::from_bytes(both[*turn % 2].clone());
            put.put(&Path::from(SHARD), payload).now_or_never().unwrap().unwrap();
        }
        None
    };
    let error = read(&Faulty::new(Arc::new(bucket), script).store()).await.unwrap_err();
    assert_eq!(error.kind(), all_docs::error::ErrorKind::Lake);
    assert!(error.report().contains("replaced again and again"), "{}", error.report());
    assert!(error.hint_text().is_some());
}
