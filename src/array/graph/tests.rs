#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use jiff::civil::date;

use super::*;
use crate::array::rows::Rows;
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
    assert_eq!(write(&store, &FIRST, &["node"]).await.unwrap().generation, 2);
    let (generation, out, back) = read(&store).await.unwrap();
    assert_eq!(generation, 2);
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
    assert_eq!(write(&store, &FIRST, &["node"]).await.unwrap(), Written { shards: 0, generation: 2 });
    assert!(store.take_reached().is_empty());
    let before = store.contents().await;
    assert_eq!(write(&store, &SECOND, &["node", "zlib"]).await.unwrap().generation, 4);
    let after = store.contents().await;
    for (path, bytes) in before.iter().filter(|(path, _)| !path.ends_with("zarr.json")) {
        assert_eq!(after.get(path), Some(bytes), "{path}");
    }
    assert_eq!(read(&store).await.unwrap().1, named(&[("a", "b", 0), ("b", "zlib", 3), ("c", "node", 0)]));
    // The third generation takes the place of the first, and writes only what differs from it.
    let third = write(&store, &FIRST, &["node"]).await.unwrap();
    assert_eq!(third, Written { shards: 0, generation: 6 });
    assert_eq!(read(&store).await.unwrap().1.len(), 4);
    let few = write(&store, &[], &[]).await.unwrap();
    assert_eq!((few.generation, read(&store).await.unwrap().1.len()), (8, 0));
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
            assert_eq!(ended.unwrap().generation, 6);
            break;
        };
        let (generation, out, _) = read(&store).await.unwrap();
        match generation {
            4 => assert_eq!(out, first, "at {died_at}"),
            6 => assert_eq!(out.len(), 4, "at {died_at}"),
            other => panic!("generation {other} at {died_at}"),
        }
        let again = write(&store, &SECOND, &["node", "zlib"]).await.unwrap();
        assert_eq!(read(&store).await.unwrap().1, second, "at {died_at}: {again:?}");
        for (name, json) in store.contents().await.iter().filter(|(path, _)| path.ends_with("/out_kind/zarr.json")) {
            let json: Value = serde_json::from_slice(json).unwrap();
            let group: Value =
                serde_json::from_slice(&store.contents().await["npm/dependency_graph.zarr/zarr.json"]).unwrap();
            assert_eq!(json, group["consolidated_metadata"]["metadata"]["out_kind"], "{name} at {died_at}");
        }
        steps += 1;
    }
    assert!(steps > 8, "only {steps} steps were made to fail");
}

#[tokio::test]
async fn the_edges_of_some_nodes_are_read_from_both_sides() {
    let store = Store::memory();
    let layout = Layout::origin("npm");
    assert!(StoredGraph::find(&store, &layout).await.unwrap().is_none());
    write(&store, &FIRST, &["node"]).await.unwrap();
    let graph = StoredGraph::find(&store, &layout).await.unwrap().unwrap();
    assert_eq!((graph.nodes(), graph.packages(), graph.edges(), graph.generation()), (4, 3, 4, 2));
    assert_eq!(graph.names(1..9).await.unwrap(), ["b", "c", "node"]);
    let out = graph.edges_of(Side::Out, &Rows::of([0, 2, 3, 9])).await.unwrap();
    let csr = Csr { indptr: vec![0, 2, 3, 3], indices: vec![1, 1, 0], kinds: vec![0, 1, 2] };
    assert_eq!(out, NodeEdges { nodes: vec![0, 2, 3], csr });
    let back = graph.edges_of(Side::In, &Rows::All).await.unwrap();
    let csr = Csr { indptr: vec![0, 1, 3, 3, 4], indices: vec![2, 0, 0, 1], kinds: vec![2, 0, 1, 0] };
    assert_eq!(back, NodeEdges { nodes: vec![0, 1, 2, 3], csr });
    assert_eq!(graph.node_tiles(&Rows::All), [Rows::range(0..4)]);
    assert!(graph.edges_of(Side::Out, &Rows::range(7..9)).await.unwrap().nodes.is_empty());
    assert!(graph.is_current().await.unwrap());
    write(&store, &SECOND, &["node", "zlib"]).await.unwrap();
    assert!(!graph.is_current().await.unwrap());
    assert_eq!(graph.edges_of(Side::Out, &Rows::of([0])).await.unwrap().csr.indices, [1, 1], "its objects are there");
}

#[tokio::test]
async fn the_edges_of_scattered_nodes_are_read_from_many_chunks() {
    let store = Store::memory();
    let layout = Layout::origin("npm");
    let mut axis = PackageAxis::default();
    let nodes = 70_000u32;
    for node in 0..nodes {
        axis.add(&format!("p{node}"), date(2026, 1, 1));
    }
    let ends = |node: u32| (0..node % 4).map(move |edge| (node * 31 + edge * 7_919) % nodes);
    let mut edges = Edges::default();
    for node in 0..nodes {
        ends(node).for_each(|end| edges.push(node, end, (end % 5) as u8));
    }
    let right: Right = Arc::new(|| Ok(()));
    DependencyGraph::new(Arc::new(axis), Vec::new(), edges).write(&store, &layout, &right).await.unwrap();
    let graph = StoredGraph::find(&store, &layout).await.unwrap().unwrap();
    assert_eq!(graph.node_tiles(&Rows::All), [Rows::range(0..65_536), Rows::range(65_536..nodes)]);
    let wanted: Vec<u32> = (0..nodes).step_by(997).chain([1, 2, 3, 65_535, 65_536, 69_999]).collect();
    let NodeEdges { nodes: found, csr } = graph.edges_of(Side::Out, &Rows::of(wanted.clone())).await.unwrap();
    let mut wanted = wanted;
    wanted.sort_unstable();
    wanted.dedup();
    assert_eq!(found, wanted);
    for (node, bounds) in found.iter().zip(csr.indptr.windows(2)) {
        let mut expected: Vec<i32> = ends(*node).map(|end| end as i32).collect();
        expected.sort_unstable();
        let bounds = bounds[0] as usize..bounds[1] as usize;
        assert_eq!(csr.indices[bounds.clone()], expected, "node {node}");
        assert!(expected.iter().zip(&csr.kinds[bounds]).all(|(&end, &kind)| (end % 5) as u8 == kind));
    }
}
