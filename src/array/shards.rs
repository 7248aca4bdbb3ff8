//! The shards of an array in the store: reads one, and replaces one by a compare and swap. Not here: their encoding
//! (`form`).

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::store::Store;

/// Replaces the object at `path` from `held` to `new`; `None` is no object. Returns whether anything was written: equal
/// bytes are not.
///
/// Fails with [`crate::error::ErrorKind::Lake`] if the object is not `held` any more: then another process writes the same
/// rows, although this one has their lease.
pub(super) async fn replace_shard(store: &Store, path: &str, held: Option<&Bytes>, new: Option<Bytes>) -> Result<bool> {
    let is_written = match (held, new) {
        (held, new) if held == new.as_ref() => return Ok(false),
        (None, Some(new)) => store.put_if_absent(path, new).await?,
        (Some(held), Some(new)) => store.replace_if_unchanged(path, held, new).await?,
        (Some(held), None) => store.delete_if_unchanged(path, held).await?,
        (None, None) => return Ok(false),
    };
    if is_written {
        return Ok(true);
    }
    Err(Error::lake(format!("another process has written {path} of {} meanwhile", store.location()))
        .hint("this process stood still for so long that its lease lapsed; run the same command again"))
}
