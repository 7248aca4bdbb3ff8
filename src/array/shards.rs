//! The shards of an array in the store: replaces one by a compare and swap. Not here: their encoding (`form`).

use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::store::Store;

/// Whether the process may still write: fails when it has lost its lease.
pub type Right = Arc<dyn Fn() -> Result<()> + Send + Sync>;

/// The objects that a build of an array has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// The objects with values that were written or removed. Zero if all values are those that were there.
    pub shards: u64,
    /// The generation of the array.
    pub generation: u64,
}

/// Replaces the object at `path` from `held` to `new`; `None` is no object. Returns whether anything was written: equal
/// bytes are not. `right` is called before.
///
/// Fails with [`crate::error::ErrorKind::Lake`] if the object is not `held` any more: then another process writes the same
/// rows, although this one has their lease.
pub(super) async fn replace_shard(
    store: &Store,
    path: &str,
    held: Option<&Bytes>,
    new: Option<Bytes>,
    right: &Right,
) -> Result<bool> {
    if held == new.as_ref() {
        return Ok(false);
    }
    right()?;
    let is_written = match (held, new) {
        (Some(held), Some(new)) => store.replace_if_unchanged(path, held, new).await?,
        (None, Some(new)) => store.put_if_absent(path, new).await?,
        (Some(held), None) => store.delete_if_unchanged(path, held).await?,
        (None, None) => true,
    };
    if is_written {
        return Ok(true);
    }
    Err(Error::lake(format!("another process has written {path} of {} meanwhile", store.location()))
        .hint("this process stood still for so long that its lease lapsed; run the same command again"))
}
