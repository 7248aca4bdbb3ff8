//! The arrays of a lake in a bucket, by the binary: two runs at once, status, verify, repair and copy, and the operations
//! that reading them takes.

use std::process::Stdio;
use std::sync::Arc;

use all_docs::array::{Downloads, DownloadsShape, FIRST_DAY, PackageAxis, Right};
use all_docs::lake::Layout;
use all_docs::pipeline::IngestOptions;
use all_docs::sample::World;
use all_docs::store::Store;
use jiff::ToSpan;

use super::fixture::Bucket;
use super::operations::{assert_within, commanded};
use crate::doubles::proxy::Operation;
use crate::support::{Env, ORIGIN, run, stderr};

const PIVOTS: [&str; 1] = ["m"];
const NAMES: usize = 40;

/// Fails unless the array has the counts of the registry in the last ten days.
async fn assert_counts(env: &Env, store: &Store) {
    let layout = Layout::origin(ORIGIN);
    let axis = PackageAxis::read(store, &layout).await.unwrap();
    let downloads = Downloads::find(store, &layout).await.unwrap().unwrap();
    let last = downloads.last_day();
    let rows: Vec<u32> = (0..axis.rows()).collect();
    let found = downloads.read(&rows, last - 9.days()..=last).await.unwrap();
    let mut known = 0;
    for (row, cells) in rows.iter().zip(found) {
        for (ago, cell) in (0i64..).zip(cells.iter().rev()) {
            let expected = env.server.world().downloads(axis.name(*row), last - ago.days());
            if let Some(cell) = cell {
                known += 1;
                assert_eq!(Some(u64::from(*cell)), expected, "{} {ago} days before {last}", axis.name(*row));
            } else {
                assert!(expected.is_none_or(|count| count == 0), "{} {ago} days before {last}", axis.name(*row));
            }
        }
    }
    assert!(known > 5 * NAMES / 2, "{known} known cells");
}

async fn arrays_live_in_a_bucket(bucket: Bucket) {
    let env = Env::new(World::seeded(96, NAMES));
    run(IngestOptions { store: bucket.store_behind(), ..env.options(&PIVOTS) }).await.unwrap();
    // Three blocks, so that two runs have something to share. A block of usual size takes seconds in a debug build.
    let shape = DownloadsShape { shard_rows: 16, shard_days: 512, chunk_rows: 16, chunk_days: 64 };
    let right: Right = Arc::new(|| Ok(()));
    let (layout, store) = (Layout::origin(ORIGIN), bucket.store_behind());
    Downloads::open_with(&store, &layout, &PackageAxis::default(), FIRST_DAY, &right, shape).await.unwrap();
    let folder = env.folder.path();
    let origin = format!("{ORIGIN}={}", env.server.url());
    let downloads = ["downloads", "--tier", "daily=rest", "--origin", &origin];
    let mut both: Vec<_> = (0..2)
        .map(|_| bucket.command(folder, &downloads).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    for process in both.drain(..) {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    // This run asks for the counts that one of them left to the other, if they are still missing.
    commanded(&bucket, folder, 0, &downloads);
    assert_counts(&env, &store).await;
    commanded(&bucket, folder, 0, &["arrays"]);
    let (told, passed) = commanded(&bucket, folder, 0, &["status"]);
    assert!(told.contains("dependency graph") && told.contains("% of all days known"), "{told}");
    assert_within(&passed, &[(Operation::List, 5), (Operation::Get, 2 + 5 + 6)]);
    let (_, passed) = commanded(&bucket, folder, 0, &["verify", "--quick"]);
    assert_within(&passed, &[(Operation::List, 5), (Operation::Get, 2 + 6 + 6)]);
    commanded(&bucket, folder, 0, &["verify"]);

    let copy = env.folder.path().join("copy");
    let output =
        bucket.command(folder, &["copy", &bucket.lake(), copy.to_str().unwrap(), "--verify"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let local = Store::open(copy.to_str().unwrap()).unwrap();
    assert_counts(&env, &local).await;

    let path = format!("{}/downloads/c/1/8", layout.downloads());
    let mut damaged = store.get(&path).await.unwrap().unwrap().to_vec();
    damaged[40] ^= 2;
    store.put(&path, damaged).await.unwrap();
    let (told, _) = commanded(&bucket, folder, 4, &["verify"]);
    assert!(told.contains(&path), "{told}");
    commanded(&bucket, folder, 6, &["verify", "--repair"]);
    commanded(&bucket, folder, 0, &downloads);
    assert_counts(&env, &store).await;
    commanded(&bucket, folder, 0, &["verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_live_in_s3() {
    let Some(bucket) = Bucket::s3("arrays") else { return };
    arrays_live_in_a_bucket(bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_live_in_google_cloud_storage() {
    arrays_live_in_a_bucket(Bucket::gcs()).await;
}
