//! The location of a lake's shards, as the engine addresses them.

use std::sync::Arc;

use datafusion::execution::object_store::ObjectStoreUrl;
use object_store::ObjectStore;
use object_store::path::Path as ObjectPath;
use url::{Position, Url};

use crate::error::{Context, ErrorKind, Result};
use crate::store::{ObjectCache, Store};

/// The object store of a lake, and the lake's root in it.
#[derive(Debug, Clone)]
pub(super) struct LakeLocation {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) store_url: ObjectStoreUrl,
    pub(super) root: ObjectPath,
    /// Whether the store opens files, which stay what they are when they are replaced. The others are asked for the
    /// version that was listed.
    pub(super) opens_files: bool,
    /// Where the ends of shards are kept.
    pub(super) cache: Option<ObjectCache>,
    /// The lake, for its arrays; `None` in tests that stand in for a store.
    pub(super) lake: Option<Store>,
}

impl LakeLocation {
    /// Makes the location of a lake.
    pub(super) fn of(lake: &Store) -> Result<LakeLocation> {
        let location = LakeLocation::new(lake.object_store(), lake.root_url(), lake.cache())?;
        Ok(LakeLocation { lake: Some(lake.clone()), ..location })
    }

    /// Returns whether both are the location of one lake.
    #[cfg(feature = "distributed")]
    pub(super) fn is_same_lake(&self, other: &LakeLocation) -> bool {
        self.store_url == other.store_url && self.root == other.root
    }

    /// Makes the location of the lake whose root is `root_url`, in `store`.
    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        root_url: &Url,
        cache: Option<&ObjectCache>,
    ) -> Result<LakeLocation> {
        let not_a_root = || format!("{root_url} is not the root of a lake");
        let root = ObjectPath::from_url_path(root_url.path()).or_error(ErrorKind::Input, not_a_root)?;
        let store_url =
            ObjectStoreUrl::parse(&root_url[..Position::BeforePath]).or_error(ErrorKind::Input, not_a_root)?;
        Ok(LakeLocation {
            store,
            store_url,
            root,
            opens_files: root_url.scheme() == "file",
            cache: cache.cloned(),
            lake: None,
        })
    }
}
