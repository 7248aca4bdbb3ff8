//! Opening a lake: its front page is read, or written if there is none yet.

use std::time::Duration;

use crate::error::{Doing, Error, Result};
use crate::lake::{LakeInfo, Layout, OriginInfo};
use crate::store::Store;
use crate::version::{FORMAT_VERSION, TOOL_VERSION};

/// A put of a small file that began so long ago is not under way any more.
const LONGEST_PUT: Duration = Duration::from_secs(60);

/// The lake's front page; `None` where there is no lake.
///
/// Fails with [`crate::error::ErrorKind::Lake`] when the folder holds something else, or a lake of a newer version.
pub async fn read_lake(store: &Store) -> Result<Option<LakeInfo>> {
    store.read_record(Layout::INFO).await
}

/// The error for a place that holds no lake: it says how to make one.
pub fn no_lake(place: &str) -> Error {
    Error::lake(format!("there is no lake at {place}")).hint(format!(
        "make one: all-docs ingest --pivots examples/pivots.json --lake {place}, with --origin sample to try it without npm;\nor name the folder of one with --lake"
    ))
}

/// Opens the lake for an ingest of `origin`: makes it where there is none, and enters the origin on its front page.
///
/// A folder that holds other things is refused, so that a mistyped path fills nobody's home with shards.
pub async fn open_lake(store: &Store, origin: &str, urls: &OriginInfo) -> Result<LakeInfo> {
    let enter = |info: &mut LakeInfo| {
        if info.origins.get(origin) == Some(urls) {
            return;
        }
        if info.origins.is_empty() {
            // It is new, or all others were cleared.
            origin.clone_into(&mut info.default_origin);
        }
        info.origins.insert(origin.to_owned(), urls.clone());
        info.tool_version = TOOL_VERSION.to_owned();
    };
    let entered = store.update_record(Layout::INFO, || new_lake(store, origin), enter).await;
    entered.doing(|| format!("entering the origin {origin} into the lake"))
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
    Ok(LakeInfo {
        schema_versions: Default::default(),
        format_version: FORMAT_VERSION,
        tool_version: TOOL_VERSION.to_owned(),
        default_origin: origin.to_owned(),
        origins: Default::default(),
    })
}
