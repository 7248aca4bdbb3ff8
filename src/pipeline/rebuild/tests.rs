//! Tests a rebuild that fails, or whose process dies, before each step that changes the store, and one that is stopped:
//! readers never see half a shard, and a rerun ends in the bytes of an undisturbed run.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{RebuildOptions, RebuildSummary, rebuild};
use crate::commit::read_manifests;
use crate::error::{ErrorKind, Result};
use crate::lake::Layout;
use crate::pipeline::crash_tests::steps::{assert_tried, last_of_each_kind, telling};
use crate::pipeline::crash_tests::{Backend, Lake, assert_nothing_half, assert_same, forget_dead_process, layout, run};
use crate::sample::{Options, SampleServer, World};
use crate::store::{Failure, Reached, Step, Store};
use crate::table::TableKind;

/// Runs that are tried at the same time.
const AT_ONCE: usize = 3;

/// Returns a lake of a few partitions that an earlier version wrote, according to its manifests.
async fn old_lake(pivots: &[&str]) -> BTreeMap<String, Bytes> {
    let mut world = World::seeded(31, 3);
    world.add_names(["a", "b", "small", "tiny", "z"]);
    let server = SampleServer::start(world, Options::default()).unwrap();
    let store = Store::memory();
    run(&server, &store, pivots).await.unwrap();
    let mut lake = store.contents().await;
    let page = r#"{"format_version": 1, "tool_version": "0", "default_origin": "sample", "origins": {"sample": {"replicate_url": "sample", "registry_url": "sample"}}}"#;
    lake.insert(Layout::INFO.to_owned(), Bytes::from_static(page.as_bytes()));
    lake.retain(|path, _| !path.contains("/contributors/"));
    for manifest in read_manifests(&store, &layout()).await.unwrap() {
        let path = layout().manifest(&manifest.partition);
        let mut manifest = serde_json::to_value(manifest).unwrap();
        manifest["format_version"] = 1.into();
        let shards = manifest["shards"].as_object_mut().unwrap();
        shards.remove("contributors");
        for shard in shards.values_mut() {
            for member in ["schema_version", "tool_version"] {
                shard.as_object_mut().unwrap().remove(member);
            }
        }
        lake.insert(path, serde_json::to_vec(&manifest).unwrap().into());
    }
    lake
}

async fn rebuilt(store: &Store, stop: &CancellationToken) -> Result<RebuildSummary> {
    rebuild(store, &RebuildOptions::default(), Arc::default(), stop.clone()).await
}

/// Rebuilds without a failure. Returns the lake and the steps on the way.
async fn in_peace(place: Backend, before: &BTreeMap<String, Bytes>) -> (Lake, Vec<Reached>) {
    let quiet = place.lake(before).await;
    let summary = rebuilt(&quiet.store, &CancellationToken::new()).await.unwrap();
    assert_eq!(summary.partitions_rebuilt, summary.partitions_total);
    let steps = quiet.store.take_reached();
    (quiet, steps)
}

/// Fails a rebuild at each of `steps`, each in a separate lake. Returns the steps that were reached.
async fn fail_at(
    steps: Vec<Reached>,
    place: Backend,
    failure: Failure,
    keeps_scratch: bool,
    before: &BTreeMap<String, Bytes>,
    quiet: &Store,
) -> Vec<Reached> {
    let tries = steps.into_iter().map(async |step| {
        let lake = place.lake(before).await;
        let failing = lake.store.failing_before(&step, failure);
        let first = rebuilt(&failing, &CancellationToken::new()).await;
        let reached = failing.failed_at()?;
        let after = reached.to_string();
        match first {
            Ok(_) => assert!(failure != Failure::Death, "a run cannot end well after its death before {after}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Lake, "{error:?}"),
        }
        let store = lake.next_store(keeps_scratch);
        assert_nothing_half(&store, [before, &quiet.contents().await], &after).await;
        forget_dead_process(&store).await;
        rebuilt(&store, &CancellationToken::new()).await.unwrap();
        assert_same(&store, quiet, &after).await;
        lake.assert_no_uploads(&after);
        Some(reached)
    });
    stream::iter(tries).buffered(AT_ONCE).filter_map(std::future::ready).collect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_death_at_any_step_a_rerun_ends_in_the_same_bytes() {
    let before = old_lake(&["m"]).await;
    let (quiet, steps) = in_peace(Backend::Memory, &before).await;
    assert_eq!(steps[0].path, Layout::INFO, "the lake metadata is raised before anything else is written");
    let put =
        ["sample/staging/partition/commit.json", "sample/table/partition.parquet", "sample/manifest/partition.json"];
    let in_bucket =
        [&put.map(|kind| (Step::Put, kind))[..], &[(Step::Delete, "sample/leases/partition.json")]].concat();
    let in_scratch = [(Step::SyncFile, "sample/staging/partition/table.staged")];
    for keeps_scratch in [true, false] {
        let steps = telling(&steps, keeps_scratch);
        let tried = fail_at(steps, Backend::Memory, Failure::Death, keeps_scratch, &before, &quiet.store).await;
        assert_tried(&tried, 45, &in_bucket);
        assert_tried(&tried, 45, if keeps_scratch { &in_scratch } else { &[] });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failure_at_any_kind_of_step_on_a_disk_a_rerun_ends_in_the_same_bytes() {
    let before = old_lake(&["m"]).await;
    let (quiet, steps) = in_peace(Backend::Disk, &before).await;
    let kinds = last_of_each_kind(&steps);
    let staged = "sample/staging/partition/table.staged";
    let expected = [(Step::Write, staged), (Step::SyncFile, staged), (Step::Rename, "sample/table/partition.parquet")];
    for failure in [Failure::Death, Failure::Once, Failure::FullDisk] {
        let steps = kinds.iter().filter(|reached| failure != Failure::FullDisk || reached.step.needs_room());
        let tried = fail_at(steps.cloned().collect(), Backend::Disk, failure, true, &before, &quiet.store).await;
        assert_tried(&tried, 12, &expected[..if failure == Failure::FullDisk { 2 } else { 3 }]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_rebuild_ends_its_commits_and_resumes() {
    let before = old_lake(&["b", "c", "p", "s", "sn", "t", "u", "z"]).await;
    let (quiet, _) = in_peace(Backend::Disk, &before).await;
    let lake = Backend::Disk.lake(&before).await;
    let first = read_manifests(&lake.store, &layout()).await.unwrap().remove(0).partition;
    let (_, steps) = in_peace(Backend::Disk, &before).await;
    let named = |reached: &&Reached| reached.step == Step::Rename && reached.path == layout().manifest(&first);
    let held = lake.store.failing_before(steps.iter().find(named).unwrap(), Failure::Held);
    let stop = CancellationToken::new();
    let (task_store, task_stop) = (held.clone(), stop.clone());
    let running = tokio::spawn(async move { rebuilt(&task_store, &task_stop).await });
    while held.failed_at().is_none() {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    held.let_go();
    let summary = running.await.unwrap().unwrap();
    assert!(summary.interrupted == (summary.partitions_rebuilt < summary.partitions_total), "{summary:?}");
    assert!(summary.partitions_rebuilt >= 1, "{summary:?}");
    let rest = rebuilt(&lake.store, &CancellationToken::new()).await.unwrap();
    assert_eq!(rest.partitions_current, summary.partitions_rebuilt);
    assert_eq!(rest.partitions_rebuilt, summary.partitions_total - summary.partitions_rebuilt);
    assert_same(&lake.store, &quiet.store, "a stop").await;

    // A run that is stopped before it began changes no table.
    let lake = Backend::Memory.lake(&before).await;
    let summary = rebuilt(&lake.store, &stop).await.unwrap();
    assert!(summary.interrupted && summary.partitions_rebuilt == 0, "{summary:?}");
    let shards = |objects: BTreeMap<String, Bytes>| {
        objects.into_iter().filter(|(path, _)| path.contains("/manifest/") || path.ends_with(".parquet"))
    };
    assert!(shards(lake.store.contents().await).eq(shards(before)));

    // A run that is stopped before it reads an origin is interrupted, even if all tables there are current.
    assert!(rebuilt(&quiet.store, &stop).await.unwrap().interrupted);
}

/// A shard that a dead process staged without an intent is not taken for one that a later commit staged.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_a_dead_process_staged_is_not_committed() {
    let before = old_lake(&[]).await;
    let (quiet, _) = in_peace(Backend::Memory, &before).await;
    let mut lake = before.clone();
    let partition = crate::lake::Partition::ALL;
    for table in TableKind::ALL {
        lake.insert(layout().staged_shard(table, &partition), Bytes::from_static(b"left by the dead"));
    }
    // The tables that need not be made are those that could be confused.
    let lake = Backend::Memory.lake(&lake).await;
    let options = RebuildOptions { tables: [TableKind::Scripts].into(), ..RebuildOptions::default() };
    rebuild(&lake.store, &options, Arc::default(), CancellationToken::new()).await.unwrap();
    let (now, then) = (lake.store.contents().await, quiet.store.contents().await);
    for table in TableKind::ALL {
        let path = layout().shard(table, &partition);
        assert!(now[&path] == then[&path], "{table}");
    }
    assert!(!now.keys().any(|path| path.starts_with(&layout().staging())), "{:?}", now.keys());
}
