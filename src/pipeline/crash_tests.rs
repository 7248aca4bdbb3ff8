//! A run that fails, or whose process dies, at each single operation that changes the store: readers never see half a
//! shard, and a rerun ends in the bytes of an undisturbed run.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::{StreamExt, stream};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{IngestOptions, IngestSummary, PartitionMode, Progress, ingest};
use crate::commit::read_manifests;
use crate::error::{ErrorKind, Result};
use crate::lake::{Layout, OriginInfo, OriginLayout, Pivots, TableKind};
use crate::registry::{Credentials, Origin, Registry, RegistryConfig};
use crate::sample::{Options, SampleServer, World};
use crate::shard::ShardReader;
use crate::store::{Failure, Store};
use crate::table::schema;

/// Runs that are tried side by side.
const AT_ONCE: usize = 3;
/// A run changes the store at least so often; fewer would mean that the failpoints are not reached.
const LEAST_OPERATIONS: u64 = 40;

fn layout() -> OriginLayout {
    Layout::origin("sample")
}

async fn run(server: &SampleServer, store: &Store, pivots: &[&str]) -> Result<IngestSummary> {
    let mut origin = Origin::parse(server.url(), None).unwrap();
    layout().name().clone_into(&mut origin.name);
    let config = RegistryConfig::for_origin(&origin);
    let options = IngestOptions {
        pivots: Some(Pivots::new(pivots.iter().map(|&key| key.to_owned()).collect()).unwrap()),
        partitions: PartitionMode::Exact,
        ..IngestOptions::new(
            store.clone(),
            Registry::new(origin, config, Credentials::default()).unwrap(),
            OriginInfo { replicate_url: "sample".to_owned(), registry_url: "sample".to_owned() },
        )
    };
    ingest(options, Arc::new(Progress::default()), CancellationToken::new()).await
}

async fn objects(store: &Store) -> BTreeMap<String, Bytes> {
    let mut objects = BTreeMap::new();
    for path in store.list("").await.unwrap() {
        let bytes = store.get(&path).await.unwrap().unwrap();
        objects.insert(path, bytes);
    }
    objects
}

async fn copy(objects: &BTreeMap<String, Bytes>) -> Store {
    let store = Store::memory();
    for (path, bytes) in objects {
        store.put(path, bytes.clone()).await.unwrap();
    }
    store
}

/// Whether the bytes of an object carry times, attempts, or counts of requests.
fn carries_times(path: &str) -> bool {
    ["/manifest/", "/outcomes/", Layout::INFO, Layout::REQUESTS].iter().any(|part| path.contains(part))
}

/// The rows of `outcomes` without attempts and times.
async fn outcomes(store: &Store) -> Vec<RecordBatch> {
    let mut rows = Vec::new();
    for path in store.list(&layout().table(TableKind::Outcomes)).await.unwrap() {
        let file = store.open_shard(&path).await.unwrap().unwrap();
        let schema = schema(TableKind::Outcomes);
        let kept: Vec<usize> = (0..schema.fields().len())
            .filter(|&index| !["attempts", "fetched_at"].contains(&schema.field(index).name().as_str()))
            .collect();
        let reader = ShardReader::open(TableKind::Outcomes, file, &schema).unwrap();
        rows.extend(reader.map(|batch| batch.unwrap().project(&kept).unwrap()));
    }
    rows
}

async fn assert_same(store: &Store, quiet: &Store, after: &str) {
    let (ours, theirs) = (objects(store).await, objects(quiet).await);
    let names = |objects: &BTreeMap<String, Bytes>| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs), "after a failure at {after}");
    for (path, bytes) in &ours {
        assert!(carries_times(path) || *bytes == theirs[path], "{path} differs after a failure at {after}");
    }
    assert_eq!(outcomes(store).await, outcomes(quiet).await, "after a failure at {after}");
}

/// What holds at any moment: a shard of a table is wholly that of one of two lakes, and a manifest's shards are those
/// that it names, unless it is still the old one of a commit that is to be rolled forward.
async fn assert_nothing_half(store: &Store, lakes: [&BTreeMap<String, Bytes>; 2], after: &str) {
    let now = objects(store).await;
    for (path, bytes) in now.iter().filter(|(path, _)| path.ends_with(".parquet") && !path.contains("/staging/")) {
        let is_whole = lakes.iter().any(|lake| lake.get(path) == Some(bytes)) || carries_times(path);
        assert!(is_whole, "{path} is neither the old nor the new shard after a failure at {after}");
    }
    for manifest in read_manifests(store, &layout()).await.unwrap() {
        let path = layout().manifest(&manifest.partition);
        let is_old = lakes[0].get(&path) == now.get(&path);
        if is_old && now.contains_key(&layout().commit_intent(&manifest.partition)) {
            continue;
        }
        for (table, meta) in &manifest.shards {
            let path = layout().shard(TableKind::parse(table).unwrap(), &manifest.partition);
            let digest = format!("{:x}", Sha256::digest(&now[&path]));
            assert_eq!(digest, meta.sha256, "{path} is not as its manifest says after a failure at {after}");
        }
    }
}

/// Fails the run from `before` at each operation in turn, and runs again after each.
async fn fail_everywhere(server: &SampleServer, pivots: &[&str], before: &BTreeMap<String, Bytes>, failure: Failure) {
    let quiet = copy(before).await;
    run(server, &quiet, pivots).await.unwrap();
    let after = objects(&quiet).await;
    let tries = (1..).map(|at| {
        let (quiet, after) = (&quiet, &after);
        async move {
            let store = copy(before).await;
            let failing = store.failing_at(at, failure);
            let first = run(server, &failing, pivots).await;
            let path = failing.failed_at()?;
            if let Err(error) = &first {
                assert_eq!(error.kind(), ErrorKind::Lake, "{error:?}");
            }
            assert!(first.is_err() || failure == Failure::Once, "a run whose store is gone cannot end well");
            if failure == Failure::FullDisk {
                let report = first.unwrap_err().report();
                assert!(report.contains("space"), "{report}");
            }
            assert_nothing_half(&store, [before, after], &path).await;
            // The lock of a dead process is taken over by another one; here both are one process.
            store.delete(&layout().lock()).await.unwrap();
            run(server, &store, pivots).await.unwrap();
            assert_same(&store, quiet, &path).await;
            Some(())
        }
    });
    let operations =
        stream::iter(tries).buffered(AT_ONCE).take_while(|reached| std::future::ready(reached.is_some())).count().await
            as u64;
    assert!(operations >= LEAST_OPERATIONS, "only {operations} operations were made to fail");
}

fn server() -> SampleServer {
    SampleServer::start(World::seeded(31, 8), Options::default()).unwrap()
}

/// A lake that was ingested before its registry changed.
async fn lake_to_update(server: &SampleServer, pivots: &[&str]) -> BTreeMap<String, Bytes> {
    let store = Store::memory();
    run(server, &store, pivots).await.unwrap();
    let names: Vec<String> = server.world().names().map(str::to_owned).collect();
    for name in [&names[0], &names[names.len() - 1]] {
        server.world().publish(name, "77.0.0");
    }
    server.world().delete(&names[3]);
    server.world().publish("zz-new", "1.0.0");
    objects(&store).await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_death_at_any_step_of_a_first_ingest_a_rerun_ends_in_the_same_bytes() {
    fail_everywhere(&server(), &[], &BTreeMap::new(), Failure::Death).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_death_at_any_step_of_an_update_a_rerun_ends_in_the_same_bytes() {
    let (server, pivots) = (server(), ["m"]);
    let before = lake_to_update(&server, &pivots).await;
    fail_everywhere(&server, &pivots, &before, Failure::Death).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_once_at_any_step_leaves_nothing_half_written() {
    let server = server();
    let before = lake_to_update(&server, &[]).await;
    fail_everywhere(&server, &[], &before, Failure::Once).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_from_any_step_on_is_a_clear_error_and_leaves_nothing_half_written() {
    fail_everywhere(&server(), &[], &BTreeMap::new(), Failure::FullDisk).await;
}
