//! Clearing: removes an origin, or its uncommitted files, from a lake. Foreign files stay in place.
//!
//! The order keeps the invariants of the lake at every moment. Manifests are deleted first, so that none names a shard
//! that is being deleted; the lake metadata and the partition set are deleted last.

use std::future::ready;

use super::lease::{Lease, LeaseWatch};
use super::open::{no_lake, raise_lake, read_lake};
use super::recovery::Recovery;
use crate::commit::abort_all_uploads;
use crate::error::Result;
use crate::lake::{LakeInfo, Layout, OriginLayout};
use crate::store::Store;
use crate::table::TableKind;

/// The part of an origin that is cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClearPart {
    /// Everything that the lake holds of the origin.
    Everything,
    /// Everything that was fetched or built and is not committed.
    Staging,
}

/// A planned clearing.
#[derive(Debug, Clone)]
pub struct Clearing {
    store: Store,
    layout: OriginLayout,
    part: ClearPart,
    paths: Vec<String>,
}

impl Clearing {
    /// Finds the files to delete, and deletes nothing.
    pub async fn plan(store: &Store, layout: &OriginLayout, part: ClearPart) -> Result<Clearing> {
        let mut folders = vec![layout.staging()];
        if part == ClearPart::Everything {
            folders.insert(0, layout.manifests());
            // Its record is the first of it: without that nothing of it counts.
            folders.insert(0, layout.overlay_folder());
            folders.extend(TableKind::ALL.map(|table| layout.table(table)));
        }
        let mut paths = Vec::new();
        for folder in folders {
            let ours = |path: &String| match folder == layout.overlay_folder() {
                true => *path == layout.overlay() || layout.delta_at(path).is_some(),
                false => folder == layout.staging() || path.ends_with(".parquet") || path.ends_with(".json"),
            };
            let mut found: Vec<String> = store.list(&folder).await?.into_iter().filter(ours).collect();
            found.sort_by_key(|path| *path != layout.overlay());
            paths.extend(found);
        }
        if part == ClearPart::Everything {
            for folder in [layout.feed(), layout.events()] {
                let found = store.list(&folder).await?.into_iter();
                paths.extend(found.filter(|path| layout.is_of_events(path)));
            }
            for array in layout.arrays() {
                paths.extend(store.list(&array).await?);
            }
            for own in [layout.follow(), layout.event_outputs(), layout.package_index(), layout.partition_set()] {
                paths.extend(store.get(&own).await?.map(|_| own));
            }
        }
        Ok(Clearing { store: store.clone(), layout: layout.clone(), part, paths })
    }

    /// Returns the files to delete, relative to the lake, in the order of deletion.
    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// Deletes the files, and removes the origin from the lake metadata if all of it is cleared. The count of requests
    /// per month stays. If a clearing died, running it again finishes it.
    ///
    /// Fails with [`crate::error::ErrorKind::Lake`], before anything is deleted, while another process works on the
    /// origin.
    pub async fn run(self) -> Result<()> {
        raise_lake(&self.store).await?;
        let lease = Lease::of_origin(&self.store, &self.layout, "cache clear").await?;
        let cleared = self.settle_and_delete(&lease.watch()).await;
        let ended = lease.end().await;
        cleared.and(ended)?;
        // Folders without a file in them are deleted too; a foreign file keeps its folder.
        let folder = match self.part {
            ClearPart::Staging => self.layout.staging(),
            ClearPart::Everything => self.layout.root().to_owned(),
        };
        if self.store.list(&folder).await?.is_empty() { self.store.delete_folder(&folder).await } else { Ok(()) }
    }

    /// Ends what interrupted commits have begun, because nothing tells of it afterwards: tables that do not belong
    /// together, and uploads.
    async fn settle_and_delete(&self, lock: &LeaseWatch) -> Result<()> {
        match self.part {
            ClearPart::Staging => Recovery::of(&self.store, &self.layout).of_all(lock).await.map(drop)?,
            ClearPart::Everything => abort_all_uploads(&self.store, &self.layout).await?,
        }
        self.delete().await
    }

    async fn delete(&self) -> Result<()> {
        for path in &self.paths {
            self.store.delete(path).await?;
        }
        match self.part {
            ClearPart::Staging => Ok(()),
            ClearPart::Everything => self.forget_origin().await,
        }
    }

    async fn forget_origin(&self) -> Result<()> {
        if read_lake(&self.store).await?.is_none() {
            return Ok(());
        }
        let forget = |info: &mut LakeInfo| {
            info.origins.remove(self.layout.name());
            info.forget_age(self.layout.name());
            if let Some(next) = info.origins.keys().next()
                && info.default_origin == self.layout.name()
            {
                info.default_origin.clone_from(next);
            }
        };
        let is_gone = || ready(Err(no_lake(&self.store.location())));
        self.store.update_record(Layout::INFO, is_gone, forget).await.map(drop)
    }
}
