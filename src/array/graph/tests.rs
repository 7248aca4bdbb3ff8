#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::date;

use super::*;
use crate::lake::Layout;
use crate::store::{Failure, MemoryBucket};

fn graph(edges: &[(u32, u32, u8)], outside: &[&str]) -> DependencyGraph {
    let mut axis = PackageAxis::default();
    for name in ["a", "b", "c"] {
        axis.add(name, date(2026, 1, 1));
    }
    axis.set_gone(2, Some(date(2026, 2, 1)));
    let mut all = Edges::default();
    edges.iter().for_each(|&(from, to, kind)| all.push(from, to, kind));
    DependencyGraph::new(Arc::new(axis), outside.iter().map(|&name| name.to_owned()).collect(), all)
}

async fn write(store: &Store, edges: &[(u32, u32, u8)], outside: &[&str]) -> Result<Written> {
    let right: Right = Arc::new(|| Ok(()));
    graph(edges, outside).write(store, &Layout::origin("npm"), &right).await
}

/// Reads the graph as one who opens its group does: the edges with names, in both directions, and the generation.
async fn read(store: &Store) -> Option<(u64, Vec<(String, String, u8)>, Vec<(String, String, u8)>)> {
    let group = Group::new(store, Layout::origin("npm").dependency_graph()).find().await.unwrap()?;
    async fn values<T: zarrs::array::ElementOwned + Default>(store: &Store, group: &StoredGroup, name: &str) -> Vec<T> {
        let form = group.array(name).unwrap();
        let path = form.path(&[0]);
        let mut values = match store.get(&path).await.unwrap() {
            Some(bytes) => form.decode(&path, &bytes).unwrap(),
            None => vec![T::default(); form.shard_elements()],
        };
        values.truncate(form.shape()[0] as usize);
        values
    }
    let names: Vec<String> = values(store, &group, packages::NAME).await;
    let mut directions = Vec::new();
    for direction in [OUT, IN] {
        let indptr: Vec<i64> = values(store, &group, direction.indptr).await;
        let indices: Vec<i32> = values(store, &group, direction.indices).await;
        let kinds: Vec<u8> = values(store, &group, direction.kind).await;
        assert_eq!((indptr.len(), indptr[names.len()]), (names.len() + 1, indices.len() as i64));
        let edges = indptr.windows(2).enumerate().flat_map(|(node, bounds)| {
            (bounds[0] as usize..bounds[1] as usize).map(move |edge| (node, edge)).collect::<Vec<_>>()
        });
        let edge =
            |(node, edge): (usize, usize)| (names[node].clone(), names[indices[edge] as usize].clone(), kinds[edge]);
        directions.push(edges.map(edge).collect());
    }
    let back = directions.pop().unwrap();
    Some((group.generation(), directions.pop().unwrap(), back))
}

const FIRST: [(u32, u32, u8); 4] = [(0, 1, 0), (0, 1, 1), (1, 3, 0), (2, 0, 2)];
const SECOND: [(u32, u32, u8); 3] = [(0, 1, 0), (1, 4, 3), (2, 3, 0)];

fn named(edges: &[(&str, &str, u8)]) -> Vec<(String, String, u8)> {
    edges.iter().map(|&(from, to, kind)| (from.to_owned(), to.to_owned(), kind)).collect()
}

#[tokio::test]
async fn a_graph_is_read_back_in_both_directions_with_names_outside_the_lake() {
    let store = Store::memory();
    assert_eq!(write(&store, &FIRST, &["node"]).await.unwrap().generation, 1);
    let (generation, out, back) = read(&store).await.unwrap();
    assert_eq!(generation, 1);
    assert_eq!(out, named(&[("a", "b", 0), ("a", "b", 1), ("b", "node", 0), ("c", "a", 2)]));
    assert_eq!(back, named(&[("a", "c", 2), ("b", "a", 0), ("b", "a", 1), ("node", "b", 0)]));
    let group = Group::new(&store, Layout::origin("npm").dependency_graph()).find().await.unwrap().unwrap();
    let form = group.array(IN_LAKE).unwrap();
    let bytes = store.get(&form.path(&[0])).await.unwrap().unwrap();
    assert_eq!(form.decode::<bool>("x", &bytes).unwrap()[..5], [true, true, false, false, false], "c is gone");
}

#[tokio::test]
async fn an_equal_graph_writes_nothing_and_another_one_leaves_the_one_before_in_place() {
    let store = Store::memory();
    write(&store, &FIRST, &["node"]).await.unwrap();
    store.take_reached();
    assert_eq!(write(&store, &FIRST, &["node"]).await.unwrap(), Written { shards: 0, generation: 1 });
    assert!(store.take_reached().is_empty());
    let before = objects(&store).await;
    assert_eq!(write(&store, &SECOND, &["node", "zlib"]).await.unwrap().generation, 2);
    let after = objects(&store).await;
    for (path, bytes) in before.iter().filter(|(path, _)| !path.ends_with("zarr.json")) {
        assert_eq!(after.get(path), Some(bytes), "{path}");
    }
    assert_eq!(read(&store).await.unwrap().1, named(&[("a", "b", 0), ("b", "zlib", 3), ("c", "node", 0)]));
    // The third generation takes the place of the first, and writes only what differs from it.
    let third = write(&store, &FIRST, &["node"]).await.unwrap();
    assert_eq!(third, Written { shards: 0, generation: 3 });
    assert_eq!(read(&store).await.unwrap().1.len(), 4);
    let few = write(&store, &[], &[]).await.unwrap();
    assert_eq!((few.generation, read(&store).await.unwrap().1.len()), (4, 0));
}

async fn objects(store: &Store) -> BTreeMap<String, Bytes> {
    let mut objects = BTreeMap::new();
    for path in store.list("").await.unwrap() {
        let bytes = store.get(&path).await.unwrap().unwrap();
        objects.insert(path, bytes);
    }
    objects
}

#[tokio::test]
async fn after_a_death_at_any_step_who_opens_the_graph_sees_the_old_or_the_new_one() {
    let first = named(&[("a", "b", 0), ("a", "b", 1), ("b", "node", 0), ("c", "a", 2)]);
    let second = named(&[("a", "b", 0), ("b", "zlib", 3), ("c", "node", 0)]);
    let mut steps = 0;
    loop {
        let bucket = Arc::new(MemoryBucket::new());
        let store = Store::of_memory(&bucket);
        // Two generations before, so that the third meets objects of the first.
        write(&store, &SECOND, &["node", "zlib"]).await.unwrap();
        write(&store, &FIRST, &["node"]).await.unwrap();
        let dying = store.failing_at(steps + 1, Failure::Death);
        let ended = write(&dying, &[(0, 1, 0), (1, 4, 3), (2, 3, 0), (2, 0, 4)], &["node", "zlib"]).await;
        let Some(died_at) = dying.failed_at() else {
            assert_eq!(ended.unwrap().generation, 3);
            break;
        };
        let (generation, out, _) = read(&store).await.unwrap();
        match generation {
            2 => assert_eq!(out, first, "at {died_at}"),
            3 => assert_eq!(out.len(), 4, "at {died_at}"),
            other => panic!("generation {other} at {died_at}"),
        }
        let again = write(&store, &SECOND, &["node", "zlib"]).await.unwrap();
        assert_eq!(read(&store).await.unwrap().1, second, "at {died_at}: {again:?}");
        for (name, json) in objects(&store).await.iter().filter(|(path, _)| path.ends_with("/out_kind/zarr.json")) {
            let json: Value = serde_json::from_slice(json).unwrap();
            let group: Value =
                serde_json::from_slice(&objects(&store).await["npm/dependency_graph.zarr/zarr.json"]).unwrap();
            assert_eq!(json, group["consolidated_metadata"]["metadata"]["out_kind"], "{name} at {died_at}");
        }
        steps += 1;
    }
    assert!(steps > 8, "only {steps} steps were made to fail");
}
