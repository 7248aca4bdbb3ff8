//! Copies that die, and lakes that change while they are copied.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, stream};

use super::{PIVOTS, assert_copied, copied, empty, lake, refused, revise, rows, server, try_copy};
use crate::commit::read_manifests;
use crate::error::ErrorKind;
use crate::lake::CommitIntent;
use crate::pipeline::CopyOptions;
use crate::pipeline::crash_tests::steps::{assert_tried, last_of_each_kind, telling};
use crate::pipeline::crash_tests::{Backend, assert_nothing_half, forget_dead_process, layout, run};
use crate::store::{Failure, Reached, Step, Store};
use crate::table::TableKind;

/// Copies that are tried at the same time.
const AT_ONCE: usize = 3;

/// Returns a lake with a change, and its first copy before that change.
async fn changed() -> (Store, BTreeMap<String, Bytes>) {
    let server = server();
    let from = lake(&server).await;
    let place = empty(Backend::Memory).await;
    let to = place.store.clone();
    copied(&from, &to).await;
    revise(&server);
    run(&server, &from, &PIVOTS).await.unwrap();
    (from, to.contents().await)
}

/// Fails a copy at each of `steps`, each with a place of its own. Every other rerun in a bucket has not the scratch folder
/// of the first run. Returns the steps that were reached.
async fn fail_at(
    steps: Vec<Reached>,
    place: Backend,
    failure: Failure,
    from: &Store,
    before: &BTreeMap<String, Bytes>,
) -> Vec<Reached> {
    let tries = steps.into_iter().enumerate().map(async |(number, step)| {
        let lake = place.lake(before).await;
        let failing = lake.store.failing_before(&step, failure);
        let first = try_copy(from, &failing, &CopyOptions::default()).await;
        let reached = failing.failed_at()?;
        let after = format!("after a failure at {reached}");
        match first {
            Ok(_) => assert!(failure != Failure::Death, "a run cannot end well {after}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Lake, "{error:?}"),
        }
        assert_nothing_half(&lake.store, [before, &from.contents().await], &after).await;
        let next = lake.next_store(number % 2 == 0);
        forget_dead_process(&next).await;
        copied(from, &next).await;
        assert_copied(from, &next, &after).await;
        lake.assert_no_uploads(&after);
        Some(reached)
    });
    stream::iter(tries).buffered(AT_ONCE).filter_map(std::future::ready).collect().await
}

async fn steps(place: Backend, from: &Store, before: &BTreeMap<String, Bytes>) -> Vec<Reached> {
    let quiet = place.lake(before).await;
    copied(from, &quiet.store).await;
    quiet.store.take_reached()
}

const STAGED: &str = "sample/staging/partition/table.staged";
const INTENT: &str = "sample/staging/partition/commit.json";
const SHARD: &str = "sample/table/partition.parquet";
const MANIFEST: &str = "sample/manifest/partition.json";

#[tokio::test(flavor = "multi_thread")]
async fn after_a_death_at_any_step_another_run_ends_in_the_same_bytes() {
    let kinds = [(Step::Write, STAGED), (Step::Put, INTENT), (Step::Put, SHARD), (Step::Put, MANIFEST)];
    let (from, before) = changed().await;
    let update = telling(&steps(Backend::Memory, &from, &before).await, true);
    assert_tried(&fail_at(update, Backend::Memory, Failure::Death, &from, &before).await, 25, &kinds);
    let first = last_of_each_kind(&steps(Backend::Memory, &from, &BTreeMap::new()).await);
    let tried = fail_at(first, Backend::Memory, Failure::Death, &from, &BTreeMap::new()).await;
    assert_tried(&tried, 10, &[&kinds[..], &[(Step::Put, "sample/partitions.json")]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failure_at_any_kind_of_step_on_a_disk_another_run_ends_in_the_same_bytes() {
    let (from, before) = changed().await;
    let kinds = last_of_each_kind(&steps(Backend::Disk, &from, &before).await);
    let expected = [(Step::Write, STAGED), (Step::SyncFile, STAGED), (Step::Rename, SHARD), (Step::Rename, MANIFEST)];
    for failure in [Failure::Death, Failure::Once, Failure::FullDisk] {
        let steps = kinds.iter().filter(|reached| failure != Failure::FullDisk || reached.step.needs_room());
        let tried = fail_at(steps.cloned().collect(), Backend::Disk, failure, &from, &before).await;
        assert_tried(&tried, 12, &expected[..if failure == Failure::FullDisk { 2 } else { 4 }]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_commits_meanwhile_is_read_as_one_commit_left_it() {
    // Before the first move, between moves, before the manifest, and before the intent is removed.
    let moments = [
        (Step::Rename, "/packages/"),
        (Step::Rename, "/docs/"),
        (Step::Rename, "/manifest/"),
        (Step::Delete, "/commit.json"),
    ];
    for (step, part) in moments {
        let server = server();
        let from = empty(Backend::Disk).await;
        run(&server, &from.store, &PIVOTS).await.unwrap();
        revise(&server);
        let writing = from.store.failing_at_such(
            move |reached| reached.step == step && reached.path.contains(part) && !reached.path.contains(".put-probe"),
            0,
            Failure::Held,
        );
        let update = run(&server, &writing, &PIVOTS);
        let place = empty(Backend::Memory).await;
        let to = place.store.clone();
        let read = async {
            writing.until(|| writing.failed_at().is_some()).await;
            let (from, to) = (from.store.clone(), to.clone());
            let copying = tokio::spawn(async move { copied(&from, &to).await });
            tokio::task::yield_now().await;
            writing.let_go();
            copying.await.unwrap()
        };
        let (updated, summary) = tokio::join!(update, read);
        updated.unwrap();
        assert_eq!(summary.partitions_copied, 4, "{step:?} {part}");
        for manifest in read_manifests(&to, &layout()).await.unwrap() {
            for (table, meta) in &manifest.shards {
                let path = layout().shard(TableKind::parse(table).unwrap(), &manifest.partition);
                assert_eq!(super::digest(&to, &path).await, meta.sha256, "{path} {step:?} {part}");
            }
        }
        copied(&from.store, &to).await;
        assert_copied(&from.store, &to, "after another run").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_whose_writer_died_in_a_commit_or_that_is_damaged_is_not_copied_there() {
    let server = server();
    let from = empty(Backend::Disk).await;
    run(&server, &from.store, &PIVOTS).await.unwrap();
    let place = empty(Backend::Memory).await;
    let to = place.store.clone();
    copied(&from.store, &to).await;
    let before = rows(&to).await;
    revise(&server);
    let died = from.store.failing_at_such(
        |reached| reached.step == Step::Rename && reached.path.contains("/docs/0-"),
        0,
        Failure::Death,
    );
    run(&server, &died, &PIVOTS).await.unwrap_err();
    forget_dead_process(&from.store).await;
    let manifest = read_manifests(&from.store, &layout()).await.unwrap().remove(0);
    let intent = layout().commit_intent(&manifest.partition);
    assert!(from.store.read_record::<CommitIntent>(&intent).await.unwrap().is_some());
    // By its manifest, the partition has not changed yet. A copy of it notices that the shards have.
    let fresh = empty(Backend::Memory).await.store;
    for to in [&fresh, &to] {
        to.delete(&layout().manifest(&manifest.partition)).await.unwrap();
        let error = refused(&from.store, to).await;
        assert_eq!(error.kind(), ErrorKind::Lake);
        assert!(error.report().contains(from.store.location().as_str()), "{}", error.report());
        assert!(error.hint_text().unwrap().contains("verify --repair"), "{}", error.report());
    }
    let mut after = rows(&to).await;
    after.insert(layout().manifest(&manifest.partition), before[&layout().manifest(&manifest.partition)].clone());
    assert!(after == before, "the copy has changed");
    assert!(to.list(&layout().staging()).await.unwrap().is_empty());

    // The next ingest completes the commit.
    run(&server, &from.store, &PIVOTS).await.unwrap();
    copied(&from.store, &to).await;
    assert_copied(&from.store, &to, "after a recovery").await;

    let path = layout().shard(TableKind::Versions, &manifest.partition);
    let mut bytes = from.store.get(&path).await.unwrap().unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    from.store.put(&path, bytes).await.unwrap();
    copied(&from.store, &to).await;
    let fresh = empty(Backend::Disk).await;
    let error = refused(&from.store, &fresh.store).await;
    assert!(error.report().contains(&path) && error.hint_text().unwrap().contains("--repair"), "{}", error.report());
    assert!(!rows(&fresh.store).await.contains_key(&path));
}
