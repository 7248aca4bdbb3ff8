//! The metadata of the arrays that this tool makes, as the `zarr.json` of Zarr version 3 has it. Not here: the values of
//! an array (`form`), and groups (`group`).

use serde_json::{Map, Value, json};

/// The level of zstd. Higher levels take more time and save next to nothing here.
const ZSTD_LEVEL: i32 = 1;

/// An array to be made: its type, dimensions and chunks.
#[derive(Debug, Clone)]
pub(super) struct ArraySpec {
    /// Its name in the group.
    pub(super) name: &'static str,
    /// A data type of Zarr: `uint32`, `string`.
    pub(super) data_type: &'static str,
    /// The names of the dimensions.
    pub(super) dimensions: &'static [&'static str],
    /// The shape of a shard: one object.
    pub(super) shard: Vec<u64>,
    /// The shape of a chunk in a shard: the least that a reader decodes. It divides that of the shard.
    pub(super) chunk: Vec<u64>,
    /// The value of the cells of an absent chunk.
    pub(super) fill: Value,
    /// Its attributes: `description`, and for xarray `_FillValue` and `units`.
    pub(super) attributes: Value,
    /// What separates the parts of an object's name: `/`, or `.` for every other generation of the graph.
    pub(super) separator: char,
}

impl ArraySpec {
    /// Returns the metadata of the array with a shape.
    pub(super) fn metadata(&self, shape: &[u64]) -> Value {
        let little_endian = json!({ "name": "bytes", "configuration": { "endian": "little" } });
        // One byte has no order, and texts have lengths of their own.
        let to_bytes = match self.data_type {
            "string" => json!({ "name": "vlen-utf8" }),
            "bool" | "uint8" => json!({ "name": "bytes" }),
            _ => little_endian.clone(),
        };
        let zstd = json!({ "name": "zstd", "configuration": { "level": ZSTD_LEVEL, "checksum": true } });
        let sharding = json!({
            "chunk_shape": self.chunk,
            "codecs": [to_bytes, zstd],
            "index_codecs": [little_endian, { "name": "crc32c" }],
            "index_location": "end",
        });
        json!({
            "zarr_format": 3,
            "node_type": "array",
            "shape": shape,
            "data_type": self.data_type,
            "chunk_grid": { "name": "regular", "configuration": { "chunk_shape": self.shard } },
            "chunk_key_encoding": { "name": "default", "configuration": { "separator": self.separator } },
            "fill_value": self.fill,
            "codecs": [{ "name": "sharding_indexed", "configuration": sharding }],
            "attributes": self.attributes,
            "dimension_names": self.dimensions,
            "storage_transformers": [],
        })
    }
}

/// Returns the metadata of a group: its attributes, and that of all its arrays (consolidated), so that a reader needs one
/// object to open all of them, and sees them as one put left them.
pub(super) fn group_metadata(attributes: Map<String, Value>, arrays: &[(&str, Value)]) -> Value {
    let arrays: Map<String, Value> = arrays.iter().map(|(name, json)| ((*name).to_owned(), json.clone())).collect();
    json!({
        "zarr_format": 3,
        "node_type": "group",
        "attributes": attributes,
        "consolidated_metadata": { "kind": "inline", "must_understand": false, "metadata": arrays },
    })
}
