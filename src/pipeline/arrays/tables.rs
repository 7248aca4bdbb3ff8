//! Reads some columns of all shards of a table, a few shards at once. Not here: what the arrays make of them.

use arrow::array::{AsArray, RecordBatch, StringArray};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};

use super::super::lost::lost_error;
use crate::commit::read_manifests;
use crate::error::{Doing, Error, Result};
use crate::lake::{Manifest, OriginLayout};
use crate::store::{ShardFile, Store, blocking};
use crate::table::TableKind;

/// The shards that are read at once. Each is one file, and a core.
pub(super) const SHARDS_AT_ONCE: usize = 4;

/// Calls `read` with each shard of a table that a manifest names, on threads that may block, and returns the results in the
/// order of the partitions.
///
/// Fails with [`crate::error::ErrorKind::Lake`] for a shard that is lost.
pub(super) fn each_shard<T: Send + 'static>(
    store: &Store,
    layout: &OriginLayout,
    table: TableKind,
    read: impl Fn(&str, ShardFile) -> Result<T> + Clone + Send + 'static,
) -> impl Stream<Item = Result<T>> {
    let paths = async move {
        let manifests = read_manifests(store, layout).await?;
        let has_shard = manifests.into_iter().filter(|manifest| manifest.shards.contains_key(table.as_str()));
        Ok::<_, Error>(has_shard.map(|manifest| layout.shard(table, &manifest.partition)).collect::<Vec<_>>())
    };
    let shards = stream::once(paths).map_ok(|paths| stream::iter(paths.into_iter().map(Ok))).try_flatten();
    shards
        .map(move |path: Result<String>| {
            let (store, read) = (store.clone(), read.clone());
            async move {
                let path = path?;
                blocking("the reader of a shard", move || {
                    let file = store.blocking().open_whole(&path)?.ok_or_else(|| lost_error(&path))?;
                    read(&path, file).doing(|| format!("reading {path}"))
                })
                .await
            }
        })
        .buffered(SHARDS_AT_ONCE)
}

/// Returns a digest of the shards that the axis, releases and the graph are made from.
pub(super) fn digest_of_tables(manifests: &[Manifest]) -> String {
    let mut digest = Sha256::new();
    let mut manifests: Vec<(String, &Manifest)> =
        manifests.iter().map(|manifest| (manifest.partition.file_stem(), manifest)).collect();
    manifests.sort_by(|one, other| one.0.cmp(&other.0));
    for (stem, manifest) in manifests {
        for table in [TableKind::Docs, TableKind::Versions, TableKind::Dependencies] {
            let shard = manifest.shards.get(table.as_str()).map_or("", |shard| &shard.sha256);
            digest.update(format!("{stem} {table} {shard}\n"));
        }
    }
    format!("{:x}", digest.finalize())
}

/// Returns a column of texts.
pub(super) fn texts(batch: &RecordBatch, column: &str) -> Result<StringArray> {
    let found = batch.column_by_name(column).and_then(|column| column.as_string_opt::<i32>());
    found.cloned().ok_or_else(|| Error::lake(format!("a shard has no column {column} of texts")))
}
