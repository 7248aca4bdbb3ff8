//! `copy` between a disk and buckets, by the binary.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use all_docs::pipeline::{IngestOptions, PartitionMode};
use all_docs::sample::World;
use all_docs::store::Store;
use serde_json::Value;

use super::fixture::Bucket;
use super::processes::files_below;
use crate::doubles::proxy::{Fault, Operation};
use crate::support::{Env, lake_bytes, run, stderr, stdout};

const PIVOTS: [&str; 2] = ["g", "p"];
/// The rows of a partition that is cut anew.
const ROWS: u64 = 17;

/// Runs a copy that must succeed. Returns its summary.
fn copied(command: &mut Command) -> Value {
    let output = command.args(["--json", "--quiet"]).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

/// Returns the command that copies from one place to another, of which one is in the bucket.
fn copy(bucket: &Bucket, env: &Env, from: &str, to: &str) -> Command {
    bucket.command(env.folder.path(), &["copy", from, to])
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Returns the files of a lake, except for the count of requests and the places of the feed.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            files.insert(path.strip_prefix(folder).unwrap().display().to_string(), std::fs::read(&path).unwrap());
        }
    }
    files.retain(|path, _| path != "requests.json" && !path.ends_with("/follow.json"));
    files
}

/// Returns the manifests of a lake.
fn manifests(lake: &Path) -> BTreeMap<String, Vec<u8>> {
    files(lake).into_iter().filter(|(path, _)| path.contains("/manifest/")).collect()
}

/// Fails unless two lakes have the same files with the same bytes.
fn assert_copied(from: &Path, to: &Path, what: &str) {
    let (from, to) = (files(from), files(to));
    assert_eq!(to.keys().collect::<Vec<_>>(), from.keys().collect::<Vec<_>>(), "{what}");
    for (path, bytes) in &from {
        assert!(to[path] == *bytes, "{path} differs {what}");
    }
}

async fn assert_in_bucket(bucket: &Bucket, env: &Env, what: &str) {
    let folder = tempfile::tempdir().unwrap();
    let found = bucket.download(folder.path().join("lake")).await;
    assert_copied(&env.lake(), &found, what);
    assert_eq!(bucket.begun_uploads(), Vec::<String>::new(), "{what}");
    assert_eq!(files_below(&env.folder.path().join("scratch")), 0, "{what}");
}

async fn a_lake_goes_into_a_bucket_and_back(bucket: Bucket) {
    let mut world = World::seeded(92, 60);
    world.add_odd_documents();
    let env = Env::new(world);
    let local = env.lake();
    env.ingest(&PIVOTS).await;
    let there = bucket.lake();
    let summary = copied(copy(&bucket, &env, text(&local), &there).arg("--verify"));
    assert_eq!((&summary["partitions_copied"], &summary["partitions_total"]), (&3.into(), &3.into()), "{summary}");
    assert_eq!(summary["proof"]["origins"][0]["findings"], Value::Array(Vec::new()), "{summary}");
    assert!(summary["store"]["bytes_up"].as_u64() >= summary["bytes_copied"].as_u64(), "{summary}");
    assert_in_bucket(&bucket, &env, "after a copy").await;

    let name = env.server.world().names().next().unwrap().to_owned();
    env.server.world().publish(&name, "88.0.0");
    let (before, shards_before) = (manifests(&local), files(&local));
    env.ingest(&PIVOTS).await;
    // Odd documents are asked for again.
    let changed = manifests(&local).iter().filter(|(path, bytes)| before[*path] != **bytes).count();
    let summary = copied(&mut copy(&bucket, &env, text(&local), &there));
    let expected = (&changed.into(), &(before.len() - changed).into());
    assert_eq!((&summary["partitions_copied"], &summary["partitions_current"]), expected, "{summary}");
    let is_shard = |path: &str| path.ends_with(".parquet") && !path.contains("/events/") && !path.contains("/feed/");
    let is_new = |path: &str, bytes: &Vec<u8>| is_shard(path) && shards_before.get(path) != Some(bytes);
    let new_shards = files(&local).iter().filter(|(path, bytes)| is_new(path, bytes)).count();
    assert_eq!(summary["shards_copied"], new_shards, "only shards that differ are copied");
    assert_in_bucket(&bucket, &env, "after an update").await;

    let back = env.folder.path().join("back");
    copied(&mut copy(&bucket, &env, &there, text(&back)));
    assert_copied(&local, &back, "back on the disk");
    let cut = env.folder.path().join("cut");
    copied(copy(&bucket, &env, &there, text(&cut)).args(["--partition-rows", &ROWS.to_string(), "--verify"]));
    let expected = env.folder.path().join("expected");
    let rows_per_partition = NonZeroU64::new(ROWS).unwrap();
    run(IngestOptions {
        store: Store::open(text(&expected)).unwrap(),
        partitions: PartitionMode::Derived { rows_per_partition },
        ..env.options(&PIVOTS)
    })
    .await
    .unwrap();
    assert_eq!(lake_bytes(&cut), lake_bytes(&expected));
}

fn is_put(operation: Operation) -> bool {
    matches!(operation, Operation::Put | Operation::Create | Operation::Update)
}

/// Returns whether an operation on a name is the moment of a death.
type IsMoment = fn(Operation, &str) -> bool;

/// Kills a copy at some steps, each time with its scratch folder, and runs the next one.
async fn a_killed_copy_resumes(bucket: Bucket) {
    let env = Env::new(World::seeded(93, 30));
    env.ingest(&PIVOTS).await;
    let there = bucket.lake();
    let moments: [(&str, IsMoment); 6] = [
        ("the partition set", |operation, name| is_put(operation) && name.ends_with("/partitions.json")),
        ("an intent", |operation, name| is_put(operation) && name.ends_with("/commit.json")),
        ("the first shard", |operation, name| operation == Operation::Put && name.ends_with(".parquet")),
        ("a shard in the middle", |operation, name| operation == Operation::Put && name.contains("/versions/")),
        ("a shard of docs", |operation, name| operation == Operation::Put && name.contains("/docs/")),
        ("a manifest", |operation, name| is_put(operation) && name.contains("/manifest/")),
    ];
    for (what, is_it) in moments {
        for path in bucket.names().await {
            bucket.store_behind().delete(&path).await.unwrap();
        }
        let held = bucket.proxy.hold(is_it);
        let mut command = copy(&bucket, &env, text(&env.lake()), &there);
        let mut process = command.arg("--quiet").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        while !held.has_come() {
            assert!(process.try_wait().unwrap().is_none(), "a copy ended without {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        process.kill().unwrap();
        process.wait().unwrap();
        held.let_go(Some(Fault::Reset));
        let _ = std::fs::remove_dir_all(env.folder.path().join("scratch"));
        bucket.proxy.play(|_, _| None);
        copied(copy(&bucket, &env, text(&env.lake()), &there).arg("--verify"));
        // A partition whose lost shards were made again has a manifest of its own until the next copy.
        copied(&mut copy(&bucket, &env, text(&env.lake()), &there));
        assert_in_bucket(&bucket, &env, &format!("after a death before {what}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_goes_into_s3_and_back() {
    let Some(bucket) = Bucket::s3("copy") else { return };
    a_lake_goes_into_a_bucket_and_back(bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_goes_into_google_cloud_storage_and_back() {
    a_lake_goes_into_a_bucket_and_back(Bucket::gcs()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_copy_into_s3_resumes() {
    let Some(bucket) = Bucket::s3("copy-killed") else { return };
    a_killed_copy_resumes(bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_copy_into_google_cloud_storage_resumes() {
    a_killed_copy_resumes(Bucket::gcs()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_goes_from_one_bucket_into_that_of_another_service() {
    let Some(s3) = Bucket::s3("copy-between") else { return };
    let gcs = Bucket::gcs();
    let env = Env::new(World::seeded(94, 40));
    env.ingest(&PIVOTS).await;
    copied(&mut copy(&s3, &env, text(&env.lake()), &s3.lake()));
    let mut command = copy(&gcs, &env, &s3.lake(), &gcs.lake());
    command.args(["--source-endpoint", &s3.proxy.url]);
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test").env("AWS_REGION", "us-east-1");
    let summary = copied(&mut command);
    assert!(summary["source_store"]["bytes_down"].as_u64() >= summary["bytes_copied"].as_u64(), "{summary}");
    assert_in_bucket(&gcs, &env, "in the other bucket").await;

    let same = copy(&gcs, &env, &gcs.lake(), &format!("{}/inside", gcs.lake())).output().unwrap();
    assert_eq!(same.status.code(), Some(2), "{}", stderr(&same));
    assert!(stderr(&same).contains("same place"), "{}", stderr(&same));
}
