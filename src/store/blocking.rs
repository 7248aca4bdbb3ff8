//! Blocking work on blocking threads: that of this adapter, and of all readers of what it opens.

use bytes::Bytes;

use super::{ShardFile, Store};
use crate::error::{Context, ErrorKind, Result};

/// Runs `work` on a thread that may block. `what` is a noun for the work, for the error of a thread that died.
pub(crate) async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.or_error(ErrorKind::Internal, || format!("{what} died"))?
}

/// A store for threads that may block. Its methods must not be called from an async task.
#[derive(Debug, Clone, Copy)]
pub struct BlockingStore<'a> {
    store: &'a Store,
}

impl Store {
    /// Returns the same store for a thread that may block.
    pub fn blocking(&self) -> BlockingStore<'_> {
        BlockingStore { store: self }
    }
}

impl BlockingStore<'_> {
    /// See [`Store::open_shard`].
    pub fn open(self, path: &str) -> Result<Option<ShardFile>> {
        wait(self.store.open_shard(path))
    }

    /// See [`Store::open_whole`].
    pub fn open_whole(self, path: &str) -> Result<Option<ShardFile>> {
        wait(self.store.open_whole(path))
    }

    /// See [`Store::get`].
    pub fn get(self, path: &str) -> Result<Option<Bytes>> {
        wait(self.store.get(path))
    }

    /// See [`Store::list`].
    pub fn list(self, folder: &str) -> Result<Vec<String>> {
        wait(self.store.list(folder))
    }

    /// See [`Store::put`].
    pub fn put(self, path: &str, bytes: impl Into<Bytes>) -> Result<()> {
        wait(self.store.put(path, bytes))
    }
}

/// Waits for a future. No other code makes a thread wait for one.
fn wait<T>(work: impl Future<Output = T>) -> T {
    futures::executor::block_on(work)
}
