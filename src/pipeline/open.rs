//! Opening a lake: its front page is read, or written if there is none yet. A lake of a newer version is refused here, for
//! every command.

use std::time::Duration;

use futures::{StreamExt, stream};

use crate::error::{Doing, Error, Result};
use crate::lake::{LakeInfo, Layout, OriginInfo, OriginLayout, newer_than_known};
use crate::store::Store;
use crate::version::TOOL_VERSION;

/// A put of a small file that began so long ago is not under way any more.
const LONGEST_PUT: Duration = Duration::from_secs(60);
/// Records that are read at once while it is asked whether a newer version wrote them.
const RECORDS_AT_ONCE: usize = 16;

/// The lake's front page; `None` where there is no lake.
///
/// Fails with [`crate::error::ErrorKind::Lake`] when the folder holds something else, or a lake of a newer version. That is
/// one whose front page, partition set, manifests or begun commits say so; a newer shard is refused by whoever reads it.
pub async fn read_lake(store: &Store) -> Result<Option<LakeInfo>> {
    let Some(info) = store.read_record::<LakeInfo>(Layout::INFO).await? else { return Ok(None) };
    for name in info.origins.keys() {
        refuse_newer_origin(store, &Layout::origin(name)).await?;
    }
    Ok(Some(info))
}

/// Fails with [`crate::error::ErrorKind::Lake`] where a record of a lake, as its text, is of a newer version.
pub(super) fn refuse_newer_record(store: &Store, path: &str, text: &[u8]) -> Result<()> {
    match newer_than_known(text) {
        None => Ok(()),
        Some(why) => {
            Err(Error::lake(format!("a newer version of all-docs wrote the lake {}: {path}: {why}", store.location()))
                .hint("update all-docs, or ingest into a new lake"))
        }
    }
}

/// Fails with [`crate::error::ErrorKind::Lake`] where the partition set, a manifest or a begun commit of an origin is of a newer version.
/// What cannot be read says nothing: whoever needs it says why it cannot be read.
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

/// The error for a place that holds no lake: it says how to make one.
pub fn no_lake(place: &str) -> Error {
    Error::lake(format!("there is no lake at {place}")).hint(format!(
        "make one: all-docs ingest --pivots examples/pivots.json --lake {place}, with --origin sample to try it without npm;\nor name the folder of one with --lake"
    ))
}

/// Opens the lake for an ingest of `origin`: makes it where there is none, enters the origin on its front page, and raises
/// that as [`raise_lake`] does.
///
/// A folder that holds other things is refused, so that a mistyped path fills nobody's home with shards.
pub async fn open_lake(store: &Store, origin: &str, urls: &OriginInfo) -> Result<LakeInfo> {
    change_front_page(store, Some(origin), |info| {
        if info.origins.get(origin) == Some(urls) {
            return;
        }
        if info.origins.is_empty() {
            // It is new, or all others were cleared.
            origin.clone_into(&mut info.default_origin);
        }
        info.origins.insert(origin.to_owned(), urls.clone());
    })
    .await
}

/// Says on the front page that this version writes into the lake, so that earlier ones refuse it. To be done before
/// anything is written.
///
/// Fails with [`crate::error::ErrorKind::Lake`] where there is no lake, and as [`read_lake`] does.
pub async fn raise_lake(store: &Store) -> Result<LakeInfo> {
    change_front_page(store, None, |_| {}).await
}

/// Raises the front page and changes it. Where there is no lake, `new_origin` makes one.
async fn change_front_page(
    store: &Store,
    new_origin: Option<&str>,
    change: impl Fn(&mut LakeInfo),
) -> Result<LakeInfo> {
    // A newer lake is refused before anything of it is changed.
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

/// Removes what dead processes left of puts that they had begun anywhere in the lake. Other processes may be writing, so
/// that only what is old goes; what lies in a partition goes when its lease is taken.
pub(super) async fn sweep(store: &Store) -> Result<()> {
    store.sweep("", LONGEST_PUT).await
}

/// The front page of a lake that is to be made in an empty folder.
async fn new_lake(store: &Store, origin: &str) -> Result<LakeInfo> {
    if let Some(stranger) = store.any_entry().await?
        && stranger != Layout::INFO
    {
        return Err(Error::lake(format!("{} has no {}, so it is no lake, and it is not empty: it holds {stranger}", store.location(), Layout::INFO))
            .hint("give an empty or a new folder with --lake; if it is a lake that lost that file, all-docs verify --repair makes it anew"));
    }
    store.create_root().await?;
    Ok(LakeInfo::new(origin))
}
