//! Copies of the arrays of a lake.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use jiff::ToSpan;
use jiff::civil::{Date, date};
use tokio_util::sync::CancellationToken;

use super::{PIVOTS, assert_copied, copied, empty, lake, revise, server, try_copy};
use crate::array::{
    self, ArrayExtent, ArrayFault, Counts, Downloads, DownloadsShape, FIRST_DAY, GroupMetadata, PackageAxis,
    check_arrays,
};
use crate::pipeline::crash_tests::{Backend, forget_dead_process, layout, run};
use crate::pipeline::{CopyOptions, arrays, open_downloads, verify};
use crate::sample::SampleServer;
use crate::store::{Failure, Store};

/// Copies that are tried at the same time.
const AT_ONCE: usize = 3;
const SINCE: Date = date(2015, 3, 1);

fn right() -> array::Right {
    Arc::new(|| Ok(()))
}

/// Records the counts of `days` days of every third package.
async fn count(store: &Store, days: i64) {
    let last = SINCE + (days - 1).days();
    let (axis, downloads) = open_downloads(store, &layout(), last, last, &[]).await.unwrap();
    for block in downloads.blocks() {
        let mut writer = downloads.writer(&block, &right()).await.unwrap();
        for row in block.rows.clone().filter(|row| row % 3 == 0) {
            let counts = (1..=days).map(|day| Some(u64::from(row + 1) * day.unsigned_abs())).collect();
            writer.record(Counts { row, since: SINCE, counts }).await.unwrap();
        }
        writer.finish().await.unwrap();
    }
    assert!(axis.rows() > 20);
    downloads.finish().await.unwrap();
}

/// Makes a lake with all arrays. The blocks of download counts are small.
async fn with_arrays(server: &SampleServer) -> Store {
    let store = lake(server).await;
    let shape = DownloadsShape { shard_rows: 16, shard_days: 32, chunk_rows: 4, chunk_days: 32 };
    Downloads::open_with(&store, &layout(), &PackageAxis::default(), FIRST_DAY, &right(), shape).await.unwrap();
    count(&store, 20).await;
    arrays(&store, None, CancellationToken::new()).await.unwrap();
    store
}

/// Publishes a version, adds a package, and brings tables and arrays up to date.
async fn change(server: &SampleServer, store: &Store) {
    revise(server);
    server.world().publish("a-new-package", "1.0.0");
    run(server, store, &PIVOTS).await.unwrap();
    arrays(store, None, CancellationToken::new()).await.unwrap();
    count(store, 25).await;
}

async fn assert_sound(store: &Store, after: &str) {
    let proof = verify(store, None, Arc::default(), CancellationToken::new()).await.unwrap();
    assert!(proof.is_sound() && proof.origins[0].array_objects > 10, "{after}: {proof:?}");
}

/// Returns the objects of a lake that are not those of a graph, or not of arrays at all.
async fn without_graph(store: &Store) -> BTreeMap<String, Bytes> {
    let mut objects = store.contents().await;
    let is_of_array = |path: &String| path.contains(".zarr/") || path.ends_with("package_index.parquet");
    objects.retain(|path, _| is_of_array(path) && !path.contains("dependency_graph.zarr"));
    objects
}

async fn edges(store: &Store) -> (u64, Vec<(Vec<u32>, Vec<i32>)>) {
    let graph = array::StoredGraph::find(store, &layout()).await.unwrap().unwrap();
    let mut edges = Vec::new();
    for nodes in graph.node_tiles(&array::Rows::All) {
        let found = graph.edges_of(array::Side::Out, &nodes).await.unwrap();
        edges.push((found.nodes, found.csr.indices));
    }
    (graph.generation(), edges)
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_come_along_and_objects_that_the_copy_has_are_not_written_again() {
    let server = server();
    let from = with_arrays(&server).await;
    let to = empty(Backend::Memory).await.store;
    let dry = try_copy(&from, &to, &CopyOptions { dry_run: true, ..CopyOptions::default() }).await.unwrap();
    let first = copied(&from, &to).await;
    assert_copied(&from, &to, "a first copy").await;
    assert_eq!(
        (dry.array_objects_copied, dry.array_bytes_copied),
        (first.array_objects_copied, first.array_bytes_copied)
    );
    assert!(first.array_objects_copied > 15, "{first:?}");
    to.take_reached();
    assert_eq!(copied(&from, &to).await.array_objects_copied, 0);
    let written = to.take_reached();
    assert!(!written.iter().any(|reached| reached.path.contains(".zarr/")), "{written:?}");

    change(&server, &from).await;
    let next = copied(&from, &to).await;
    assert_eq!(without_graph(&to).await, without_graph(&from).await);
    assert_eq!(edges(&to).await, edges(&from).await);
    assert!((1..=first.array_objects_copied + 3).contains(&next.array_objects_copied), "{next:?}");
    assert!(next.array_objects_current > 3, "{next:?}");
    assert_sound(&to, "an update").await;
    // Once more, when the graph of the copy has other names of objects than the one that is copied.
    revise(&server);
    change(&server, &from).await;
    copied(&from, &to).await;
    assert_eq!(edges(&to).await, edges(&from).await);
    assert_sound(&to, "a second update").await;
    assert_eq!(copied(&from, &to).await.array_objects_copied, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_with_other_rows_are_replaced_and_generations_grow() {
    let server = server();
    let from = with_arrays(&server).await;
    let to = empty(Backend::Memory).await.store;
    copied(&from, &to).await;
    // A package that only the copy knows has a row that the lake gives to another one.
    count_more(&to, "only-here").await;
    count_more(&from, "only-there").await;
    copied(&from, &to).await;
    assert_eq!(without_graph(&to).await, without_graph(&from).await);
    assert_sound(&to, "other rows").await;
    // The copy has counts of its own.
    count(&to, 22).await;
    let own = GroupMetadata::find(&to, layout().downloads()).await.unwrap().unwrap().generation;
    copied(&from, &to).await;
    let now = GroupMetadata::find(&to, layout().downloads()).await.unwrap().unwrap();
    assert!(now.generation > own && now.is_settled, "{own}, then {now:?}");
    assert_sound(&to, "counts of its own").await;
}

async fn count_more(store: &Store, name: &str) {
    let last = SINCE + 19.days();
    open_downloads(store, &layout(), last, last, &[name.to_owned()]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_death_at_any_step_a_reader_finds_whole_arrays_and_another_run_ends_the_copy() {
    let server = server();
    let from = with_arrays(&server).await;
    let first = from.contents().await;
    change(&server, &from).await;
    let after_change = from.contents().await;
    for before in [BTreeMap::new(), first] {
        let old = Backend::Memory.lake(&before).await;
        let quiet = Backend::Memory.lake(&before).await;
        copied(&from, &quiet.store).await;
        let steps = quiet.store.take_reached();
        let is_of_array = |path: &str| path.contains(".zarr/") || path.ends_with("package_index.parquet");
        let steps: Vec<_> = steps.into_iter().filter(|reached| is_of_array(&reached.path)).collect();
        assert!(steps.len() > 20, "{} steps", steps.len());
        let graph = if before.is_empty() { None } else { Some(edges(&old.store).await) };
        let tries = steps.iter().map(async |step| {
            let lake = Backend::Memory.lake(&before).await;
            let failing = lake.store.failing_before(step, Failure::Death);
            let died = try_copy(&from, &failing, &CopyOptions::default()).await;
            let reached = failing.failed_at()?;
            let after = format!("after a death at {reached}");
            assert!(died.is_err(), "{after}");
            let listed = lake.store.list_sized("").await.unwrap();
            let proof = check_arrays(&lake.store, &layout(), &listed, ArrayExtent::Whole).await.unwrap();
            // Metadata comes last, and a group that has none is not read. Longer arrays have objects before.
            let is_open = |file: &str| {
                let group = file.split_inclusive(".zarr/").next().unwrap_or_default();
                after_change.contains_key(file)
                    && proof.findings.iter().all(|found| found.file != format!("{group}zarr.json"))
            };
            for found in proof.findings.iter().filter(|found| is_open(&found.file)) {
                let is_harmless = matches!(found.fault, ArrayFault::Metadata | ArrayFault::Foreign);
                assert!(is_harmless, "{after}: {found:?}");
            }
            if let (Some(graph), Some(now)) = (&graph, array::StoredGraph::find(&lake.store, &layout()).await.unwrap())
            {
                assert!(now.generation() > 0);
                let seen = edges(&lake.store).await;
                assert!(seen == *graph || seen == edges(&from).await, "{after}");
            }
            let next = lake.next_store(true);
            forget_dead_process(&next).await;
            copied(&from, &next).await;
            assert_eq!(without_values_of_generation(&next).await, without_values_of_generation(&from).await, "{after}");
            assert_eq!(edges(&next).await.1, edges(&from).await.1, "{after}");
            assert_sound(&next, &after).await;
            Some(())
        });
        let tried = stream::iter(tries).buffered(AT_ONCE).filter_map(std::future::ready).count().await;
        assert!(tried > 20, "{tried} deaths");
    }
}

/// Returns the objects of the other arrays but for the metadata, whose generation may be greater after a death.
async fn without_values_of_generation(store: &Store) -> BTreeMap<String, Bytes> {
    let mut objects = without_graph(store).await;
    objects.retain(|path, _| !path.ends_with(".zarr/zarr.json"));
    objects
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_object_is_not_copied() {
    let server = server();
    let from = with_arrays(&server).await;
    let path = format!("{}/versions_published/c/0/0", layout().releases());
    let mut bytes = from.get(&path).await.unwrap().unwrap().to_vec();
    bytes[20] ^= 1;
    from.put(&path, bytes).await.unwrap();
    let to = empty(Backend::Memory).await.store;
    let error = try_copy(&from, &to, &CopyOptions::default()).await.unwrap_err();
    assert!(error.report().contains(&path), "{}", error.report());
    assert_eq!(to.get(&path).await.unwrap(), None);
    assert_eq!(to.get(&format!("{}/zarr.json", layout().releases())).await.unwrap(), None);
}
