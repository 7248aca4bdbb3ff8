//! The storage adapter of a lake: a local disk, or a bucket. Memory is a bucket too, for tests.
//!
//! Two promises hold on every backend: a put is atomic (a reader sees the old object or the new one, never a part), and
//! it is durable when it returns. Not here: the paths (`lake::Layout`), and the meaning of the bytes.

mod blocking;
mod cache;
mod cost;
mod disk;
#[cfg(test)]
mod failpoint;
mod listed;
mod local;
mod location;
mod moves;
mod objects;
mod open_files;
mod options;
mod reach;
mod overlap;
mod record;
mod refusal;
mod shard_file;
mod staged;
mod step;
#[cfg(test)]
mod tests;
mod version;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::path::Path as ObjectPath;
use url::Url;

use crate::error::Result;

pub use blocking::BlockingStore;
pub(crate) use blocking::blocking;
pub use cache::{ObjectCache, Part};
pub use cost::ListPrices;
use disk::Disk;
#[cfg(test)]
pub(crate) use failpoint::{Access, Failure, Reached};
pub use listed::{FolderContent, Listed};
use objects::Objects;
#[cfg(test)]
pub(crate) use objects::PART_LENGTH;
pub use objects::{FarShard, MemoryBucket, ObjectClient};
pub use open_files::{KeptFile, brief_files, open_file_limit, raise_open_file_limit};
pub use options::{StoreOptions, StoreUsage};
pub use record::StoredRecord;
use shard_file::LocalShard;
pub use shard_file::{ShardFile, read_exact_at};
pub use staged::StagedFile;
#[cfg(test)]
pub(crate) use step::Step;
use version::Version;

/// The opened storage of a lake. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    backend: Backend,
    root_url: Url,
    /// Those of a bucket at its provider's own server.
    prices: Option<ListPrices>,
    /// The address of the server of a bucket that was opened by its location.
    server: Option<String>,
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

/// The id of a multipart upload that was begun in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadId(pub String);

#[derive(Clone)]
enum Backend {
    Disk(Disk),
    Objects(Objects),
}

impl Store {
    /// Creates an empty store in memory, gone with the process. It is a bucket in all but distance.
    pub fn memory() -> Store {
        let root_url = Url::parse("memory:///").unwrap_or_else(|_| unreachable!("a constant URL"));
        Store::of_objects(Arc::new(MemoryBucket::new()), root_url, ObjectPath::ROOT, None)
    }

    /// Makes the store of a lake in a bucket. `root_url` ends in `/`; `prefix` is the root of the lake in the bucket.
    /// `scratch` is a folder that lakes may share; without it a temporary folder is used, and removed with the last clone.
    /// Nothing is created or read.
    pub fn of_objects(
        client: Arc<dyn ObjectClient>,
        root_url: Url,
        prefix: ObjectPath,
        scratch: Option<PathBuf>,
    ) -> Store {
        let objects = Objects::new(client, &root_url, prefix, scratch);
        Store { backend: Backend::Objects(objects), root_url, prices: None, server: None }
    }

    /// Checks the first contact with a bucket: credentials, its existence, region and clock. Takes at most ten seconds. On
    /// a local disk it checks nothing.
    pub async fn check(&self) -> Result<()> {
        match &self.backend {
            Backend::Disk(_) => Ok(()),
            Backend::Objects(objects) => objects.check().await,
        }
    }

    /// Returns the operations since the store was opened, and their bytes; zero on a local disk.
    pub fn usage(&self) -> StoreUsage {
        match &self.backend {
            Backend::Disk(_) => StoreUsage::default(),
            Backend::Objects(objects) => objects.usage(),
        }
    }

    /// Returns the list prices of the bucket's provider; `None` on a disk, and for a server that the user chose.
    pub fn list_prices(&self) -> Option<ListPrices> {
        self.prices
    }

    /// Creates the root itself. Puts create the folders below it and never the root: a lake whose folder vanishes while
    /// a process works in it is an error, and is not created again.
    pub async fn create_root(&self) -> Result<()> {
        match &self.backend {
            Backend::Disk(disk) => disk.create_root().await,
            Backend::Objects(_) => Ok(()),
        }
    }

    /// Returns whether the root exists.
    pub async fn has_root(&self) -> bool {
        match &self.backend {
            Backend::Disk(disk) => disk.root().is_dir(),
            Backend::Objects(_) => true,
        }
    }

    /// Removes the root if it is an empty folder.
    pub async fn remove_empty_root(&self) {
        if let Backend::Disk(disk) = &self.backend {
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
            Backend::Disk(disk) => disk.root().display().to_string(),
            // As it was given: a location is no URL with escapes.
            Backend::Objects(objects) => objects.location(&self.root_url),
        }
    }

    /// Waits out failures of a bucket for seconds only from now on, since the process was asked to stop.
    pub fn hurry(&self) {
        if let Backend::Objects(objects) = &self.backend {
            objects.hurry();
        }
    }

    /// Returns the last failure of a bucket in a few words, if it has failed for `at_least` this time without a response in
    /// between; always `None` on a local disk.
    pub fn trouble(&self, at_least: Duration) -> Option<String> {
        match &self.backend {
            Backend::Disk(_) => None,
            Backend::Objects(objects) => objects.trouble(at_least),
        }
    }

    /// Returns the underlying object store; its paths are relative to the root of [`Store::root_url`]'s host, not to
    /// the lake. That of a bucket retries, and counts into [`Store::usage`].
    pub fn object_store(&self) -> Arc<dyn ObjectStore> {
        match &self.backend {
            Backend::Disk(_) => Arc::new(object_store::local::LocalFileSystem::new()),
            Backend::Objects(objects) => Arc::new(objects.client.clone()),
        }
    }

    /// Returns the bytes at `path`, `None` if there is no object.
    pub async fn get(&self, path: &str) -> Result<Option<Bytes>> {
        match &self.backend {
            Backend::Disk(disk) => disk.get(path).await,
            Backend::Objects(objects) => objects.get(path).await,
        }
    }

    /// Returns the SHA-256 of the object or the staged file at `path`, in hex; `None` if there is none. Reads it as a
    /// stream.
    pub async fn digest(&self, path: &str) -> Result<Option<String>> {
        match &self.backend {
            Backend::Disk(disk) => disk.digest(path).await,
            Backend::Objects(objects) => objects.digest(path).await,
        }
    }

    /// Replaces the object at `path` by `bytes`, atomically; durable when it returns. In a bucket a path has no control
    /// characters, and none of its parts is empty, `.` or `..`.
    pub async fn put(&self, path: &str, bytes: impl Into<Bytes>) -> Result<()> {
        match &self.backend {
            Backend::Disk(disk) => disk.put(path, bytes.into()).await,
            Backend::Objects(objects) => objects.put(path, bytes.into()).await,
        }
    }

    /// Puts `bytes` at `path` if nothing is there yet; `false` if something is. Of many concurrent tries one succeeds,
    /// on whichever machine each of them is.
    pub async fn put_if_absent(&self, path: &str, bytes: impl Into<Bytes>) -> Result<bool> {
        Ok(self.create(path, bytes.into()).await?.is_some())
    }

    /// Replaces the object at `path` by `bytes` if it is still `expected`; `false` if it is another, or gone. Of many
    /// concurrent tries with the same expectation, one succeeds.
    ///
    /// In a bucket a success may be reported as `false`, if its response is lost and another process replaces the object
    /// before that is found out.
    pub async fn replace_if_unchanged(&self, path: &str, expected: &Bytes, bytes: impl Into<Bytes>) -> Result<bool> {
        Ok(self.replace(path, expected, &Version::default(), bytes.into()).await?.is_some())
    }

    /// Removes the object at `path` if it is still `expected`; `false` if it is another, or gone. Meanwhile it may be
    /// replaced only by [`Store::replace_if_unchanged`].
    ///
    /// A bucket has no such operation: there the object is read, and then removed. A process removes only what no other one
    /// may replace at that time, such as a lease that is its own and has not expired.
    pub async fn delete_if_unchanged(&self, path: &str, expected: &Bytes) -> Result<bool> {
        match &self.backend {
            Backend::Disk(disk) => disk.delete_if_unchanged(path, expected.clone()).await,
            Backend::Objects(objects) => objects.delete_if_unchanged(path, expected).await,
        }
    }

    /// Moves a staged object to its place and replaces an existing one, atomically; durable when it returns.
    ///
    /// `Ok(false)` if nothing is staged at `from`.
    pub async fn promote(&self, from: &str, to: &str) -> Result<bool> {
        self.promote_upload(from, to, None).await
    }

    /// The same, by an upload that [`Store::begin_upload`] began. Fails with [`crate::error::ErrorKind::Lake`] if another
    /// process has aborted it. An upload that fails is aborted.
    pub async fn promote_upload(&self, from: &str, to: &str, upload: Option<&UploadId>) -> Result<bool> {
        match &self.backend {
            Backend::Disk(disk) => disk.promote(from, to).await,
            Backend::Objects(objects) => objects.promote(from, to, upload).await,
        }
    }

    /// Begins the upload of the file staged at `from` to `to`, so that its id can be recorded before the first part is
    /// sent. `None` where no upload is needed: on a disk, for a small file, and if nothing is staged.
    pub async fn begin_upload(&self, from: &str, to: &str) -> Result<Option<UploadId>> {
        match &self.backend {
            Backend::Disk(_) => Ok(None),
            Backend::Objects(objects) => objects.begin_upload(from, to).await,
        }
    }

    /// Aborts an upload to `to`; one that was completed or aborted is no error.
    pub async fn abort_upload(&self, to: &str, upload: &UploadId) -> Result<()> {
        match &self.backend {
            Backend::Disk(_) => Ok(()),
            Backend::Objects(objects) => objects.abort_upload(to, upload).await,
        }
    }

    /// Puts a copy of the file that is staged at `from` into the bucket at `to`, where it outlives the scratch folder. Does
    /// nothing on a disk, where no staged file is in such a folder.
    pub async fn back_up(&self, from: &str, to: &str) -> Result<()> {
        match &self.backend {
            Backend::Disk(_) => Ok(()),
            Backend::Objects(objects) => objects.back_up(from, to).await,
        }
    }

    /// Removes the object at `path`; a missing one is no error.
    pub async fn delete(&self, path: &str) -> Result<()> {
        match &self.backend {
            Backend::Disk(disk) => disk.delete(path).await,
            Backend::Objects(objects) => objects.delete(path).await,
        }
    }

    /// Removes all objects below `folder`.
    pub async fn delete_folder(&self, folder: &str) -> Result<()> {
        match &self.backend {
            Backend::Disk(disk) => disk.delete_folder(folder).await,
            Backend::Objects(objects) => objects.delete_folder(folder).await,
        }
    }

    /// Removes unfinished puts of dead processes below `folder` that are at least this old. A put takes only a moment.
    /// With an age of zero, no other process may put anything there now. A bucket has no unfinished puts. In its scratch
    /// folder, files of dead processes are removed after a day, when a process first uses the folder.
    pub async fn sweep(&self, folder: &str, least_age: Duration) -> Result<()> {
        match &self.backend {
            Backend::Disk(disk) => disk.sweep(folder, least_age).await,
            Backend::Objects(_) => Ok(()),
        }
    }

    /// Removes a dead process's unfinished put of `path`. No other process may put anything there now.
    pub async fn sweep_put(&self, path: &str) -> Result<()> {
        match &self.backend {
            Backend::Disk(disk) => disk.sweep_put(path).await,
            Backend::Objects(_) => Ok(()),
        }
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
        match &self.backend {
            Backend::Disk(disk) => disk.list(folder).await,
            Backend::Objects(objects) => objects.list(folder).await,
        }
    }

    /// Returns the kind of the entry at `path`; `None` if there is none.
    pub async fn entry(&self, path: &str) -> Result<Option<EntryKind>> {
        match &self.backend {
            Backend::Disk(disk) => disk.entry(path).await,
            Backend::Objects(objects) => objects.entry(path).await,
        }
    }

    /// Returns the name of any entry in the root; `None` if it is empty or does not exist.
    pub async fn any_entry(&self) -> Result<Option<String>> {
        match &self.backend {
            Backend::Disk(disk) => disk.any_entry().await,
            Backend::Objects(objects) => objects.any_entry().await,
        }
    }

    /// Creates a file to write a staged object into, from a thread that may block.
    pub fn stage(&self, path: &str) -> Result<StagedFile> {
        StagedFile::create(&self.backend, path)
    }

    /// Opens the object at `path` for random reads from a thread that may block; `None` if there is none. Of an object in a
    /// bucket each read may be a request.
    pub async fn open_shard(&self, path: &str) -> Result<Option<ShardFile>> {
        match &self.backend {
            Backend::Disk(disk) => Ok(LocalShard::open(disk, path)?.map(|shard| ShardFile::Local(Arc::new(shard)))),
            Backend::Objects(objects) => objects.open_shard(path).await,
        }
    }

    /// Opens the object at `path` for a reader of all of it; `None` if there is none. An object of a bucket is first copied
    /// into the scratch folder, as a file without a name.
    pub async fn open_whole(&self, path: &str) -> Result<Option<ShardFile>> {
        match &self.backend {
            Backend::Disk(_) => self.open_shard(path).await,
            Backend::Objects(objects) => objects.open_whole(path).await,
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.root_url)
    }
}
