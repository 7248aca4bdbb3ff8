//! The door to where a lake lies: a local disk, or memory for tests.
//!
//! Two promises hold on every backend: a put is atomic (a reader sees the old object or the new one, never a part),
//! and it is durable when it returns. Not here: which paths there are (`lake::Layout`), and what the bytes mean.

mod local;
mod staged;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use url::Url;

use crate::error::{Context, Error, ErrorKind, Result};

pub use staged::{ShardFile, StagedFile};

/// Where a lake lies, opened. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    backend: Backend,
    root_url: Url,
}

#[derive(Clone)]
enum Backend {
    Local(Arc<PathBuf>),
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

    /// A store in memory: empty, gone with the process.
    pub fn memory() -> Store {
        let root_url = Url::parse("memory:///").unwrap_or_else(|_| unreachable!("a constant URL"));
        Store { backend: Backend::Memory(Arc::new(InMemory::new())), root_url }
    }

    fn local(path: &Path) -> Result<Store> {
        let root =
            std::path::absolute(path).or_error(ErrorKind::Input, || format!("{} is not a path", path.display()))?;
        let root_url =
            Url::from_directory_path(&root).map_err(|()| Error::input(format!("{} is not a path", path.display())))?;
        Ok(Store { backend: Backend::Local(Arc::new(root)), root_url })
    }

    /// The root as a URL that ends in `/`.
    pub fn root_url(&self) -> &Url {
        &self.root_url
    }

    /// The root as a person would type it.
    pub fn location(&self) -> String {
        match &self.backend {
            Backend::Local(root) => root.display().to_string(),
            Backend::Memory(_) => self.root_url.to_string(),
        }
    }

    /// The object store below; its paths are relative to the root of [`Store::root_url`]'s host, not to the lake.
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        match &self.backend {
            Backend::Local(_) => Arc::new(object_store::local::LocalFileSystem::new()),
            Backend::Memory(memory) => Arc::clone(memory) as Arc<dyn ObjectStore>,
        }
    }

    /// The bytes at `path`, `None` where there is nothing.
    pub async fn get(&self, path: &str) -> Result<Option<Bytes>> {
        match &self.backend {
            Backend::Local(root) => local::get(root.join(path)).await,
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
            Backend::Local(root) => local::put(Arc::clone(root), path.to_owned(), bytes).await,
            Backend::Memory(memory) => {
                let put = memory.put(&ObjectPath::from(path), PutPayload::from_bytes(bytes)).await;
                put.map(drop).or_error(ErrorKind::Lake, || format!("cannot write {path}"))
            }
        }
    }

    /// Moves a staged object to its place, replacing what is there, atomically; durable when it returns.
    ///
    /// `Ok(false)` where nothing is staged at `from`.
    pub async fn promote(&self, from: &str, to: &str) -> Result<bool> {
        match &self.backend {
            Backend::Local(root) => local::promote(Arc::clone(root), from.to_owned(), to.to_owned()).await,
            Backend::Memory(_) => {
                let Some(bytes) = self.get(from).await? else { return Ok(false) };
                self.put(to, bytes).await?;
                self.delete(from).await?;
                Ok(true)
            }
        }
    }

    /// Removes the object at `path`; one that is not there is no error.
    pub async fn delete(&self, path: &str) -> Result<()> {
        match &self.backend {
            Backend::Local(root) => local::delete(root.join(path)).await,
            Backend::Memory(memory) => match memory.delete(&ObjectPath::from(path)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(Error::lake(format!("cannot delete {path}")).source(error)),
            },
        }
    }

    /// Removes all objects below `folder`.
    pub async fn delete_folder(&self, folder: &str) -> Result<()> {
        match &self.backend {
            Backend::Local(root) => local::delete_folder(root.join(folder)).await,
            Backend::Memory(_) => {
                for path in self.list(folder).await? {
                    self.delete(&path).await?;
                }
                Ok(())
            }
        }
    }

    /// The paths of all objects below `folder`, at any depth, sorted; none where the folder does not exist.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>> {
        let mut paths = match &self.backend {
            Backend::Local(root) => local::list(Arc::clone(root), folder.to_owned()).await?,
            Backend::Memory(memory) => {
                let listed = memory.list(Some(&ObjectPath::from(folder)));
                let paths = listed.map(|entry| entry.map(|entry| entry.location.to_string()));
                paths.try_collect().await.or_error(ErrorKind::Lake, || format!("cannot list {folder}"))?
            }
        };
        paths.sort_unstable();
        Ok(paths)
    }

    /// The name of anything that lies in the root; `None` where it is empty or does not exist.
    pub async fn any_entry(&self) -> Result<Option<String>> {
        match &self.backend {
            Backend::Local(root) => local::any_entry(Arc::clone(root)).await,
            Backend::Memory(_) => Ok(self.list("").await?.into_iter().next()),
        }
    }

    /// A file to write a staged object into, from a thread that may block.
    pub fn stage(&self, path: &str) -> Result<StagedFile> {
        StagedFile::create(self, path)
    }

    /// Opens the object at `path` for random reads from a thread that may block; `None` where there is nothing.
    pub async fn open_shard(&self, path: &str) -> Result<Option<ShardFile>> {
        match &self.backend {
            Backend::Local(root) => match std::fs::File::open(root.join(path)) {
                Ok(file) => Ok(Some(ShardFile::Local(file))),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(Error::lake(format!("cannot read {path}")).source(error)),
            },
            Backend::Memory(_) => Ok(self.get(path).await?.map(ShardFile::Bytes)),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.root_url)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    async fn conforms(store: &Store) {
        assert_eq!(store.get("a/b.json").await.unwrap(), None);
        store.put("a/b.json", "one").await.unwrap();
        store.put("a/b.json", "two").await.unwrap();
        assert_eq!(store.get("a/b.json").await.unwrap().unwrap(), "two");
        let staging = store.clone();
        tokio::task::spawn_blocking(move || {
            let mut staged = staging.stage("s/x.parquet").unwrap();
            std::io::Write::write_all(&mut staged, b"rows").unwrap();
            staged.finish().unwrap();
        })
        .await
        .unwrap();
        assert_eq!(store.list("").await.unwrap(), ["a/b.json", "s/x.parquet"]);
        assert!(store.promote("s/x.parquet", "t/x.parquet").await.unwrap());
        assert!(!store.promote("s/x.parquet", "t/x.parquet").await.unwrap());
        assert_eq!(store.get("t/x.parquet").await.unwrap().unwrap(), "rows");
        assert!(store.open_shard("t/x.parquet").await.unwrap().is_some());
        assert!(store.open_shard("t/y.parquet").await.unwrap().is_none());
        store.delete("t/x.parquet").await.unwrap();
        store.delete("t/x.parquet").await.unwrap();
        store.delete_folder("a").await.unwrap();
        store.delete_folder("a").await.unwrap();
        assert_eq!(store.list("").await.unwrap(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn memory_keeps_the_promises() {
        conforms(&Store::memory()).await;
    }

    #[tokio::test]
    async fn a_local_disk_keeps_the_promises_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("new/lake").to_str().unwrap()).unwrap();
        conforms(&store).await;
    }

    #[test]
    fn a_location_of_another_kind_is_refused() {
        for location in ["gs://bucket/x", "ftp://x/y"] {
            assert_eq!(Store::open(location).unwrap_err().kind(), ErrorKind::Input, "{location}");
        }
    }
}
