//! The dependency graph in memory, and the nodes that can be reached in it. Not here: reading the edges (`reach`).

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Collects named nodes and the edges between them. [`GraphBuilder::finish`] sorts the edges for walking.
#[derive(Debug, Default)]
pub(super) struct GraphBuilder {
    names: Names,
    edges: Vec<(u32, u32)>,
    /// The nodes of the previous edge: rows of one package come together.
    last: (u32, u32),
}

/// A graph that can be walked.
#[derive(Debug)]
pub(super) struct Graph {
    names: Names,
    /// The offset of each node's first target, and the end of the last node's targets.
    starts: Vec<u32>,
    targets: Vec<u32>,
}

/// A reached node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reached {
    /// The node.
    pub(super) node: u32,
    /// The number of edges from the start.
    pub(super) depth: u32,
    /// The node before it on a shortest path; of several the first by name.
    pub(super) via: u32,
}

/// The error for more nodes or edges than 32 bits can count.
#[derive(Debug, thiserror::Error)]
#[error("the graph has more than four billion nodes or edges")]
pub(super) struct TooLarge;

impl GraphBuilder {
    /// Adds an edge.
    pub(super) fn add(&mut self, from: &str, to: &str) -> Result<(), TooLarge> {
        self.last = (self.node(from, self.last.0)?, self.node(to, self.last.1)?);
        self.edges.push(self.last);
        Ok(())
    }

    fn node(&mut self, name: &str, last: u32) -> Result<u32, TooLarge> {
        if self.names.len() > 0 && self.names.get(last) == name { Ok(last) } else { self.names.intern(name) }
    }

    /// Returns about how many bytes the builder holds.
    pub(super) fn size_bytes(&self) -> usize {
        // Sorting the edges takes as much memory again as the edges.
        self.names.size_bytes() + self.edges.capacity() * 2 * size_of::<(u32, u32)>()
    }

    /// Makes the graph: sorts the edges by the node that they leave.
    pub(super) fn finish(self) -> Result<Graph, TooLarge> {
        let GraphBuilder { names, edges, .. } = self;
        u32::try_from(edges.len()).map_err(|_| TooLarge)?;
        let mut starts = vec![0_u32; names.len() + 1];
        for (from, _) in &edges {
            if let Some(count) = starts.get_mut(*from as usize + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut next = starts.clone();
        let mut targets = vec![0; edges.len()];
        for (from, to) in edges {
            if let Some(place) = next.get_mut(from as usize) {
                if let Some(target) = targets.get_mut(*place as usize) {
                    *target = to;
                }
                *place += 1;
            }
        }
        Ok(Graph { names, starts, targets })
    }
}

impl Graph {
    /// Returns the name of a node.
    pub(super) fn name(&self, node: u32) -> &str {
        self.names.get(node)
    }

    /// Returns every node within `most_depth` edges of `start`, each once, without the start itself, ordered by depth,
    /// then by name. The walk ends in cycles too.
    pub(super) fn reach(&self, start: &str, most_depth: u32) -> Vec<Reached> {
        let Some(start) = self.names.find(start) else { return Vec::new() };
        let mut seen = vec![false; self.names.len()];
        let mut mark = |node: u32| seen.get_mut(node as usize).is_some_and(|seen| !std::mem::replace(seen, true));
        mark(start);
        let mut reached: Vec<Reached> = Vec::new();
        let mut frontier = vec![start];
        for depth in 1..=most_depth {
            let before = reached.len();
            for via in frontier.drain(..) {
                let new = self.targets(via).iter().filter(|target| mark(**target));
                reached.extend(new.map(|target| Reached { node: *target, depth, via }));
            }
            let Some(level) = reached.get_mut(before..).filter(|level| !level.is_empty()) else { break };
            level.sort_unstable_by(|one, other| self.name(one.node).cmp(self.name(other.node)));
            frontier.extend(level.iter().map(|reached| reached.node));
        }
        reached
    }

    fn targets(&self, node: u32) -> &[u32] {
        let bound = |place: usize| self.starts.get(place).map(|start| *start as usize);
        let range = bound(node as usize).zip(bound(node as usize + 1));
        range.and_then(|(start, end)| self.targets.get(start..end)).unwrap_or_default()
    }
}

/// Names, each with a number.
#[derive(Debug, Default)]
struct Names {
    text: String,
    /// The end of each name in the text.
    ends: Vec<usize>,
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Names {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, number: u32) -> &str {
        name_of(&self.text, &self.ends, number)
    }

    fn find(&self, name: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        self.numbers.find(hash, |number| self.get(*number) == name).copied()
    }

    fn intern(&mut self, name: &str) -> Result<u32, TooLarge> {
        if let Some(known) = self.find(name) {
            return Ok(known);
        }
        let number = u32::try_from(self.ends.len()).map_err(|_| TooLarge)?;
        self.text.push_str(name);
        self.ends.push(self.text.len());
        let Names { text, ends, numbers, hasher } = self;
        let hash = hasher.hash_one(name);
        numbers.insert_unique(hash, number, |number| hasher.hash_one(name_of(text, ends, *number)));
        Ok(number)
    }

    fn size_bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<usize>() + self.numbers.capacity() * 5
    }
}

fn name_of<'t>(text: &'t str, ends: &[usize], number: u32) -> &'t str {
    let place = number as usize;
    let start = place.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or_default();
    ends.get(place).and_then(|end| text.get(start..*end)).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn reached(edges: &[(&str, &str)], start: &str, most_depth: u32) -> Vec<String> {
        let mut builder = GraphBuilder::default();
        for (from, to) in edges {
            builder.add(from, to).unwrap();
        }
        assert!(builder.size_bytes() > 0 || edges.is_empty());
        let graph = builder.finish().unwrap();
        let shown = |reached: &Reached| {
            format!("{} {} by {}", reached.depth, graph.name(reached.node), graph.name(reached.via))
        };
        graph.reach(start, most_depth).iter().map(shown).collect()
    }

    #[test]
    fn each_node_is_reached_once_by_a_shortest_way_and_circles_end() {
        let edges = [("a", "c"), ("a", "b"), ("b", "d"), ("c", "d"), ("d", "a"), ("d", "e"), ("e", "e"), ("x", "a")];
        assert_eq!(reached(&edges, "a", u32::MAX), ["1 b by a", "1 c by a", "2 d by b", "3 e by d"]);
        assert_eq!(reached(&edges, "a", 1), ["1 b by a", "1 c by a"]);
        assert_eq!(reached(&edges, "e", 9), Vec::<String>::new());
        assert_eq!(reached(&edges, "unknown", 9), Vec::<String>::new());
        assert_eq!(reached(&[], "a", 9), Vec::<String>::new());
        assert_eq!(reached(&edges, "a", 0), Vec::<String>::new());
    }

    #[test]
    fn a_long_chain_is_walked_to_its_end() {
        let names: Vec<String> = (0..100_000).map(|number| format!("n{number:06}")).collect();
        let edges: Vec<(&str, &str)> = names.windows(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
        let all = reached(&edges, "n000000", u32::MAX);
        assert_eq!(all.len(), 99_999);
        assert_eq!(all.last().unwrap(), "99999 n099999 by n099998");
    }
}
