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
    /// The character between the parts of an object's name: `/`, or `.` for every other generation of the graph.
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
        // Some bits of a frame of zstd mean nothing. This checksum covers all of them.
        let checksum = json!({ "name": "crc32c" });
        let sharding = json!({
            "chunk_shape": self.chunk,
            "codecs": [to_bytes, zstd, checksum],
            "index_codecs": [little_endian, checksum],
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

/// The attribute that grows with each change of the values. It is odd while values change in place, and after a process
/// died meanwhile.
pub(super) const GENERATION: &str = "generation";
/// The attribute with the version of the format of the arrays, and the version that this tool writes.
pub(super) const FORMAT: &str = "all_docs_array_format";
pub(super) const FORMAT_VERSION: u64 = 1;

/// Returns the metadata of a group: its attributes, and that of all its arrays (consolidated), so that a reader needs one
/// object to open all of them, and sees them as one put left them.
fn group_metadata(attributes: Map<String, Value>, arrays: &[(&str, Value)]) -> Value {
    let arrays: Map<String, Value> = arrays.iter().map(|(name, json)| ((*name).to_owned(), json.clone())).collect();
    json!({
        "zarr_format": 3,
        "node_type": "group",
        "attributes": attributes,
        "consolidated_metadata": { "kind": "inline", "must_understand": false, "metadata": arrays },
    })
}

/// Returns the metadata of a new group of arrays. `lengths` has the length of each dimension.
pub(super) fn created(title: &str, source: &str, specs: &[ArraySpec], lengths: &[(&str, u64)]) -> Value {
    let mut attributes = Map::new();
    attributes.insert("title".to_owned(), json!(title));
    attributes.insert("source".to_owned(), json!(source));
    attributes.insert(GENERATION.to_owned(), json!(0));
    attributes.insert(FORMAT.to_owned(), json!(FORMAT_VERSION));
    let arrays: Vec<_> =
        specs.iter().map(|spec| (spec.name, spec.metadata(&shape_of(spec.dimensions, lengths)))).collect();
    group_metadata(attributes, &arrays)
}

/// Returns the metadata of a group whose dimensions have become longer.
pub(super) fn grown(group: &Value, lengths: &[(&str, u64)]) -> Value {
    let mut group = group.clone();
    let arrays = group["consolidated_metadata"]["metadata"].as_object_mut();
    for (_, metadata) in arrays.into_iter().flatten() {
        let dimensions: Vec<String> = serde_json::from_value(metadata["dimension_names"].clone()).unwrap_or_default();
        let dimensions: Vec<&str> = dimensions.iter().map(String::as_str).collect();
        metadata["shape"] = json!(shape_of(&dimensions, lengths));
    }
    group
}

fn shape_of(dimensions: &[&str], lengths: &[(&str, u64)]) -> Vec<u64> {
    let length = |name: &str| lengths.iter().find(|(dimension, _)| *dimension == name).map_or(0, |(_, length)| *length);
    dimensions.iter().map(|name| length(name)).collect()
}
