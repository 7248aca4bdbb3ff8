//! The arrays of `dependency_graph.zarr`: their types, chunks and attributes.

use serde_json::{Value, json};

use crate::array::packages;
use crate::array::spec::ArraySpec;

/// The elements of a shard: at most 32 MB of them.
const SHARD: u64 = 1 << 22;
/// The elements of a chunk. A reader of one package's edges decodes so many.
const CHUNK: u64 = 1 << 16;
/// The names of a shard.
const NAMES_PER_SHARD: u64 = 131_072;

/// The kinds of edges. The place of a kind is its code.
pub const EDGE_KINDS: [&str; 5] = ["prod", "dev", "peer", "optional", "bundled"];

/// The attribute with the number of rows of the package axis.
pub(super) const PACKAGES: &str = "packages";
pub(in crate::array) const IN_LAKE: &str = "in_lake";
pub(super) const NODE_BOUND: &str = "node_bound";

/// The names of the three arrays of one direction, and of the dimension of its edges.
pub(in crate::array) struct Direction {
    pub(in crate::array) indptr: &'static str,
    pub(in crate::array) indices: &'static str,
    pub(in crate::array) kind: &'static str,
    pub(super) edge: &'static [&'static str],
    meaning: &'static str,
}

pub(in crate::array) const OUT: Direction = Direction {
    indptr: "out_indptr",
    indices: "out_indices",
    kind: "out_kind",
    edge: &["out_edge"],
    meaning: "from a package to those that its latest version depends on",
};
pub(in crate::array) const IN: Direction = Direction {
    indptr: "in_indptr",
    indices: "in_indices",
    kind: "in_kind",
    edge: &["in_edge"],
    meaning: "from a package to those whose latest versions depend on it",
};

/// The names of all arrays.
pub(super) const NAMES: [&str; 8] =
    [packages::NAME, IN_LAKE, OUT.indptr, OUT.indices, OUT.kind, IN.indptr, IN.indices, IN.kind];

/// Returns the arrays of a generation, whose objects have names with `separator`. Those of a small graph have small chunks.
pub(super) fn specs(separator: char, nodes: u64, edges: u64) -> Vec<ArraySpec> {
    let chunk = CHUNK.min((nodes + 1).max(edges).next_power_of_two());
    let shard = SHARD.min((nodes + 1).max(edges).next_multiple_of(chunk));
    let array = |name, data_type, dimension: &'static [&'static str], attributes: Value| ArraySpec {
        name,
        data_type,
        dimensions: dimension,
        shard: vec![shard],
        chunk: vec![chunk],
        fill: json!(0),
        attributes,
        separator,
    };
    let in_lake = ArraySpec {
        fill: json!(false),
        ..array(
            IN_LAKE,
            "bool",
            &[packages::NAME],
            json!({
                "description": "Whether the lake holds the package now. Nodes after the rows of package_index.parquet are \
                    names that others depend on and that the lake has never held.",
            }),
        )
    };
    let mut all = vec![packages::spec(NAMES_PER_SHARD.min(shard), separator), in_lake];
    for Direction { indptr, indices, kind, edge, meaning } in [OUT, IN] {
        all.push(array(indptr, "int64", &[NODE_BOUND], json!({
            "description": format!("The place of the first edge of each node, {meaning}, and at the end the number of \
                edges. scipy.sparse.csr_array takes the three arrays as they are."),
        })));
        all.push(array(
            indices,
            "int32",
            edge,
            json!({
                "description": format!("The node at the end of each edge, {meaning}: its place in `package`."),
            }),
        ));
        all.push(array(
            kind,
            "uint8",
            edge,
            json!({
                "description": "The kind of the edge. An edge of two kinds is there twice.",
                "flag_values": (0..EDGE_KINDS.len()).collect::<Vec<_>>(),
                "flag_meanings": EDGE_KINDS.join(" "),
            }),
        ));
    }
    all
}
