//! Opens a lake: reads its lake metadata, or writes it if there is none yet. Refuses a lake of a newer version, for
//! every command.

use std::future::ready;
use std::time::Duration;

use futures::{StreamExt, stream};

use crate::error::{Doing, Error, Result};
use crate::lake::{LakeInfo, Layout, Manifest, OriginAge, OriginInfo, OriginLayout, Record, newer_than_known};
use crate::store::{EntryKind, Listed, Store};
use crate::table::TableKind;
use crate::version::TOOL_VERSION;

/// A put of a small file that began this long ago is no longer in progress.
const LONGEST_PUT: Duration = Duration::from_secs(60);
/// How many records are read at once to check whether a newer version wrote them.
const RECORDS_AT_ONCE: usize = 32;

/// Reads the lake metadata; returns `None` if there is no lake.
///
/// Fails with [`crate::error::ErrorKind::Lake`] if the folder holds something else, or a lake of a newer version. A
/// lake is newer if its lake metadata says so. On a disk the partition set, manifests and begun commits are read as well;
/// in a far store, where each may be a request, only before something is written. A newer version raises the lake
/// metadata before it writes anything else, and the reader of a newer record or shard refuses it.
pub async fn read_lake(store: &Store) -> Result<Option<LakeInfo>> {
    let info = store.read_record::<LakeInfo>(Layout::INFO).await?;
    if !store.is_far() {
        refuse_newer_origins(store, info.as_ref()).await?;
    }
    Ok(info)
}

/// A lake that a command opens to read some of it.
#[derive(Debug, Clone)]
pub struct LakeRoot {
    /// The lake metadata.
    pub info: LakeInfo,
    /// Whether there may be views and reports of the user's own in it.
    pub may_have_queries: bool,
}

/// Reads the same by a listing of the root, which costs a far store one request if the lake metadata is cached.
///
/// Fails as [`read_lake`] does.
pub async fn open_to_read(store: &Store) -> Result<Option<LakeRoot>> {
    if !store.is_far() {
        return Ok(read_lake(store).await?.map(|info| LakeRoot { info, may_have_queries: true }));
    }
    let root = store.list_folder("").await?;
    let Some(listed) = root.objects.iter().find(|listed| listed.path == Layout::INFO) else { return Ok(None) };
    let Some(text) = store.get_listed(listed).await? else { return Ok(None) };
    let may_have_queries = root.folders.iter().any(|folder| folder == Layout::QUERIES);
    Ok(Some(LakeRoot { info: LakeInfo::from_json(Layout::INFO, &text)?, may_have_queries }))
}

/// Records in the lake metadata whether these manifests of an origin, which are all that it has, name a shard of an
/// earlier version.
pub(super) async fn note_age(store: &Store, origin: &str, manifests: &[Manifest]) -> Result<()> {
    let is_current = OriginAge::of(manifests).partitions == 0;
    change_known_lake(store, |info| match is_current && info.origins.contains_key(origin) {
        true => info.note_current(origin),
        false => info.forget_age(origin),
    })
    .await
}

/// Records in the lake metadata that an origin may get shards of earlier versions. Must be called before it gets them.
pub(super) async fn forget_age(store: &Store, origin: &str) -> Result<()> {
    change_known_lake(store, |info| info.forget_age(origin)).await
}

async fn change_known_lake(store: &Store, change: impl Fn(&mut LakeInfo)) -> Result<()> {
    let is_gone = || ready(Err(no_lake(&store.location())));
    store.update_record(Layout::INFO, is_gone, change).await.map(drop)
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

/// Does so for every origin of a lake.
async fn refuse_newer_origins(store: &Store, info: Option<&LakeInfo>) -> Result<()> {
    for name in info.iter().flat_map(|info| info.origins.keys()) {
        refuse_newer_origin(store, &Layout::origin(name)).await?;
    }
    Ok(())
}

/// Fails with [`crate::error::ErrorKind::Lake`] if the partition set, a manifest or a begun commit of an origin is of a
/// newer version. An unreadable record is passed over: the code that needs it reports why it cannot be read.
pub(super) async fn refuse_newer_origin(store: &Store, layout: &OriginLayout) -> Result<()> {
    let manifests = store.list_sized(&layout.manifests()).await.unwrap_or_default();
    let read = async |listed: Listed| (store.get_listed(&listed).await.ok().flatten(), listed.path);
    let mut read = stream::iter(manifests).map(read).buffered(RECORDS_AT_ONCE);
    while let Some((text, path)) = read.next().await {
        refuse_newer_record(store, &path, &text.unwrap_or_default())?;
    }
    let staged = store.list(&layout.staging()).await.unwrap_or_default();
    let intents = staged.into_iter().filter(|path| layout.is_commit_intent(path));
    for path in [layout.partition_set()].into_iter().chain(intents) {
        let text = store.get(&path).await.ok().flatten();
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
    let info = store.read_record::<LakeInfo>(Layout::INFO).await?;
    refuse_newer_origins(store, info.as_ref()).await?;
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
