//! Edges in compressed sparse rows (CSR): for each node the nodes that it points to. Not here: their arrays.

/// Edges in any order, each with a kind.
#[derive(Debug, Clone, Default)]
pub struct Edges {
    from: Vec<u32>,
    to: Vec<u32>,
    kinds: Vec<u8>,
}

impl Edges {
    /// Adds an edge between two nodes.
    pub fn push(&mut self, from: u32, to: u32, kind: u8) {
        self.from.push(from);
        self.to.push(to);
        self.kinds.push(kind);
    }

    /// Returns the number of edges.
    pub fn len(&self) -> usize {
        self.from.len()
    }

    /// Returns whether there are no edges.
    pub fn is_empty(&self) -> bool {
        self.from.is_empty()
    }

    /// Replaces each target by what `target` returns for it.
    pub fn map_targets(&mut self, target: impl Fn(u32) -> u32) {
        self.to.iter_mut().for_each(|to| *to = target(*to));
    }
}

/// Edges by the node that they start from. Those of a node are sorted by their ends, then by kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csr {
    /// For each node the place of its first edge, and at the end the number of edges.
    pub indptr: Vec<i64>,
    /// The end of each edge.
    pub indices: Vec<i32>,
    /// The kind of each edge.
    pub kinds: Vec<u8>,
}

impl Csr {
    /// Sorts edges between `nodes` nodes. An edge that is there twice with one kind is kept once.
    pub fn of(edges: Edges, nodes: usize) -> Csr {
        let Edges { from, to, kinds } = edges;
        let sorted = Csr::scatter(nodes, &from, &to, &kinds);
        drop((from, to, kinds));
        sorted.without_repetition()
    }

    /// Returns the same edges by the nodes where they end.
    pub fn reversed(&self) -> Csr {
        let nodes = self.nodes();
        let mut sources = Vec::with_capacity(self.indices.len());
        for (node, bounds) in (0u32..).zip(self.indptr.windows(2)) {
            sources.resize(bounds[1] as usize, node);
        }
        // The sources come in their order, and with one source the kinds do.
        Csr::scatter(nodes, bytemuck::cast_slice(&self.indices), &sources, &self.kinds)
    }

    /// Returns the number of nodes.
    pub fn nodes(&self) -> usize {
        self.indptr.len().saturating_sub(1)
    }

    /// Puts each edge after the edges that start from the same node and come before it.
    fn scatter(nodes: usize, from: &[u32], to: &[u32], kinds: &[u8]) -> Csr {
        let mut indptr = vec![0i64; nodes + 1];
        for &node in from {
            indptr[node as usize + 1] += 1;
        }
        for node in 0..nodes {
            indptr[node + 1] += indptr[node];
        }
        let mut next = indptr.clone();
        let (mut indices, mut placed_kinds) = (vec![0i32; from.len()], vec![0u8; from.len()]);
        for ((&node, &end), &kind) in from.iter().zip(to).zip(kinds) {
            let place = &mut next[node as usize];
            indices[*place as usize] = end as i32;
            placed_kinds[*place as usize] = kind;
            *place += 1;
        }
        Csr { indptr, indices, kinds: placed_kinds }
    }

    /// Sorts the edges of each node, and removes those that are the same.
    fn without_repetition(mut self) -> Csr {
        let mut kept = 0;
        let mut edges: Vec<(i32, u8)> = Vec::new();
        for node in 0..self.nodes() {
            let bounds = self.indptr[node] as usize..self.indptr[node + 1] as usize;
            edges.clear();
            edges.extend(self.indices[bounds.clone()].iter().copied().zip(self.kinds[bounds].iter().copied()));
            edges.sort_unstable();
            edges.dedup();
            self.indptr[node] = kept as i64;
            for &(index, kind) in &edges {
                (self.indices[kept], self.kinds[kept]) = (index, kind);
                kept += 1;
            }
        }
        if let Some(last) = self.indptr.last_mut() {
            *last = kept as i64;
        }
        self.indices.truncate(kept);
        self.kinds.truncate(kept);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(all: &[(u32, u32, u8)]) -> Edges {
        let mut edges = Edges::default();
        all.iter().for_each(|&(from, to, kind)| edges.push(from, to, kind));
        edges
    }

    #[test]
    fn edges_are_sorted_by_node_end_and_kind_and_none_is_there_twice() {
        let out = Csr::of(edges(&[(2, 0, 1), (0, 3, 0), (2, 0, 0), (0, 1, 4), (2, 0, 1), (2, 2, 0), (3, 0, 0)]), 4);
        assert_eq!(out.indptr, [0, 2, 2, 5, 6]);
        assert_eq!(out.indices, [1, 3, 0, 0, 2, 0]);
        assert_eq!(out.kinds, [4, 0, 0, 1, 0, 0]);
        let back = out.reversed();
        assert_eq!(back.indptr, [0, 3, 4, 5, 6]);
        assert_eq!(back.indices, [2, 2, 3, 0, 2, 0]);
        assert_eq!(back.kinds, [0, 1, 0, 4, 0, 0]);
        assert_eq!(back.reversed(), out);
    }

    #[test]
    fn a_graph_may_have_no_edges_and_no_nodes() {
        let empty = Csr::of(Edges::default(), 0);
        assert_eq!((empty.indptr.as_slice(), empty.nodes()), ([0].as_slice(), 0));
        assert_eq!(Csr::of(Edges::default(), 2).reversed().indptr, [0, 0, 0]);
    }
}
