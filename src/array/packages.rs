//! The coordinate `package` of a group: the name of each row. Not here: the axis itself (`axis`).

use serde_json::json;

use super::axis::PackageAxis;
use super::form::ArrayForm;
use super::shards::{Right, replace_shard};
use super::spec::ArraySpec;
use crate::error::Result;
use crate::store::{Store, blocking};

/// The name of the coordinate.
pub(super) const NAME: &str = "package";
/// The names of a chunk: a reader that wants one decodes so many.
const CHUNK_ROWS: u64 = 8_192;

/// Returns the array of names, in shards of `shard_rows`.
pub(super) fn spec(shard_rows: u64, separator: char) -> ArraySpec {
    ArraySpec {
        name: NAME,
        data_type: "string",
        dimensions: &[NAME],
        shard: vec![shard_rows],
        chunk: vec![row_chunk(shard_rows, CHUNK_ROWS)],
        fill: json!(""),
        attributes: json!({
            "description": "The name of the package. Rows never move; package_index.parquet has the row of each name.",
        }),
        separator,
    }
}

/// Returns the length of a chunk of about `rows` rows that divides a shard.
pub(super) fn row_chunk(shard_rows: u64, rows: u64) -> u64 {
    if shard_rows.is_multiple_of(rows) { rows } else { shard_rows }
}

/// Writes the names of the rows from `from` to the end of the axis. A shard that has some of them is written as a whole; its
/// other names are the same as before.
pub(super) async fn write_names(
    store: &Store,
    form: &ArrayForm,
    axis: &PackageAxis,
    from: u64,
    right: &Right,
) -> Result<()> {
    let shard_rows = form.shard_elements() as u64;
    for shard in from / shard_rows..u64::from(axis.rows()).div_ceil(shard_rows) {
        let path = form.path(&[shard]);
        let names = (shard * shard_rows..(shard + 1) * shard_rows).map(|row| axis.name(row as u32).to_owned());
        let (form, names) = (form.clone(), names.collect::<Vec<_>>());
        let encoded = blocking("the encoder of names", move || form.encode(names)).await?;
        let held = store.get(&path).await?;
        replace_shard(store, &path, held.as_ref(), encoded, right).await?;
    }
    Ok(())
}
