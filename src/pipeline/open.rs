//! Opening a lake: its front page is read, or written if there is none yet.

use std::time::Duration;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::lake::{LakeInfo, Layout, OriginInfo};
use crate::store::Store;
use crate::version::{FORMAT_VERSION, TOOL_VERSION};

/// A put of a small file that began so long ago is not under way any more.
const LONGEST_PUT: Duration = Duration::from_secs(60);
/// How often the front page is written while others write it too.
const MAX_TRIES: usize = 10;

/// The lake's front page; `None` where there is no lake.
///
/// Fails with [`ErrorKind::Lake`] when the folder holds something else, or a lake of a newer version.
pub async fn read_lake(store: &Store) -> Result<Option<LakeInfo>> {
    let Some(text) = store.get(Layout::INFO).await? else { return Ok(None) };
    let info: LakeInfo = serde_json::from_slice(&text)
        .or_error(ErrorKind::Lake, || format!("{} in {} is damaged", Layout::INFO, store.location()))
        .map_err(|error| error.hint("all-docs verify --repair makes it anew"))?;
    if info.format_version > FORMAT_VERSION {
        let (found, own) = (info.format_version, FORMAT_VERSION);
        return Err(Error::lake(format!(
            "the lake {} has format {found}, and this all-docs knows {own}",
            store.location()
        ))
        .hint("update all-docs, or ingest into a new lake"));
    }
    Ok(Some(info))
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
    // Another process may enter another origin at the same time; each looks again when it came second.
    for _ in 0..MAX_TRIES {
        let page = store.get(Layout::INFO).await?;
        let mut info = match read_lake(store).await? {
            Some(info) => info,
            None => new_lake(store, origin).await?,
        };
        if info.origins.get(origin) == Some(urls) {
            return Ok(info);
        }
        if info.origins.is_empty() {
            // It is new, or all others were cleared.
            origin.clone_into(&mut info.default_origin);
        }
        info.origins.insert(origin.to_owned(), urls.clone());
        info.tool_version = TOOL_VERSION.to_owned();
        let mut text = serde_json::to_vec_pretty(&info)
            .or_error(ErrorKind::Internal, || "the lake's front page cannot be spelled as JSON".to_owned())?;
        text.push(b'\n');
        let is_written = match page {
            Some(page) => store.replace_if_unchanged(Layout::INFO, &page, text).await?,
            None => store.put_if_absent(Layout::INFO, text).await?,
        };
        if is_written {
            return Ok(info);
        }
    }
    Err(Error::lake(format!("cannot enter {origin} into {} of {}", Layout::INFO, store.location()))
        .hint("other processes write it all the time; run the same command again"))
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
