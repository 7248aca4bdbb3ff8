//! Shards that a manifest names and that are not in their table's folder: the disk of the folder is away, or somebody
//! removed them. A statement that needs one fails, because its result would lack rows. Not here: damaged shards.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::error::{DataFusionError, Result};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path as ObjectPath;
use object_store::{Error as StoreError, ObjectMeta, ObjectStoreExt};

use super::failure::ShardFault;
use super::lake_location::LakeLocation;
use crate::lake::{Layout, Manifest, Partition};
use crate::table::TableKind;

/// Manifests that are read at once.
const READ_AT_ONCE: usize = 16;

/// Returns the file name of a shard without its suffix; `None` for a file that is not a Parquet file of this folder.
pub(super) fn stem_of(folder: &ObjectPath, meta: &ObjectMeta) -> Option<String> {
    let mut below = meta.location.prefix_match(folder)?;
    let file_name = below.next()?;
    let stem = file_name.as_ref().strip_suffix(".parquet")?;
    below.next().is_none().then(|| stem.to_owned())
}

/// Returns whether the shards with these stems have all names between them.
pub(super) fn are_gapless(stems: impl Iterator<Item = String>) -> bool {
    let mut ranges: Vec<Partition> = stems.filter_map(|stem| Partition::from_file_stem(&stem)).collect();
    ranges.sort_by(|one, other| one.start.cmp(&other.start));
    // The least name that may be missing; `None` once there is none.
    let mut reached = Some(String::new());
    for Partition { start, end } in ranges {
        let Some(least) = &reached else { return true };
        if start.is_some_and(|start| start > *least) {
            return false;
        }
        reached = end.map(|end| end.max(least.clone()));
    }
    reached.is_none()
}

/// Returns the folder of the manifests beside a table's folder.
pub(super) fn manifests_of(table: &ObjectPath) -> Option<ObjectPath> {
    let (origin, _) = table.as_ref().rsplit_once('/')?;
    let (root, name) = origin.rsplit_once('/').map_or(("", origin), |(root, name)| (root, name));
    let folder = Layout::origin(name).manifests();
    ObjectPath::parse(if root.is_empty() { folder } else { format!("{root}/{folder}") }).ok()
}

/// Adds an entry of no bytes to the content of a table's folder for each shard that a manifest names and that is not
/// there.
pub(super) fn with_lost(folder: &ObjectPath, mut found: Vec<ObjectMeta>, named: &BTreeSet<String>) -> Vec<ObjectMeta> {
    let there: BTreeSet<String> = found.iter().filter_map(|meta| stem_of(folder, meta)).collect();
    let lost = named.difference(&there).filter_map(|stem| {
        // `join` would encode some letters of a stem.
        let location = ObjectPath::parse(format!("{folder}/{stem}.parquet")).ok()?;
        Some(ObjectMeta { location, last_modified: Default::default(), size: 0, e_tag: None, version: None })
    });
    found.extend(lost);
    found
}

/// Fails if one of the `absent` shards is lost: not there, or of no bytes, while its manifest names it. The manifests
/// that the session has read, and the listing of the folder, may both be older than a commit or the removal of an origin.
/// So a shard is lost only if it is not there between two reads of the same manifest.
pub(super) async fn refuse_lost(
    location: &LakeLocation,
    folder: &ObjectPath,
    table: TableKind,
    absent: Vec<ObjectPath>,
) -> Result<()> {
    if absent.is_empty() {
        return Ok(());
    }
    let store = &location.store;
    let before = manifests(location, &absent, table).await?;
    let there: BTreeMap<ObjectPath, u64> =
        store.list(Some(folder)).map_ok(|meta| (meta.location, meta.size)).try_collect().await?;
    let after = manifests(location, &absent, table).await?;
    for ((shard, before), after) in absent.iter().zip(before).zip(after) {
        let size = there.get(shard).copied();
        let fault = match (before, size) {
            // No manifest names it, so it is not missed.
            (None, _) => continue,
            (Some(_), Some(1..)) => ShardFault::of_replaced(shard),
            (before, _) if before != after => ShardFault::of_replaced(shard),
            (_, size) => ShardFault::of_lost(shard, size.is_some()),
        };
        return Err(DataFusionError::External(Box::new(fault)));
    }
    Ok(())
}

/// Returns the texts of the shards' manifests; `None` for one that is not there, or does not name the shard.
async fn manifests(location: &LakeLocation, shards: &[ObjectPath], table: TableKind) -> Result<Vec<Option<Vec<u8>>>> {
    let read = |path: ObjectPath| async move {
        let text = match location.store.get(&path).await {
            Ok(found) => found.bytes().await?.to_vec(),
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let manifest: Option<Manifest> = serde_json::from_slice(&text).ok();
        let is_named = manifest.is_some_and(|manifest| manifest.shards.contains_key(table.as_str()));
        Ok(is_named.then_some(text))
    };
    let paths = shards.iter().map(|shard| manifest_of(location, shard)).collect::<Option<Vec<_>>>().unwrap_or_default();
    Ok(stream::iter(paths).map(read).buffered(READ_AT_ONCE).try_collect().await?)
}

/// Returns the path of a shard's manifest.
fn manifest_of(location: &LakeLocation, shard: &ObjectPath) -> Option<ObjectPath> {
    let parts: Vec<_> = shard.prefix_match(&location.root)?.map(|part| part.as_ref().to_owned()).collect();
    let [origin, _, file] = parts.as_slice() else { return None };
    let manifest = Layout::origin(origin).manifest_of(file.strip_suffix(".parquet")?);
    let path = if location.root.is_root() { manifest } else { format!("{}/{manifest}", location.root) };
    ObjectPath::parse(path).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_shard_leaves_a_gap() {
        for (stems, is_gapless) in [
            (&["0-z"][..], true),
            (&["61-62", "0-61", "62-z"], true),
            (&["0-61", "0-61", "copy", "61-z"], true),
            (&[], false),
            (&["0-61", "62-z"], false),
            (&["61-z"], false),
            (&["0-61"], false),
        ] {
            assert_eq!(are_gapless(stems.iter().map(|&stem| stem.to_owned())), is_gapless, "{stems:?}");
        }
        let manifests = |table: &str| manifests_of(&ObjectPath::from(table)).unwrap().to_string();
        assert_eq!(manifests("npm/docs"), "npm/manifest");
        assert_eq!(manifests("a/lake/npm/docs"), "a/lake/npm/manifest");
    }
}
