//! Takes back what an ingest has put into a lake for an origin that turned out to be no registry.

use super::open::read_lake;
use super::options::IngestOptions;
use super::run::RunStatus;
use super::status::read_partition_set;
use crate::error::{Error, Result};
use crate::lake::{LakeInfo, Layout};
use crate::store::Store;

/// The state of the lake before an ingest began.
pub(super) struct Before {
    had_root: bool,
    /// The lake metadata.
    info: Option<LakeInfo>,
}

impl Before {
    pub(super) async fn of(store: &Store) -> Result<Before> {
        Ok(Before { had_root: store.has_root().await, info: read_lake(store).await? })
    }

    /// Returns whether the lake holds names that the same server has listed.
    pub(super) async fn has_listed(&self, store: &Store, options: &IngestOptions) -> Result<bool> {
        let name = &options.registry.origin().name;
        let held = self.info.as_ref().and_then(|info| info.origins.get(name));
        let is_same = held.is_some_and(|held| held.replicate_url == options.origin_info.replicate_url);
        Ok(is_same && read_partition_set(store, &Layout::origin(name)).await?.is_some())
    }

    /// Removes the traces of an origin that the lake did not have before, and of the lake if it is new. Removes nothing
    /// if another process works on the origin, or has listed it.
    pub(super) async fn restore(self, store: &Store, origin: &str) -> Result<()> {
        let layout = Layout::origin(origin);
        let is_known = self.info.as_ref().is_some_and(|info| info.origins.contains_key(origin));
        let is_used = !RunStatus::all(store, &layout).await?.is_empty();
        if is_known || is_used || read_partition_set(store, &layout).await?.is_some() {
            return Ok(());
        }
        if read_lake(store).await?.is_some() {
            store.delete_folder(layout.name()).await?;
            self.restore_metadata(store, origin).await?;
        }
        if !self.had_root {
            store.remove_empty_root().await;
        }
        Ok(())
    }

    async fn restore_metadata(&self, store: &Store, origin: &str) -> Result<()> {
        let none = async || Err(Error::internal("the lake metadata vanished"));
        let without = |info: &mut LakeInfo| {
            info.origins.remove(origin);
            if info.default_origin == origin {
                let first = self.info.as_ref().map(|before| before.default_origin.clone());
                info.default_origin = first.or_else(|| info.origins.keys().next().cloned()).unwrap_or_default();
            }
        };
        let info = store.update_record(Layout::INFO, none, without).await?;
        if self.info.is_none() && info.origins.is_empty() {
            store.delete(Layout::REQUESTS).await?;
            store.delete(Layout::INFO).await?;
        }
        Ok(())
    }
}
