//! The arrays of `downloads.zarr`: their types, chunks and attributes.

use serde_json::{Map, Value, json};

use super::UNKNOWN;
use super::states::NEVER;
use crate::array::day;
use crate::array::group::{FORMAT, FORMAT_VERSION, GENERATION};
use crate::array::packages::{self, row_chunk};
use crate::array::spec::{ArraySpec, group_metadata};

pub(super) const COUNTS: &str = "downloads";
pub(super) const REQUESTED_SINCE: &str = "requested_since";
pub(super) const REQUESTED_UNTIL: &str = "requested_until";
pub(super) const COUNTED_SINCE: &str = "counted_since";
pub(super) const DAY: &str = "day";

/// The days that the coordinate has room for: 44 years.
const DAYS: u64 = 16_384;
/// The rows of a chunk of the arrays that have a number for each package.
const STATE_CHUNK_ROWS: u64 = 16_384;

/// The chunks of the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DownloadsShape {
    /// The rows of a shard, and of a block.
    pub shard_rows: u64,
    /// The days of a shard.
    pub shard_days: u64,
    /// The rows of a chunk.
    pub chunk_rows: u64,
    /// The days of a chunk.
    pub chunk_days: u64,
}

impl Default for DownloadsShape {
    fn default() -> Self {
        DownloadsShape { shard_rows: 131_072, shard_days: 128, chunk_rows: 512, chunk_days: 128 }
    }
}

/// Returns the metadata of a new group.
pub(super) fn created(shape: DownloadsShape, rows: u64, days: u64) -> Value {
    let attributes = json!({
        "title": "Downloads of npm packages by day",
        "source": "the npm registry's API of download counts",
        GENERATION: 0,
        FORMAT: FORMAT_VERSION,
    });
    let attributes: Map<String, Value> = attributes.as_object().cloned().unwrap_or_default();
    let arrays = specs(shape).map(|spec| (spec.name, spec.metadata(&shape_of(spec.dimensions, rows, days))));
    group_metadata(attributes, &arrays)
}

/// Returns the metadata of a group with more rows or days.
pub(super) fn grown(group: &Value, rows: u64, days: u64) -> Value {
    let mut group = group.clone();
    let arrays = group["consolidated_metadata"]["metadata"].as_object_mut();
    for (_, metadata) in arrays.into_iter().flatten() {
        let dimensions: Vec<String> = serde_json::from_value(metadata["dimension_names"].clone()).unwrap_or_default();
        let dimensions: Vec<&str> = dimensions.iter().map(String::as_str).collect();
        metadata["shape"] = json!(shape_of(&dimensions, rows, days));
    }
    group
}

fn shape_of(dimensions: &[&str], rows: u64, days: u64) -> Vec<u64> {
    dimensions.iter().map(|&dimension| if dimension == DAY { days } else { rows }).collect()
}

fn specs(shape: DownloadsShape) -> [ArraySpec; 6] {
    let DownloadsShape { shard_rows, shard_days, chunk_rows, chunk_days } = shape;
    let counts = ArraySpec {
        name: COUNTS,
        data_type: "uint32",
        dimensions: &["package", DAY],
        shard: vec![shard_rows, shard_days],
        chunk: vec![chunk_rows, chunk_days],
        fill: json!(UNKNOWN),
        attributes: json!({
            "description": "Downloads of the package on the day; unknown before its first download, and where npm was \
                not asked or had no count.",
            "units": "downloads",
            "_FillValue": UNKNOWN,
        }),
        separator: '/',
    };
    let days = ArraySpec {
        name: DAY,
        data_type: "int64",
        dimensions: &[DAY],
        shard: vec![DAYS],
        chunk: vec![DAYS],
        fill: json!(0),
        attributes: day::attributes("The day, in UTC."),
        separator: '/',
    };
    let state = |name, description: &str| {
        let mut attributes = day::attributes(description);
        attributes["_FillValue"] = json!(NEVER);
        ArraySpec {
            name,
            data_type: "int32",
            dimensions: &["package"],
            shard: vec![shard_rows],
            chunk: vec![row_chunk(shard_rows, STATE_CHUNK_ROWS)],
            fill: json!(NEVER),
            attributes,
            separator: '/',
        }
    };
    [
        packages::spec(shard_rows),
        days,
        counts,
        state(REQUESTED_SINCE, "The first day for which npm was asked about the package."),
        state(
            REQUESTED_UNTIL,
            "The last day for which npm was asked about the package; all between were asked for too.",
        ),
        state(COUNTED_SINCE, "The day of the first known download of the package."),
    ]
}
