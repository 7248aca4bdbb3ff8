#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{AsArray, RecordBatch};
use jiff::civil::date;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::pipeline::crash_tests::{Backend, layout, run};
use crate::pipeline::{lake_status, verify};
use crate::sample::{Options, SampleServer, World};
use crate::shard::ShardReader;
use crate::store::Failure;
use crate::table::{TableKind, schema};

fn server() -> SampleServer {
    SampleServer::start(World::seeded(61, 40), Options::default()).unwrap()
}

async fn built(store: &Store) -> OriginArrays {
    arrays(store, Some("sample"), CancellationToken::new()).await.unwrap().origins.remove(0)
}

/// Returns the rows of a table.
async fn rows(store: &Store, table: TableKind) -> Vec<RecordBatch> {
    let mut rows = Vec::new();
    for path in store.list(&layout().table(table)).await.unwrap() {
        let file = store.open_shard(&path).await.unwrap().unwrap();
        rows.extend(ShardReader::open(table, file, &schema(table)).unwrap().map(Result::unwrap));
    }
    rows
}

/// Returns the edges of latest versions, by names.
async fn edges(store: &Store) -> BTreeSet<(String, String, String)> {
    let mut edges = BTreeSet::new();
    for batch in rows(store, TableKind::Dependencies).await {
        let text = |column: &str, row| batch.column_by_name(column).unwrap().as_string::<i32>().value(row).to_owned();
        let is_latest = batch.column_by_name("is_latest").unwrap().as_boolean();
        let of_row = |row| (text("name", row), text("dependency", row), text("kind", row));
        edges.extend((0..batch.num_rows()).filter(|&row| is_latest.value(row)).map(of_row));
    }
    edges
}

#[tokio::test(flavor = "multi_thread")]
async fn the_arrays_hold_every_package_version_and_latest_edge_of_the_lake() {
    let server = server();
    let lake = Backend::Memory.lake(&BTreeMap::new()).await;
    run(&server, &lake.store, &["m"]).await.unwrap();
    let first = built(&lake.store).await;
    let edges = edges(&lake.store).await;
    let names: BTreeSet<String> = server.world().names().map(str::to_owned).collect();
    let versions: usize = rows(&lake.store, TableKind::Versions).await.iter().map(RecordBatch::num_rows).sum();
    let outside = edges.iter().map(|(_, to, _)| to).filter(|to| !names.contains(*to)).collect::<BTreeSet<_>>();
    assert_eq!(first.packages as usize, names.len());
    assert_eq!((first.versions + first.versions_without_month) as usize, versions);
    assert_eq!((first.graph_edges as usize, first.graph_nodes_outside as usize), (edges.len(), outside.len()));
    assert!(edges.len() > 30 && versions > 100, "{first:?}");
    // The axis is in the order of dependents.
    let axis = PackageAxis::read(&lake.store, &layout()).await.unwrap();
    let dependents = |row| edges.iter().filter(|(_, to, _)| to == axis.name(row)).count();
    let order: Vec<_> = (0..axis.rows()).map(|row| (std::cmp::Reverse(dependents(row)), axis.name(row))).collect();
    assert!(order.is_sorted(), "{order:?}");
    lake.store.take_reached();
    let again = built(&lake.store).await;
    assert_eq!(again, OriginArrays { releases_shards_written: 0, graph_shards_written: 0, ..first });
    let written = lake.store.take_reached();
    let is_lease = |path: &str| path.starts_with("sample/leases/");
    assert!(written.iter().all(|reached| is_lease(&reached.path)), "{written:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_stay_where_they_are_when_packages_come_and_go() {
    let server = server();
    let lake = Backend::Memory.lake(&BTreeMap::new()).await;
    run(&server, &lake.store, &["m"]).await.unwrap();
    built(&lake.store).await;
    let before = PackageAxis::read(&lake.store, &layout()).await.unwrap();
    let gone = before.name(3).to_owned();
    server.world().delete(&gone);
    server.world().publish("a-new-package", "1.0.0");
    run(&server, &lake.store, &["m"]).await.unwrap();
    let (_, downloads) =
        open_downloads(&lake.store, &layout(), date(2026, 1, 1), date(2026, 1, 1), &["no-package".to_owned()])
            .await
            .unwrap();
    let after = PackageAxis::read(&lake.store, &layout()).await.unwrap();
    assert_eq!(after.rows(), before.rows() + 2);
    assert!((0..before.rows()).all(|row| after.name(row) == before.name(row)));
    assert_eq!((after.name(before.rows()), after.name(before.rows() + 1)), ("a-new-package", "no-package"));
    let is_gone: Vec<&str> = (0..after.rows()).filter(|&row| after.is_gone(row)).map(|row| after.name(row)).collect();
    assert_eq!(is_gone, [gone.as_str(), "no-package"]);
    assert_eq!(downloads.rows(), after.rows());
    let built = built(&lake.store).await;
    assert_eq!((built.packages, built.graph_generation), (u64::from(after.rows()), 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_death_at_any_step_another_build_ends_in_the_same_arrays() {
    let server = server();
    let lake = Backend::Memory.lake(&BTreeMap::new()).await;
    run(&server, &lake.store, &["m"]).await.unwrap();
    let before = lake.store.contents().await;
    built(&lake.store).await;
    let of_arrays = |objects: BTreeMap<String, bytes::Bytes>| {
        let is_of_arrays = |path: &String| path.contains(".zarr/") || path.ends_with("package_index.parquet");
        objects.into_iter().filter(|(path, _)| is_of_arrays(path)).collect::<BTreeMap<_, _>>()
    };
    let expected = of_arrays(lake.store.contents().await);
    assert!(expected.len() > 20);
    let mut steps = 0;
    loop {
        let lake = Backend::Memory.lake(&before).await;
        let dying = lake.store.failing_at(steps + 1, Failure::Death);
        let ended = arrays(&dying, None, CancellationToken::new()).await;
        let Some(died_at) = dying.failed_at() else {
            ended.unwrap();
            break;
        };
        // The tests are one process, so the lease of the dead one is not seen to be free.
        for path in lake.store.list(&layout().leases()).await.unwrap() {
            lake.store.delete(&path).await.unwrap();
        }
        built(&lake.store).await;
        let found = of_arrays(lake.store.contents().await);
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "at {died_at}");
        for (path, bytes) in &found {
            assert!(*bytes == expected[path], "{path} after a death at {died_at}");
        }
        steps += 1;
    }
    assert!(steps > 25, "only {steps} steps were made to fail");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_builds_at_once_exclude_each_other() {
    let server = server();
    let lake = Backend::Memory.lake(&BTreeMap::new()).await;
    run(&server, &lake.store, &["m"]).await.unwrap();
    let Attempt::Taken(lease) = Lease::of_stem(&lake.store, &layout(), Layout::arrays_lease(), "arrays").await.unwrap()
    else {
        panic!("the lease is not free");
    };
    let refused = arrays(&lake.store, None, CancellationToken::new()).await.unwrap_err();
    assert!(refused.message().contains("another process works on sample"), "{}", refused.report());
    lease.end().await.unwrap();
    let stop = CancellationToken::new();
    stop.cancel();
    assert!(arrays(&lake.store, None, stop).await.unwrap().interrupted);
    built(&lake.store).await;
}

/// Returns the files with faults.
async fn faults(store: &Store) -> (crate::pipeline::OriginProof, BTreeSet<String>) {
    let proof = verify(store, None, Arc::default(), CancellationToken::new()).await.unwrap().origins.remove(0);
    let files = proof.findings.iter().map(|finding| finding.file.clone()).collect();
    (proof, files)
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_releases_and_graphs_are_made_again_by_the_next_build() {
    let server = server();
    let lake = Backend::Memory.lake(&BTreeMap::new()).await;
    run(&server, &lake.store, &["m"]).await.unwrap();
    built(&lake.store).await;
    for path in [
        "releases.zarr/versions_published/c/0/1",
        "releases.zarr/package/c/0",
        "releases.zarr/zarr.json",
        "dependency_graph.zarr/in_indices/c/0",
        "dependency_graph.zarr/zarr.json",
    ] {
        let path = format!("{}/{path}", layout().root());
        let bytes = lake.store.get(&path).await.unwrap().unwrap();
        let mut damaged = bytes.to_vec();
        damaged[bytes.len() / 2] ^= 4;
        lake.store.put(&path, damaged).await.unwrap();
        assert!(faults(&lake.store).await.1.contains(&path), "{path} is not found");
        built(&lake.store).await;
        let (_, files) = faults(&lake.store).await;
        assert_eq!(files, BTreeSet::new(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_makes_arrays_sound_and_loses_nothing_else() {
    let server = server();
    let lake = Backend::Memory.lake(&BTreeMap::new()).await;
    run(&server, &lake.store, &["m"]).await.unwrap();
    let right: Right = Arc::new(|| Ok(()));
    let shape = crate::array::DownloadsShape { shard_rows: 64, shard_days: 32, chunk_rows: 16, chunk_days: 32 };
    Downloads::open_with(&lake.store, &layout(), &PackageAxis::default(), FIRST_DAY, &right, shape).await.unwrap();
    let today = date(2015, 6, 1);
    let (axis, downloads) = open_downloads(&lake.store, &layout(), today, today, &[]).await.unwrap();
    let mut writer = downloads.writer(&downloads.blocks()[0], &right).await.unwrap();
    let counts: Vec<_> = (1..=100).map(Some).collect();
    for row in 0..axis.rows() {
        let since = date(2015, 2, 1);
        writer.record(crate::array::Counts { row, since, counts: counts.clone() }).await.unwrap();
    }
    writer.finish().await.unwrap();
    downloads.finish().await.unwrap();
    built(&lake.store).await;
    assert_eq!(faults(&lake.store).await.1, BTreeSet::new());
    let before = lake.store.contents().await;
    for path in [
        "package_index.parquet",
        "downloads.zarr/zarr.json",
        "downloads.zarr/day/zarr.json",
        "downloads.zarr/package/c/0",
        "downloads.zarr/requested_since/c/0",
        "downloads.zarr/downloads/c/0/1",
        "dependency_graph.zarr/out_kind/c/0",
    ] {
        let path = &format!("{}/{path}", layout().root());
        let lake = Backend::Memory.lake(&before).await;
        let mut damaged = before[path].to_vec();
        damaged[before[path].len() / 2] ^= 4;
        lake.store.put(path, damaged).await.unwrap();
        let (proof, files) = faults(&lake.store).await;
        assert!(files.contains(path), "{path}: {files:?}");
        let repair = repair_arrays(&lake.store, &proof, CancellationToken::new()).await;
        let repair = repair.unwrap_or_else(|error| panic!("{path}: {}", error.report()));
        assert_eq!(faults(&lake.store).await.1, BTreeSet::new(), "{path}: {repair:?}");
        let now = PackageAxis::read(&lake.store, &layout()).await.unwrap();
        assert!((0..axis.rows()).all(|row| now.name(row) == axis.name(row)), "{path}");
        let found = Downloads::find(&lake.store, &layout()).await.unwrap().unwrap();
        let read = found.read(&[3], date(2015, 2, 1)..=date(2015, 5, 11)).await.unwrap().remove(0);
        let known = read.iter().flatten().count();
        let is_lost_shard = path.contains("downloads.zarr/downloads/c");
        assert!(known == 100 || (is_lost_shard && known >= 60), "{path}: {known} counts are left");
        let lost = repair.lost.iter().filter(|lost| lost.contains("--since 2015-")).count();
        assert_eq!((lost, repair.lost.len()), (usize::from(is_lost_shard), lost), "{path}: {repair:?}");
    }
    let path = layout().downloads() + "/zarr.json";
    let mut json: serde_json::Value = serde_json::from_slice(&before[&path]).unwrap();
    json["attributes"] = serde_json::json!({});
    lake.store.put(&path, json.to_string()).await.unwrap();
    let foreign = lake.store.contents().await;
    let (proof, _) = faults(&lake.store).await;
    let refused = repair_arrays(&lake.store, &proof, CancellationToken::new()).await.unwrap_err();
    assert!(refused.message().contains("not of all-docs"), "{}", refused.report());
    assert!(lake.store.contents().await == foreign, "an array of others is left as it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_says_what_the_arrays_hold_and_whether_the_tables_are_newer() {
    let server = server();
    let lake = Backend::Memory.lake(&BTreeMap::new()).await;
    run(&server, &lake.store, &["m"]).await.unwrap();
    let status = async || lake_status(&lake.store).await.unwrap().unwrap().remove(0).arrays;
    assert_eq!(status().await, None);
    let first = built(&lake.store).await;
    let arrays = status().await.unwrap();
    let (releases, graph) = (arrays.releases.unwrap(), arrays.dependency_graph.unwrap());
    assert_eq!((arrays.packages, arrays.downloads), (Some(first.packages), None));
    assert_eq!((releases.values, releases.group.rows, releases.group.generation), (first.versions, first.packages, 2));
    assert_eq!((graph.values, graph.group.rows), (first.graph_edges, first.graph_nodes));
    assert!(!releases.is_older_than_tables && !graph.is_older_than_tables && !graph.group.is_being_written);
    assert!(releases.group.objects > 3 && releases.group.size_bytes > 100);
    server.world().publish("a-new-package", "1.0.0");
    run(&server, &lake.store, &["m"]).await.unwrap();
    let arrays = status().await.unwrap();
    assert!(arrays.releases.unwrap().is_older_than_tables && arrays.dependency_graph.unwrap().is_older_than_tables);
    built(&lake.store).await;
    assert!(!status().await.unwrap().releases.unwrap().is_older_than_tables);
    let path = format!("{}/zarr.json", layout().releases());
    lake.store.put(&path, "{}").await.unwrap();
    let arrays = status().await.unwrap();
    assert!(arrays.releases.is_none() && arrays.unreadable[0].contains("releases.zarr"), "{arrays:?}");
}

/// Compiles only if a task can run on any thread.
fn spawnable(task: impl Future + Send) {
    drop(task);
}

#[tokio::test]
async fn the_commands_over_arrays_can_be_spawned() {
    let (store, stop) = (Store::memory(), CancellationToken::new());
    spawnable(arrays(&store, None, stop.clone()));
    spawnable(open_downloads(&store, &layout(), date(2026, 1, 1), date(2026, 1, 1), &[]));
    spawnable(verify(&store, None, Arc::default(), stop.clone()));
    let proof = crate::pipeline::OriginProof::default();
    spawnable(repair_arrays(&store, &proof, stop.clone()));
    spawnable(crate::pipeline::copy(&store, &store, &crate::pipeline::CopyOptions::default(), Arc::default(), stop));
    fn of_downloads(options: crate::pipeline::DownloadsOptions) {
        spawnable(crate::pipeline::downloads(options, Arc::default(), CancellationToken::new()));
    }
    let _ = of_downloads;
}
