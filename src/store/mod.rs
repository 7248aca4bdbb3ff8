//! The storage adapter of a lake: a local disk, or memory for tests.
//!
//! Two promises hold on every backend: a put is atomic (a reader sees the old object or the new one, never a part), and
//! it is durable when it returns. Not here: the paths (`lake::Layout`), and the meaning of the bytes.

mod blocking;
mod disk;
#[cfg(test)]
mod failpoint;
mod local;
mod moves;
mod open_files;
mod record;
mod shard_file;
mod staged;
mod step;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion};
use url::Url;

use crate::error::{Context, Error, ErrorKind, Result};

pub use blocking::BlockingStore;
pub(crate) use blocking::blocking;
use disk::Disk;
#[cfg(test)]
pub(crate) use failpoint::{Access, Failure, Reached};
pub use open_files::{KeptFile, brief_files, open_file_limit, raise_open_file_limit};
pub use record::StoredRecord;
use shard_file::LocalShard;
pub use shard_file::{ShardFile, read_exact_at};
pub use staged::StagedFile;
pub(crate) use step::Step;

/// The opened storage of a lake. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    backend: Backend,
    root_url: Url,
    #[cfg(test)]
    memory_failpoint: failpoint::Failpoint,
}

/// The kind of an entry at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// An object, or a link to one.
    File,
    /// A folder, or a link to one.
    Folder,
    /// Neither readable nor listable: a link that leads nowhere, a pipe.
    Other,
}

#[derive(Clone)]
enum Backend {
    Local(Disk),
    Memory(Arc<InMemory>),
}

impl Store {
    /// Opens a location: a path, `file://…`, or `memory:///` (a new, empty store that dies with the process).
    ///
    /// Nothing is created or read. Fails with [`ErrorKind::Input`] for a location of another kind.
    pub fn open(location: &str) -> Result<Store> {
        if let Some((scheme, _)) = location.split_once("://") {
            return match scheme {
                "file" => {
                    let url = Url::parse(location).or_error(ErrorKind::Input, || format!("{location} is not a URL"))?;
                    let path =
                        url.to_file_path().map_err(|()| Error::input(format!("{location} names no local folder")))?;
                    Store::local(&path)
                }
                "memory" => Ok(Store::memory()),
                "gs" | "s3" | "r2" => {
                    Err(Error::input(format!("a lake in a bucket ({scheme}://) is not supported yet"))
                        .hint("give a local folder"))
                }
                _ => Err(Error::input(format!("{location} is not a place for a lake"))
                    .hint("give a folder, or a file:// URL")),
            };
        }
        Store::local(Path::new(location))
    }

    /// Creates an empty store in memory, gone with the process.
    pub fn memory() -> Store {
        let root_url = Url::parse("memory:///").unwrap_or_else(|_| unreachable!("a constant URL"));
        Store::of(Backend::Memory(Arc::new(InMemory::new())), root_url)
    }

    fn local(path: &Path) -> Result<Store> {
        let root =
            std::path::absolute(path).or_error(ErrorKind::Input, || format!("{} is not a path", path.display()))?;
        let root = without_parents(&root);
        let root_url =
            Url::from_directory_path(&root).map_err(|()| Error::input(format!("{} is not a path", path.display())))?;
        Ok(Store::of(Backend::Local(Disk::new(root)), root_url))
    }

    fn of(backend: Backend, root_url: Url) -> Store {
        Store {
            backend,
            root_url,
            #[cfg(test)]
            memory_failpoint: failpoint::Failpoint::default(),
        }
    }

    /// Checks every step that changes a store in memory. Only a test stops one here.
    fn admit(&self, step: Step, path: &str) -> Result<()> {
        #[cfg(test)]
        self.memory_failpoint.pass(step, path).or_error(ErrorKind::Lake, || format!("cannot change {path}"))?;
        let _ = (step, path);
        Ok(())
    }

    /// Creates the root itself. Puts create the folders below it and never the root: a lake whose folder vanishes while
    /// a process works in it is an error, and is not created again.
    pub async fn create_root(&self) -> Result<()> {
        match &self.backend {
            Backend::Local(disk) => disk.create_root().await,
            Backend::Memory(_) => Ok(()),
        }
    }

    /// Returns whether the root exists.
    pub async fn has_root(&self) -> bool {
        match &self.backend {
            Backend::Local(disk) => disk.root().is_dir(),
            Backend::Memory(_) => true,
        }
    }

    /// Removes the root if it is an empty folder.
    pub async fn remove_empty_root(&self) {
        if let Backend::Local(disk) = &self.backend {
            let _ = std::fs::remove_dir(disk.root());
        }
    }

    /// Returns the root as a URL that ends in `/`.
    pub fn root_url(&self) -> &Url {
        &self.root_url
    }

    /// Returns the root as a person would type it.
    pub fn location(&self) -> String {
        match &self.backend {
            Backend::Local(disk) => disk.root().display().to_string(),
            Backend::Memory(_) => self.root_url.to_string(),
        }
    }

    /// Returns the underlying object store; its paths are relative to the root of [`Store::root_url`]'s host, not to
    /// the lake.
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        match &self.backend {
            Backend::Local(_) => Arc::new(object_store::local::LocalFileSystem::new()),
            Backend::Memory(memory) => Arc::clone(memory) as Arc<dyn ObjectStore>,
        }
    }

    /// Returns the bytes at `path`, `None` if there is no object.
    pub async fn get(&self, path: &str) -> Result<Option<Bytes>> {
        match &self.backend {
            Backend::Local(disk) => disk.get(path).await,
            Backend::Memory(memory) => match memory.get(&ObjectPath::from(path)).await {
                Ok(found) => Ok(Some(found.bytes().await.or_error(ErrorKind::Lake, || format!("cannot read {path}"))?)),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(Error::lake(format!("cannot read {path}")).source(error)),
            },
        }
    }

    /// Replaces the object at `path` by `bytes`, atomically; durable when it returns.
    pub async fn put(&self, path: &str, bytes: impl Into<Bytes>) -> Result<()> {
        let bytes = bytes.into();
        match &self.backend {
            Backend::Local(disk) => disk.put(path, bytes).await,
            Backend::Memory(memory) => {
                self.admit(Step::Put, path)?;
                let put = memory.put(&ObjectPath::from(path), PutPayload::from_bytes(bytes)).await;
                put.map(drop).or_error(ErrorKind::Lake, || format!("cannot write {path}"))
            }
        }
    }

    /// Puts `bytes` at `path` if nothing is there yet; `false` if something is. Of many concurrent tries one succeeds,
    /// on whichever machine each of them is.
    pub async fn put_if_absent(&self, path: &str, bytes: impl Into<Bytes>) -> Result<bool> {
        let bytes = bytes.into();
        match &self.backend {
            Backend::Local(disk) => disk.put_if_absent(path, bytes).await,
            Backend::Memory(memory) => {
                self.admit(Step::Put, path)?;
                put_with(memory, path, bytes, PutMode::Create).await
            }
        }
    }

    /// Replaces the object at `path` by `bytes` if it is still `expected`; `false` if it is another, or gone. Of many
    /// concurrent tries with the same expectation, one succeeds.
    pub async fn replace_if_unchanged(&self, path: &str, expected: &Bytes, bytes: impl Into<Bytes>) -> Result<bool> {
        let bytes = bytes.into();
        match &self.backend {
            Backend::Local(disk) => disk.replace_if_unchanged(path, expected.clone(), bytes).await,
            Backend::Memory(memory) => {
                self.admit(Step::Put, path)?;
                let found = match memory.get(&ObjectPath::from(path)).await {
                    Ok(found) => found,
                    Err(object_store::Error::NotFound { .. }) => return Ok(false),
                    Err(error) => return Err(Error::lake(format!("cannot read {path}")).source(error)),
                };
                let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
                let held = found.bytes().await.or_error(ErrorKind::Lake, || format!("cannot read {path}"))?;
                if held != *expected {
                    return Ok(false);
                }
                put_with(memory, path, bytes, PutMode::Update(version)).await
            }
        }
    }

    /// Removes the object at `path` if it is still `expected`; `false` if it is another, or gone. Meanwhile it may be
    /// replaced only by [`Store::replace_if_unchanged`].
    pub async fn delete_if_unchanged(&self, path: &str, expected: &Bytes) -> Result<bool> {
        match &self.backend {
            Backend::Local(disk) => disk.delete_if_unchanged(path, expected.clone()).await,
            Backend::Memory(_) => {
                if self.get(path).await?.as_ref() != Some(expected) {
                    return Ok(false);
                }
                self.delete(path).await?;
                Ok(true)
            }
        }
    }

    /// Moves a staged object to its place and replaces an existing one, atomically; durable when it returns.
    ///
    /// `Ok(false)` if nothing is staged at `from`.
    pub async fn promote(&self, from: &str, to: &str) -> Result<bool> {
        match &self.backend {
            Backend::Local(disk) => disk.promote(from, to).await,
            Backend::Memory(_) => {
                let Some(bytes) = self.get(from).await? else { return Ok(false) };
                self.put(to, bytes).await?;
                self.delete(from).await?;
                Ok(true)
            }
        }
    }

    /// Removes the object at `path`; a missing one is no error.
    pub async fn delete(&self, path: &str) -> Result<()> {
        match &self.backend {
            Backend::Local(disk) => disk.delete(path).await,
            Backend::Memory(memory) => {
                self.admit(Step::Delete, path)?;
                match memory.delete(&ObjectPath::from(path)).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                    Err(error) => Err(Error::lake(format!("cannot delete {path}")).source(error)),
                }
            }
        }
    }

    /// Removes all objects below `folder`.
    pub async fn delete_folder(&self, folder: &str) -> Result<()> {
        match &self.backend {
            Backend::Local(disk) => disk.delete_folder(folder).await,
            Backend::Memory(_) => {
                for path in self.list(folder).await? {
                    self.delete(&path).await?;
                }
                Ok(())
            }
        }
    }

    /// Removes unfinished puts of dead processes below `folder` that are at least this old. A put takes only a moment.
    /// With an age of zero, no other process may put anything there now.
    pub async fn sweep(&self, folder: &str, least_age: Duration) -> Result<()> {
        let Backend::Local(disk) = &self.backend else { return Ok(()) };
        for path in self.list(folder).await? {
            if Store::is_put_begun(&path) && local::age(&disk.path(&path)) >= least_age {
                tracing::debug!(path, "an unfinished put is swept");
                self.delete(&path).await?;
            }
        }
        Ok(())
    }

    /// Removes a dead process's unfinished put of `path`. No other process may put anything there now.
    pub async fn sweep_put(&self, path: &str) -> Result<()> {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for begun in self.list(folder).await? {
            if Store::target_of_put(&begun).as_deref() == Some(path) {
                self.delete(&begun).await?;
            }
        }
        Ok(())
    }

    /// Returns the target path of the unfinished put at `path`; `None` for any other object.
    pub fn target_of_put(path: &str) -> Option<String> {
        disk::target_of_put(path)
    }

    /// Returns whether a path is that of an unfinished put: no object yet, and perhaps never one.
    pub fn is_put_begun(path: &str) -> bool {
        disk::is_put_begun(path)
    }

    /// Returns the paths of all objects below `folder`, at any depth, sorted; none if the folder does not exist.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>> {
        let mut paths = match &self.backend {
            Backend::Local(disk) => disk.list(folder).await?,
            Backend::Memory(memory) => {
                let listed = memory.list(Some(&ObjectPath::from(folder)));
                let paths = listed.map(|entry| entry.map(|entry| entry.location.to_string()));
                paths.try_collect().await.or_error(ErrorKind::Lake, || format!("cannot list {folder}"))?
            }
        };
        paths.sort_unstable();
        Ok(paths)
    }

    /// Returns the kind of the entry at `path`; `None` if there is none.
    pub async fn entry(&self, path: &str) -> Result<Option<EntryKind>> {
        match &self.backend {
            Backend::Local(disk) => disk.entry(path).await,
            Backend::Memory(_) if self.get(path).await?.is_some() => Ok(Some(EntryKind::File)),
            Backend::Memory(_) => Ok(self.list(path).await?.first().map(|_| EntryKind::Folder)),
        }
    }

    /// Returns the name of any entry in the root; `None` if it is empty or does not exist.
    pub async fn any_entry(&self) -> Result<Option<String>> {
        match &self.backend {
            Backend::Local(disk) => disk.any_entry().await,
            Backend::Memory(_) => Ok(self.list("").await?.into_iter().next()),
        }
    }

    /// Creates a file to write a staged object into, from a thread that may block.
    pub fn stage(&self, path: &str) -> Result<StagedFile> {
        StagedFile::create(self, path)
    }

    /// Opens the object at `path` for random reads from a thread that may block; `None` if there is none.
    pub async fn open_shard(&self, path: &str) -> Result<Option<ShardFile>> {
        match &self.backend {
            Backend::Local(disk) => Ok(LocalShard::open(disk, path)?.map(|shard| ShardFile::Local(Arc::new(shard)))),
            Backend::Memory(_) => Ok(self.get(path).await?.map(ShardFile::Bytes)),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.root_url)
    }
}

/// Returns the path without `..`, which no URL can express. Follows a link before taking its parent, as the system
/// does.
fn without_parents(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part == std::path::Component::ParentDir {
            plain = plain.canonicalize().unwrap_or(plain);
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}

/// Puts under a condition; `false` if the condition does not hold.
async fn put_with(memory: &InMemory, path: &str, bytes: Bytes, mode: PutMode) -> Result<bool> {
    match memory.put_opts(&ObjectPath::from(path), PutPayload::from_bytes(bytes), mode.into()).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(false),
        Err(error) => Err(Error::lake(format!("cannot write {path}")).source(error)),
    }
}
