//! An ingest into a bucket through the library: the same bytes as on a disk, also in bad weather.

use all_docs::pipeline::IngestOptions;
use all_docs::sample::World;

use super::fixture::Bucket;
use crate::support::{Env, assert_same_lake, run};

const PIVOTS: [&str; 2] = ["g", "p"];

/// Returns the options of an ingest into a bucket.
fn options(env: &Env, bucket: &Bucket) -> IngestOptions {
    IngestOptions { store: bucket.store(), ..env.options(&PIVOTS) }
}

/// An ingest, and an update after some documents have changed, end in the bytes of the same on a disk. With `is_bad`,
/// one request in twenty fails.
async fn ends_in_the_bytes_of_a_disk(bucket: Bucket, is_bad: bool) {
    let mut world = World::seeded(81, 120);
    world.add_odd_documents();
    let env = Env::new(world);
    for round in 0..2 {
        if is_bad {
            bucket.proxy.fail_some(0.05, 81 + round);
        }
        let summary = run(options(&env, &bucket)).await.unwrap();
        bucket.proxy.play(|_, _| None);
        let on_disk = run(env.options(&PIVOTS)).await.unwrap();
        assert_eq!(summary.counts.packuments_done, on_disk.counts.packuments_done);
        let copy = bucket.download(env.folder.path().join(format!("copy-{round}"))).await;
        assert_same_lake(&copy, &env.lake());
        let names: Vec<String> = env.server.world().names().map(str::to_owned).collect();
        env.server.world().publish(&names[7], "88.0.0");
        env.server.world().delete(&names[9]);
    }
    assert_eq!(bucket.begun_uploads(), Vec::<String>::new());
    let passed = bucket.proxy.take_passed();
    let failed = passed.iter().filter(|passed| passed.fault.is_some()).count();
    assert_eq!(failed > 0, is_bad, "{failed} of {} requests failed", passed.len());
    eprintln!("{failed} of {} requests failed", passed.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_on_s3_has_the_bytes_of_one_on_a_disk() {
    let Some(bucket) = Bucket::s3("lake") else { return };
    ends_in_the_bytes_of_a_disk(bucket, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_on_google_cloud_storage_has_the_bytes_of_one_on_a_disk() {
    ends_in_the_bytes_of_a_disk(Bucket::gcs(), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_weather_on_s3_leaves_no_trace() {
    let Some(bucket) = Bucket::s3("weather") else { return };
    ends_in_the_bytes_of_a_disk(bucket, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_weather_on_google_cloud_storage_leaves_no_trace() {
    ends_in_the_bytes_of_a_disk(Bucket::gcs(), true).await;
}
