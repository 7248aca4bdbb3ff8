//! Reads the graph that the group named when it was opened: names of nodes, and the edges of some nodes. Not here: writing
//! it.

use std::ops::Range;

use super::csr::Csr;
use super::specs::{self, Direction};
use crate::array::form::ArrayForm;
use crate::array::group::Group;
use crate::array::packages;
use crate::array::reader::ArrayReader;
use crate::array::rows::Rows;
use crate::error::{Error, Result};
use crate::lake::OriginLayout;
use crate::store::{Store, blocking};

/// The nodes of a part whose edges are read at once: those of a chunk.
const PART_NODES: u32 = 65_536;

/// One of the two sides from which edges can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// From a package to those that its latest version depends on.
    Out,
    /// From a package to those whose latest versions depend on it.
    In,
}

/// The edges of some nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEdges {
    /// The nodes, ascending.
    pub nodes: Vec<u32>,
    /// Their edges, in the order of `nodes`.
    pub csr: Csr,
}

/// `dependency_graph.zarr` of an origin, open for reading. Cheap to clone.
///
/// The objects of a graph stay until the group has named another one and the one after that is written: whoever reads for
/// long asks at the end whether it [is current](StoredGraph::is_current).
#[derive(Debug, Clone)]
pub struct StoredGraph {
    group: Group,
    generation: u64,
    packages: u32,
    names: ArrayForm,
    sides: [StoredSide; 2],
}

#[derive(Debug, Clone)]
struct StoredSide {
    indptr: ArrayReader,
    indices: ArrayReader,
    kinds: ArrayReader,
}

impl StoredGraph {
    /// Opens the graph by one request; `None` if there is none.
    pub async fn find(store: &Store, layout: &OriginLayout) -> Result<Option<StoredGraph>> {
        let group = Group::new(store, layout.dependency_graph());
        let Some(found) = group.find().await? else { return Ok(None) };
        let side = |direction: Direction| -> Result<StoredSide> {
            let array = |name| ArrayReader::new(store, found.array(name)?);
            Ok(StoredSide {
                indptr: array(direction.indptr)?,
                indices: array(direction.indices)?,
                kinds: array(direction.kind)?,
            })
        };
        let sides = [side(specs::OUT)?, side(specs::IN)?];
        let names = found.array(packages::NAME)?;
        let packages = found.json()["attributes"][specs::PACKAGES].as_u64().and_then(|rows| u32::try_from(rows).ok());
        let packages = packages.ok_or_else(|| Error::lake(format!("{} is damaged: it has no rows", group.folder())))?;
        Ok(Some(StoredGraph { generation: found.generation(), packages, names, sides, group }))
    }

    /// Returns the number of nodes.
    pub fn nodes(&self) -> u32 {
        self.sides[0].indptr.shape()[0].saturating_sub(1)
    }

    /// Returns the number of nodes that are rows of the package axis: the first ones. The others have names that the lake has
    /// never held.
    pub fn packages(&self) -> u32 {
        self.packages
    }

    /// Returns the number of edges.
    pub fn edges(&self) -> u64 {
        self.sides[0].indices.shape()[0].into()
    }

    /// Returns the generation of the graph that is open.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns whether the group still names this graph, by one request. If so, all that was read before is of it.
    pub async fn is_current(&self) -> Result<bool> {
        let found = self.group.find().await?;
        Ok(found.is_some_and(|found| found.generation() == self.generation))
    }

    /// Returns the names of some nodes. Reads whole shards of names.
    pub async fn names(&self, nodes: Range<u32>) -> Result<Vec<String>> {
        let length = self.names.shard_elements().max(1) as u32;
        let nodes = nodes.start..nodes.end.min(self.nodes());
        let mut names = Vec::with_capacity(nodes.len());
        for shard in nodes.start / length..nodes.end.div_ceil(length) {
            let path = self.names.path(&[shard.into()]);
            let bytes = self.group.store().get(&path).await?;
            let bytes = bytes.ok_or_else(|| Error::lake(format!("{path} is missing")))?;
            let form = self.names.clone();
            let mut of_shard = blocking("the reader of names", move || form.decode::<String>(&path, &bytes)).await?;
            let first = shard * length;
            of_shard.truncate((nodes.end - first) as usize);
            names.extend(of_shard.into_iter().skip(nodes.start.saturating_sub(first) as usize));
        }
        Ok(names)
    }

    /// Splits nodes into parts whose edges are read at once.
    pub fn node_tiles(&self, nodes: &Rows) -> Vec<Rows> {
        let parts = (0..self.nodes().div_ceil(PART_NODES)).map(|part| part * PART_NODES);
        let parts = parts.map(|start| nodes.within(start..start.saturating_add(PART_NODES).min(self.nodes())));
        parts.filter(|ranges| !ranges.is_empty()).map(Rows::Ranges).collect()
    }

    /// Reads the edges of some nodes. Only the chunks that have some of them are read.
    ///
    /// Fails with [`crate::error::ErrorKind::Lake`] if an array is damaged, or if the graph was replaced meanwhile.
    pub async fn edges_of(&self, side: Side, nodes: &Rows) -> Result<NodeEdges> {
        let side = &self.sides[side as usize];
        let nodes: Vec<u32> = nodes.within(0..self.nodes()).into_iter().flatten().collect();
        let bounds: Vec<Range<u32>> = nodes.iter().map(|&node| node..node + 2).collect();
        let bounds: Vec<i64> = side.indptr.read_elements(&bounds).await?;
        let edges = i64::from(side.indices.shape()[0]);
        let mut ranges = Vec::with_capacity(nodes.len());
        let mut indptr = vec![0i64];
        let mut before = 0;
        for bounds in bounds.chunks_exact(2) {
            let (start, end) = (bounds[0], bounds[1]);
            if start < before || end < start || end > edges {
                return Err(self.damaged("its places of edges do not ascend"));
            }
            before = end;
            ranges.push(start as u32..end as u32);
            indptr.push(indptr.last().copied().unwrap_or_default() + end - start);
        }
        let (indices, kinds) =
            futures::try_join!(side.indices.read_elements::<i32>(&ranges), side.kinds.read_elements::<u8>(&ranges))?;
        if indices.iter().any(|&index| u32::try_from(index).map_or(true, |index| index >= self.nodes())) {
            return Err(self.damaged("an edge leads to no node"));
        }
        Ok(NodeEdges { nodes, csr: Csr { indptr, indices, kinds } })
    }

    fn damaged(&self, cause: &str) -> Error {
        Error::lake(format!("{} is damaged, or was replaced while it was read: {cause}", self.group.folder()))
            .hint("run the same command again")
    }
}
