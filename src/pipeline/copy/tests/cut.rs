//! Lakes that are cut anew: they equal an ingest into these partitions.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{PIVOTS, copied, empty, ingest_options, revise, rows, server, try_copy};
use crate::commit::read_manifests;
use crate::error::{Error, ErrorKind};
use crate::lake::{Layout, Manifest, PartitionSet};
use crate::pipeline::copy::CopySummary;
use crate::pipeline::crash_tests::steps::{assert_tried, last_of_each_kind};
use crate::pipeline::crash_tests::{Backend, assert_nothing_half, forget_dead_process, layout, run};
use crate::pipeline::verify::verify;
use crate::pipeline::{CopyOptions, IngestOptions, PartitionMode, ingest};
use crate::sample::SampleServer;
use crate::store::{Failure, Reached, Step, Store};
use crate::table::TableKind;

/// The rows of a partition in the lakes that are copied.
const ROWS: u64 = 8;

fn into(rows: u64) -> CopyOptions {
    CopyOptions { rows_per_partition: NonZeroU64::new(rows), ..CopyOptions::default() }
}

/// Ingests into partitions of about `rows` rows.
async fn ingested(server: &SampleServer, store: &Store, rows: u64) {
    let rows_per_partition = NonZeroU64::new(rows).unwrap();
    let options =
        IngestOptions { partitions: PartitionMode::Derived { rows_per_partition }, ..ingest_options(server, store) };
    ingest(options, Default::default(), CancellationToken::new()).await.unwrap();
}

async fn cut(from: &Store, to: &Store, rows: u64) -> CopySummary {
    try_copy(from, to, &into(rows)).await.unwrap()
}

async fn refused(from: &Store, to: &Store, rows: u64) -> Error {
    try_copy(from, to, &into(rows)).await.unwrap_err()
}

/// Returns the objects whose bytes must be the same: the partition set, and all shards but those of outcomes, which hold
/// times.
fn without_times(mut objects: BTreeMap<String, Bytes>) -> BTreeMap<String, Bytes> {
    let tables = TableKind::ALL.into_iter().filter(|table| *table != TableKind::Outcomes);
    let folders: Vec<String> = tables.map(|table| format!("{}/", layout().table(table))).collect();
    objects
        .retain(|path, _| *path == layout().partition_set() || folders.iter().any(|folder| path.starts_with(folder)));
    objects
}

/// Returns the manifests without times, and without the source of the rows.
async fn manifests(store: &Store) -> Vec<Manifest> {
    let mut manifests = read_manifests(store, &layout()).await.unwrap();
    for manifest in &mut manifests {
        manifest.written_at = String::new();
        manifest.cut_from = None;
        manifest.listed_at_us = manifest.listed_at_us.map(|_| 0);
        let outcomes = manifest.shards.get_mut(TableKind::Outcomes.as_str()).unwrap();
        (outcomes.sha256, outcomes.size_bytes) = (String::new(), 0);
    }
    manifests
}

/// Asserts that a lake has the rows, the bytes and the manifests of another one, apart from times, and is sound.
pub(in crate::pipeline) async fn assert_as_ingested(found: &Store, expected: &Store, what: &str) {
    let (theirs, ours) = (without_times(found.contents().await), without_times(expected.contents().await));
    assert_eq!(theirs.keys().collect::<Vec<_>>(), ours.keys().collect::<Vec<_>>(), "{what}");
    for (path, bytes) in &ours {
        assert!(theirs[path] == *bytes, "{path} {what}");
    }
    assert_eq!(manifests(found).await, manifests(expected).await, "{what}");
    let proof = verify(found, None, Default::default(), CancellationToken::new()).await.unwrap();
    assert!(proof.is_sound(), "{what}: {proof:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_has_the_bytes_of_an_ingest_into_these_partitions() {
    let server = server();
    let from = Store::memory();
    ingested(&server, &from, ROWS).await;
    for (place, rows) in [(Backend::Disk, 3), (Backend::Memory, 5), (Backend::Disk, 13), (Backend::Memory, 1_000)] {
        let expected = Store::memory();
        ingested(&server, &expected, rows).await;
        let to = empty(place).await;
        let planned = try_copy(&from, &to.store, &CopyOptions { dry_run: true, ..into(rows) }).await.unwrap();
        assert!(to.store.contents().await.is_empty(), "a dry run writes nothing");
        let summary = cut(&from, &to.store, rows).await;
        let set: PartitionSet = expected.read_record(&layout().partition_set()).await.unwrap().unwrap();
        let count = set.count() as u64;
        assert_eq!((summary.partitions_total, summary.partitions_copied), (count, count));
        assert_eq!((planned.partitions_total, planned.partitions_copied), (count, count));
        assert_eq!(count == 1, rows == 1_000);
        assert_as_ingested(&to.store, &expected, &format!("in partitions of {rows} rows")).await;
        let before = super::rows(&to.store).await;
        let again = cut(&from, &to.store, rows).await;
        assert_eq!((again.partitions_current, again.partitions_copied), (count, 0));
        assert!(super::rows(&to.store).await == before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_cut_only_where_the_lake_has_changed_and_only_changed_shards_are_replaced() {
    let server = server();
    let from = Store::memory();
    ingested(&server, &from, ROWS).await;
    let to = empty(Backend::Disk).await;
    let first = cut(&from, &to.store, 3).await;
    revise(&server);
    ingested(&server, &from, ROWS).await;
    let update = cut(&from, &to.store, 3).await;
    // The first partition of the lake has changed, and reaches into the first few of the cut.
    assert!(update.partitions_copied >= 1 && update.partitions_copied < first.partitions_copied / 2, "{update:?}");
    assert!(update.shards_copied < TableKind::ALL.len() as u64, "{update:?}");
    let expected = empty(Backend::Memory).await;
    cut(&from, &expected.store, 3).await;
    let set = layout().partition_set();
    assert_eq!(to.store.get(&set).await.unwrap(), expected.store.get(&set).await.unwrap());
    assert_as_ingested(&to.store, &expected.store, "after an update").await;

    // An ingest changes the copy itself. The next copy replaces that.
    server.world().publish("zzz-of-the-copy", "1.0.0");
    ingested(&server, &to.store, 3).await;
    assert!(cut(&from, &to.store, 3).await.partitions_copied >= 1);
    assert_as_ingested(&to.store, &expected.store, "after an ingest into the copy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_cannot_be_cut_is_refused_before_anything_is_written() {
    let server = server();
    let from = Store::memory();
    run(&server, &from, &PIVOTS).await.unwrap();
    let to = empty(Backend::Memory).await;
    let manifest = read_manifests(&from, &layout()).await.unwrap().remove(0);
    let path = layout().manifest(&manifest.partition);
    from.delete(&path).await.unwrap();
    let error = refused(&from, &to.store, 5).await;
    assert!(error.message().contains("1 of 4 partitions"), "{error:?}");
    let mut old = manifest.clone();
    old.shards.remove(TableKind::Contributors.as_str());
    from.put_record(&path, &old).await.unwrap();
    let error = refused(&from, &to.store, 5).await;
    assert!(error.hint_text().unwrap().contains("all-docs rebuild"), "{error:?}");
    assert!(to.store.list("").await.unwrap().is_empty());
    from.put_record(&path, &manifest).await.unwrap();

    // Other partitions than the copy has are refused, with the number that keeps these.
    cut(&from, &to.store, 5).await;
    for error in [refused(&from, &to.store, 6).await, super::refused(&from, &to.store).await] {
        assert_eq!(error.kind(), ErrorKind::Lake);
        assert!(error.hint_text().unwrap().contains("--partition-rows 5"), "{error:?}");
    }
    let whole = empty(Backend::Memory).await;
    copied(&from, &whole.store).await;
    let error = refused(&from, &whole.store, 5).await;
    assert!(error.hint_text().unwrap().contains("cache clear"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_copy_has_staged_for_other_partitions_is_removed() {
    let server = server();
    let from = Store::memory();
    ingested(&server, &from, ROWS).await;
    let (to, expected) = (empty(Backend::Disk).await, Store::memory());
    cut(&from, &expected, 5).await;
    let set: PartitionSet = expected.read_record(&layout().partition_set()).await.unwrap().unwrap();
    // It died before its first commit.
    for path in [Layout::INFO.to_owned(), layout().partition_set()] {
        to.store.put(&path, expected.get(&path).await.unwrap().unwrap()).await.unwrap();
    }
    to.store.put(&layout().staged_shard(TableKind::Docs, &set.get(0)), "half").await.unwrap();
    let expected = Store::memory();
    cut(&from, &expected, 7).await;
    cut(&from, &to.store, 7).await;
    assert_as_ingested(&to.store, &expected, "after a death and a copy of another size").await;
    assert!(to.store.list(&layout().staging()).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_shard_is_not_cut() {
    let server = server();
    let from = Store::memory();
    ingested(&server, &from, ROWS).await;
    let manifest = read_manifests(&from, &layout()).await.unwrap().remove(1);
    let path = layout().shard(TableKind::Scripts, &manifest.partition);
    let mut bytes = from.get(&path).await.unwrap().unwrap().to_vec();
    bytes[9] ^= 1;
    from.put(&path, bytes).await.unwrap();
    let to = empty(Backend::Disk).await;
    let error = refused(&from, &to.store, 3).await;
    assert!(error.report().contains(&path) && error.hint_text().unwrap().contains("--repair"), "{}", error.report());
    let proof = verify(&to.store, None, Default::default(), CancellationToken::new()).await.unwrap();
    assert!(proof.is_sound(), "{proof:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_commits_while_it_is_cut_is_read_as_one_commit_left_it() {
    for (step, part) in [(Step::Rename, "/packages/"), (Step::Rename, "/docs/"), (Step::Rename, "/manifest/")] {
        let server = server();
        let from = empty(Backend::Disk).await;
        ingested(&server, &from.store, ROWS).await;
        let to = empty(Backend::Memory).await;
        revise(&server);
        let writing = from.store.failing_at_such(
            move |reached| reached.step == step && reached.path.contains(part) && !reached.path.contains(".put-probe"),
            0,
            Failure::Held,
        );
        let update = ingested(&server, &writing, ROWS);
        let read = async {
            writing.until(|| writing.failed_at().is_some()).await;
            let (from, to) = (from.store.clone(), to.store.clone());
            let copying = tokio::spawn(async move { cut(&from, &to, 13).await });
            tokio::task::yield_now().await;
            writing.let_go();
            copying.await.unwrap()
        };
        let ((), summary) = tokio::join!(update, read);
        assert_eq!(summary.partitions_copied, summary.partitions_total);
        let proof = verify(&to.store, None, Default::default(), CancellationToken::new()).await.unwrap();
        assert!(proof.is_sound(), "{step:?} {part}: {proof:?}");
        cut(&from.store, &to.store, 13).await;
        let expected = empty(Backend::Memory).await;
        cut(&from.store, &expected.store, 13).await;
        assert_as_ingested(&to.store, &expected.store, "after another run").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_death_at_any_kind_of_step_of_a_cut_another_run_ends_in_the_same_bytes() {
    let server = server();
    let from = Store::memory();
    ingested(&server, &from, ROWS).await;
    let quiet = empty(Backend::Memory).await;
    cut(&from, &quiet.store, 13).await;
    let kinds = last_of_each_kind(&quiet.store.take_reached());
    let quiet_objects = quiet.store.contents().await;
    let tries = kinds.into_iter().enumerate().map(async |(number, step)| {
        let lake = empty(Backend::Memory).await;
        let failing = lake.store.failing_before(&step, Failure::Death);
        let first = try_copy(&from, &failing, &into(13)).await;
        let reached = failing.failed_at()?;
        let after = reached.to_string();
        assert!(first.is_err(), "a run cannot end well after its death before {after}");
        assert_nothing_half(&lake.store, [&BTreeMap::new(), &quiet_objects], &after).await;
        let next = lake.next_store(number % 2 == 0);
        forget_dead_process(&next).await;
        cut(&from, &next, 13).await;
        assert_as_ingested(&next, &quiet.store, &after).await;
        let shards = |mut objects: BTreeMap<String, Bytes>| {
            objects.retain(|path, _| path.ends_with(".parquet"));
            objects
        };
        lake.assert_no_uploads(&after);
        assert!(shards(rows(&next).await) == shards(quiet_objects.clone()), "{after}");
        Some(reached)
    });
    let tried: Vec<Reached> = stream::iter(tries).buffered(3).filter_map(std::future::ready).collect().await;
    let put = ["sample/table/partition.parquet", "sample/manifest/partition.json", "sample/partitions.json"];
    assert_tried(&tried, 11, &put.map(|kind| (Step::Put, kind)));
}
