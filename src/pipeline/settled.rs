//! Opens the shards of a partition between two of its commits. A reader beside a writer then has the shards of one
//! manifest, and keeps them: a later commit replaces the files, and not what is open.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};

use super::lease::live_holder;
use crate::error::Result;
use crate::lake::{OriginLayout, Partition};
use crate::store::{ShardFile, Store};
use crate::table::TableKind;

/// How often a partition is opened until no commit came between. A commit takes longer than a look, so a few suffice.
const MAX_LOOKS: usize = 1_000;
/// How long to wait for a commit in progress. With [`MAX_LOOKS`], longer than the lease of a process that stands still.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Shards of a partition that are opened at once. Opening a far one is a request, or a download.
const OPENED_AT_ONCE: usize = 8;

/// A partition as it was between two commits.
pub(super) struct OpenPartition {
    /// The text of its manifest; `None` if it was never committed.
    pub(super) manifest: Option<Bytes>,
    /// The shards that exist, opened, or why the system refuses to open one.
    pub(super) shards: BTreeMap<TableKind, Result<ShardFile>>,
    /// Whether no commit came between; if it is false, manifest and shards may not belong together.
    pub(super) is_settled: bool,
}

/// How much of a shard its reader needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// Its size, and some of its columns.
    Part,
}

/// Opens a partition. `is_ours` says that this process holds the lock of the origin, so no other one writes it.
///
/// Fails with [`crate::error::ErrorKind::Lake`] if the manifest cannot be read, and if no more files can be opened.
pub(super) async fn open_settled(
    store: &Store,
    layout: &OriginLayout,
    partition: &Partition,
    extent: Extent,
    is_ours: bool,
) -> Result<OpenPartition> {
    let is_committing = async || -> Result<bool> {
        let has_intent = !is_ours && store.entry(&layout.commit_intent(partition)).await?.is_some();
        Ok(has_intent && is_held(store, layout, partition).await)
    };
    let open = async |path: String| match extent {
        Extent::Whole => store.open_whole(&path).await,
        Extent::Part => store.open_shard(&path).await,
    };
    let mut looks = 0;
    loop {
        looks += 1;
        let manifest = store.get(&layout.manifest(partition)).await?;
        let mut shards = BTreeMap::new();
        let opened = TableKind::ALL.map(|table| layout.shard(table, partition)).map(&open);
        let opened: Vec<_> = stream::iter(opened).buffered(OPENED_AT_ONCE).collect().await;
        for (table, opened) in TableKind::ALL.into_iter().zip(opened) {
            match opened {
                Err(error) if error.is_out_of_files() => return Err(error),
                opened => shards.extend(opened.transpose().map(|opened| (table, opened))),
            }
        }
        // A commit puts its intent before its first move, and its manifest before it removes the intent. So the intent
        // is looked for first: one that has ended meanwhile shows in the manifest.
        let is_begun = is_committing().await?;
        let is_settled = !is_begun && store.get(&layout.manifest(partition)).await? == manifest;
        if is_settled || looks == MAX_LOOKS {
            return Ok(OpenPartition { manifest, shards, is_settled });
        }
        tracing::debug!(partition = partition.file_stem(), looks, "a commit came between; the partition is read again");
        // The shards are opened again only after the commit has ended: a far one would be read in vain.
        while looks < MAX_LOOKS && is_committing().await? {
            looks += 1;
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

/// Returns whether a live process may write a partition now. An unreadable lock is held by no process.
pub(super) async fn is_held(store: &Store, layout: &OriginLayout, partition: &Partition) -> bool {
    for path in [layout.lease(partition), layout.lock()] {
        if matches!(live_holder(store, &path).await, Ok(Some(_))) {
            return true;
        }
    }
    false
}
