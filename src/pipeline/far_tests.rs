//! The number of requests that commands take in a far lake of many partitions: a store in memory counts them.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::crash_tests::{layout, run};
use super::{LakeRows, RebuildOptions, rebuild, validate_partitions};
use crate::sample::{Options, SampleServer, World};
use crate::store::Store;
use crate::table::TableKind;

const PARTITIONS: u64 = 24;

/// Returns a lake whose partitions have a name each.
async fn lake() -> Store {
    let names: Vec<String> = (0..PARTITIONS).map(|number| format!("p{number:02}")).collect();
    let mut world = World::seeded(31, 0);
    world.add_names(names.iter().cloned());
    let server = SampleServer::start(world, Options::default()).unwrap();
    let store = Store::memory();
    let pivots: Vec<&str> = names.iter().skip(1).map(String::as_str).collect();
    run(&server, &store, &pivots).await.unwrap();
    store
}

/// Does some work, and returns how many objects were read and how many pages were listed.
async fn cost<T>(store: &Store, work: impl Future<Output = T>) -> (T, u64, u64) {
    let before = store.usage();
    let done = work.await;
    let after = store.usage();
    (done, after.gets + after.heads - before.gets - before.heads, after.lists - before.lists)
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_look_at_all_partitions_list_the_shards_and_read_only_manifests_and_names() {
    let store = lake().await;
    let tables = TableKind::ALL.len() as u64;
    let shards = store.list(layout().root()).await.unwrap().iter().filter(|path| path.ends_with(".parquet")).count();
    assert_eq!(shards as u64, PARTITIONS * tables);

    let options = RebuildOptions::default();
    let work = rebuild(&store, &options, Arc::default(), CancellationToken::new());
    let (summary, reads, lists) = cost(&store, work).await;
    assert_eq!(summary.unwrap().partitions_current, PARTITIONS);
    // The manifests are read to plan, and to note the versions of the shards.
    assert!(reads <= 2 * PARTITIONS + 40 && lists <= 2 * tables + 30, "rebuild: {reads} reads, {lists} lists");

    let (faults, reads, lists) = cost(&store, validate_partitions(&store, &layout())).await;
    assert_eq!(faults.unwrap(), []);
    // A manifest and the shard of `docs` for each partition, which may take a second range.
    assert!(reads <= 3 * PARTITIONS + 5 && lists <= 2 * tables + 5, "validate: {reads} reads, {lists} lists");

    let (rows, reads, lists) = cost(&store, LakeRows::open(&store, &layout())).await;
    assert_eq!(rows.unwrap().count(), PARTITIONS);
    assert!(reads <= PARTITIONS + 2 && lists <= 2, "rows: {reads} reads, {lists} lists");

    // Faults are found as before: a lost shard, and one of another size.
    let partition = super::read_partition_set(&store, &layout()).await.unwrap().unwrap().get(3);
    let (lost, longer) = (layout().shard(TableKind::Stars, &partition), layout().shard(TableKind::Quirks, &partition));
    let bytes = store.get(&longer).await.unwrap().unwrap();
    store.delete(&lost).await.unwrap();
    store.put(&longer, [&bytes[..], b"more"].concat()).await.unwrap();
    let faults = validate_partitions(&store, &layout()).await.unwrap();
    let mut found: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, [longer.as_str(), lost.as_str()]);
    let summary = rebuild(&store, &options, Arc::default(), CancellationToken::new()).await.unwrap();
    assert_eq!((summary.partitions_rebuilt, summary.partitions_current), (1, PARTITIONS - 1));
    assert_eq!(validate_partitions(&store, &layout()).await.unwrap(), []);
}
