//! Opens a lake: reads its lake metadata, or writes it if there is none yet. Refuses a lake of a newer version, for
//! every command.

use std::time::Duration;

use futures::{StreamExt, stream};

use crate::error::{Doing, Error, Result};
use crate::lake::{LakeInfo, Layout, OriginInfo, OriginLayout, newer_than_known};
use crate::store::{EntryKind, Store};
use crate::table::TableKind;
use crate::version::TOOL_VERSION;

/// A put of a small file that began this long ago is no longer in progress.
const LONGEST_PUT: Duration = Duration::from_secs(60);
/// How many records are read at once to check whether a newer version wrote them.
const RECORDS_AT_ONCE: usize = 16;

/// Reads the lake metadata; returns `None` if there is no lake.
///
/// Fails with [`crate::error::ErrorKind::Lake`] if the folder holds something else, or a lake of a newer version. A
/// lake is newer if its lake metadata, partition set, manifests or begun commits say so; the reader of a newer shard
/// refuses it.
pub async fn read_lake(store: &Store) -> Result<Option<LakeInfo>> {
    let Some(info) = store.read_record::<LakeInfo>(Layout::INFO).await? else { return Ok(None) };
    for name in info.origins.keys() {
        refuse_newer_origin(store, &Layout::origin(name)).await?;
    }
    Ok(Some(info))
}

/// Fails with [`crate::error::ErrorKind::Lake`] if a record of a lake, given as its text, is of a newer version.
pub(super) fn refuse_newer_record(store: &Store, path: &str, text: &[u8]) -> Result<()> {
    match newer_than_known(text) {
        None => Ok(()),
        Some(why) => {
            Err(Error::lake(format!("a newer version of all-docs wrote the lake {}: {path}: {why}", store.location()))
                .hint("update all-docs, or ingest into a new lake"))
        }
    }
}

/// Fails with [`crate::error::ErrorKind::Lake`] if the partition set, a manifest or a begun commit of an origin is of a
/// newer version. An unreadable record is passed over: the code that needs it reports why it cannot be read.
pub(super) async fn refuse_newer_origin(store: &Store, layout: &OriginLayout) -> Result<()> {
    let manifests = store.list(&layout.manifests()).await.unwrap_or_default();
    let staged = store.list(&layout.staging()).await.unwrap_or_default();
    let records = [layout.partition_set()].into_iter().chain(manifests);
    let records = records.chain(staged.into_iter().filter(|path| layout.is_commit_intent(path)));
    let read = async |path: String| (store.get(&path).await.ok().flatten(), path);
    let mut read = stream::iter(records).map(read).buffered(RECORDS_AT_ONCE);
    while let Some((text, path)) = read.next().await {
        refuse_newer_record(store, &path, &text.unwrap_or_default())?;
    }
    Ok(())
}

/// Returns the error for a place that holds no lake. It says how to make one.
pub fn no_lake(place: &str) -> Error {
    Error::lake(format!("there is no lake at {place}")).hint(format!(
        "make one: all-docs ingest --pivots examples/pivots.json --lake {place}, with --origin sample to try it without npm;\nor name the folder of one with --lake"
    ))
}

/// Opens the lake for an ingest of `origin`: makes it if there is none, enters the origin in its lake metadata, and
/// raises the metadata as [`raise_lake`] does.
///
/// A folder that holds other things is refused, so that a mistyped path does not fill a home folder with shards.
pub async fn open_lake(store: &Store, origin: &str, urls: &OriginInfo) -> Result<LakeInfo> {
    change_lake_info(store, Some(origin), |info| {
        if info.origins.get(origin) == Some(urls) {
            return;
        }
        if info.origins.is_empty() {
            // The lake is new, or all other origins were cleared.
            origin.clone_into(&mut info.default_origin);
        }
        info.origins.insert(origin.to_owned(), urls.clone());
    })
    .await
}

/// Records in the lake metadata that this version writes into the lake, so that earlier ones refuse it. Must be called
/// before anything is written.
///
/// Fails with [`crate::error::ErrorKind::Lake`] if there is no lake, and as [`read_lake`] does.
pub async fn raise_lake(store: &Store) -> Result<LakeInfo> {
    change_lake_info(store, None, |_| {}).await
}

/// Raises the lake metadata and changes it. If there is no lake, `new_origin` makes one.
async fn change_lake_info(store: &Store, new_origin: Option<&str>, change: impl Fn(&mut LakeInfo)) -> Result<LakeInfo> {
    // A newer lake is refused before anything is changed.
    read_lake(store).await?;
    let initial = async || match new_origin {
        Some(origin) => new_lake(store, origin).await,
        None => Err(no_lake(&store.location())),
    };
    let raise = |info: &mut LakeInfo| {
        let before = info.clone();
        info.raise();
        change(info);
        if *info != before {
            info.tool_version = TOOL_VERSION.to_owned();
        }
    };
    let changed = store.update_record(Layout::INFO, initial, raise).await;
    changed.doing(|| format!("writing {}", Layout::INFO))
}

/// Fails if a commit could not move its shards to their places: if the folder of a table is on another file system or
/// mount than staging, or a folder of the lake cannot be written to. Must be called before anything is requested or
/// changed: a commit that cannot be ended is worse than none.
pub(super) async fn check_moves(store: &Store, layout: &OriginLayout) -> Result<()> {
    check_moves_into(store, layout, &TableKind::ALL.map(|table| layout.table(table))).await
}

/// The same before a repair, which moves aside whatever is in the place of a folder.
pub(super) async fn check_moves_of_repair(store: &Store, layout: &OriginLayout) -> Result<()> {
    let mut tables = Vec::new();
    for table in TableKind::ALL.map(|table| layout.table(table)) {
        if store.entry(&table).await? == Some(EntryKind::Folder) {
            tables.push(table);
        }
    }
    check_moves_into(store, layout, &tables).await
}

async fn check_moves_into(store: &Store, layout: &OriginLayout, tables: &[String]) -> Result<()> {
    let others = [String::new(), layout.root().to_owned(), layout.manifests(), layout.leases()];
    store.check_moves(&layout.staging(), tables, &others).await
}

/// Removes unfinished puts of dead processes anywhere in the lake. Other processes may be writing, so only old ones are
/// removed; those in a partition are removed when its lease is taken.
pub(super) async fn sweep(store: &Store) -> Result<()> {
    store.sweep("", LONGEST_PUT).await
}

/// Returns the lake metadata of a lake to be made in an empty folder.
async fn new_lake(store: &Store, origin: &str) -> Result<LakeInfo> {
    if let Some(found) = store.any_entry().await?
        && found != Layout::INFO
        // Another process may have made the lake meanwhile, and written into it.
        && store.get(Layout::INFO).await?.is_none()
    {
        return Err(Error::lake(format!("{} has no {}, so it is no lake, and it is not empty: it holds {found}", store.location(), Layout::INFO))
            .hint("give an empty or a new folder with --lake; if it is a lake that lost that file, all-docs verify --repair restores it"));
    }
    store.create_root().await?;
    Ok(LakeInfo::new(origin))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lake_that_another_process_made_meanwhile_is_a_lake() {
        let store = Store::memory();
        // In a folder, the lake metadata need not be the first entry.
        store.put("a", "").await.unwrap();
        assert!(new_lake(&store, "sample").await.is_err());
        store.put(Layout::INFO, "{}").await.unwrap();
        new_lake(&store, "sample").await.unwrap();
    }
}
