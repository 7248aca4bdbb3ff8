//! The arrays of `downloads.zarr`: their types, chunks and attributes.

use serde_json::{Value, json};

use super::UNKNOWN;
use super::states::NEVER;
use crate::array::day;
use crate::array::packages::{self, row_chunk};
use crate::array::spec::{self, ArraySpec};

pub(in crate::array) const COUNTS: &str = "downloads";
pub(in crate::array) const REQUESTED_SINCE: &str = "requested_since";
pub(in crate::array) const REQUESTED_UNTIL: &str = "requested_until";
pub(in crate::array) const COUNTED_SINCE: &str = "counted_since";
pub(in crate::array) const DAY: &str = "day";

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
        DownloadsShape { shard_rows: 131_072, shard_days: 128, chunk_rows: 1_024, chunk_days: 64 }
    }
}

/// Returns the metadata of a new group.
pub(super) fn created(shape: DownloadsShape, rows: u64, days: u64) -> Value {
    let source = "the npm registry's API of download counts";
    spec::created("Downloads of npm packages by day", source, &specs(shape), &lengths(rows, days))
}

/// Returns the lengths of the dimensions.
pub(super) fn lengths(rows: u64, days: u64) -> [(&'static str, u64); 2] {
    [(packages::NAME, rows), (DAY, days)]
}

fn specs(shape: DownloadsShape) -> [ArraySpec; 6] {
    let DownloadsShape { shard_rows, shard_days, chunk_rows, chunk_days } = shape;
    let counts = ArraySpec {
        name: COUNTS,
        data_type: "uint32",
        dimensions: &[packages::NAME, DAY],
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
            dimensions: &[packages::NAME],
            shard: vec![shard_rows],
            chunk: vec![row_chunk(shard_rows, STATE_CHUNK_ROWS)],
            fill: json!(NEVER),
            attributes,
            separator: '/',
        }
    };
    [
        packages::spec(shard_rows, '/'),
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
