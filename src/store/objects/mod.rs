//! A lake in a bucket: anything that `object_store` speaks, memory included. Shards under construction are files of a
//! scratch folder on the local disk; each has the path of the object that it will become, and reads see both. Not here:
//! a local disk (`disk`, `local`).

mod client;
mod conditional;
mod contact;
mod far_shard;
mod listed;
mod memory;
mod metered;
mod retrying;
mod scratch;
#[cfg(test)]
mod tests;
mod transient;
mod upload;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Error as ObjectError, GetOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload, UpdateVersion,
};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use url::Url;

pub use client::ObjectClient;
pub(in crate::store) use conditional::version_of;
use conditional::{Condition, put_if};
pub use far_shard::FarShard;
pub use memory::MemoryBucket;
use retrying::read_now;
pub(super) use retrying::{NoResponse, Retrying};
pub(super) use scratch::{Scratch, explained};
#[cfg(test)]
pub(crate) use upload::PART_LENGTH;

use super::cache::ObjectCache;
#[cfg(test)]
use super::failpoint::Failpoint;
use super::refusal::refusal;
use super::shard_file::ShardFile;
use super::step::Step;
use super::{EntryKind, StoreUsage, blocking};
use crate::error::{Context, ErrorKind, Result};

/// The parts of uploads, and the objects put at once, that are in memory at a time: with [`upload::PART_LENGTH`] they
/// bound it, however many uploads are in progress.
const PARTS_IN_MEMORY: usize = 8;
/// The deletions of a folder's objects are sent as this many streams. Each is one request for a thousand objects on S3, and
/// ten requests at once on Google Cloud Storage.
const DELETE_STREAMS: usize = 4;
/// Fewer objects than this are one stream.
const LEAST_DELETE_STREAM: usize = 16;

/// A lake in a bucket. Cheap to clone.
#[derive(Clone)]
pub(super) struct Objects {
    pub(super) client: Retrying,
    /// The root of the lake in the bucket.
    prefix: Path,
    pub(super) scratch: Scratch,
    /// One permit for each part in memory.
    parts: Arc<Semaphore>,
    /// Where small objects and the ends of shards are kept, if they are.
    pub(super) cache: Option<ObjectCache>,
    #[cfg(test)]
    pub(super) failpoint: Failpoint,
}

impl Objects {
    pub(super) fn new(
        client: Arc<dyn ObjectClient>,
        root_url: &Url,
        prefix: Path,
        scratch: Option<PathBuf>,
    ) -> Objects {
        let scratch = Scratch::of(scratch, root_url);
        Objects {
            client: Retrying::new(client),
            prefix,
            parts: Arc::new(Semaphore::new(PARTS_IN_MEMORY)),
            cache: None,
            // The steps of the scratch and those of the bucket are steps of one process.
            #[cfg(test)]
            failpoint: scratch.disk.failpoint.clone(),
            scratch,
        }
    }

    /// Checks every step before it changes the bucket. Only a test stops one here.
    fn admit(&self, step: Step, path: &str) -> Result<()> {
        #[cfg(test)]
        self.failpoint.pass(step, path).or_error(ErrorKind::Lake, || format!("cannot change {path}"))?;
        let _ = (step, path);
        Ok(())
    }

    /// See [`super::Store::check`].
    pub(super) async fn check(&self) -> Result<()> {
        let listed = self.client.list_with_delimiter(Some(&self.prefix)).await;
        listed.map(drop).map_err(|error| refusal("list", "", error))
    }

    pub(super) fn hurry(&self) {
        self.client.hurry();
    }

    pub(super) fn trouble(&self, at_least: Duration) -> Option<String> {
        self.client.trouble(at_least)
    }

    pub(super) fn usage(&self) -> StoreUsage {
        self.client.usage()
    }

    /// See [`super::Store::location`].
    pub(super) fn location(&self, root_url: &Url) -> String {
        let end = if self.prefix.as_ref().is_empty() { "" } else { "/" };
        format!("{}://{}/{}{end}", root_url.scheme(), root_url.host_str().unwrap_or_default(), self.prefix)
    }

    /// Returns the key of an object in the bucket.
    fn path(&self, path: &str) -> Result<Path> {
        let whole = match self.prefix.as_ref() {
            "" => Path::parse(path),
            prefix => Path::parse(format!("{prefix}/{path}")),
        };
        whole.or_error(ErrorKind::Input, || format!("{path:?} cannot be the name of an object"))
    }

    /// Returns the path of an object from the root of the lake.
    fn name(&self, location: &Path) -> String {
        let name = location.as_ref().strip_prefix(self.prefix.as_ref()).unwrap_or(location.as_ref());
        name.trim_start_matches('/').to_owned()
    }

    /// Begins to read an object of the bucket; `None` if there is none.
    async fn find(&self, path: &str) -> Result<Option<GetResult>> {
        match self.client.get(&self.path(path)?).await {
            Ok(found) => Ok(Some(found)),
            Err(ObjectError::NotFound { .. }) => Ok(None),
            Err(error) => Err(refusal("read", path, error)),
        }
    }

    /// Reads an object of the bucket into memory.
    pub(super) async fn read(&self, path: &str) -> Result<Option<(ObjectMeta, Bytes)>> {
        let read = read_now(&self.client, &self.path(path)?, GetOptions::default()).await;
        let read = read.map_err(|error| refusal("read", path, error))?;
        Ok(read.map(|(meta, _, bytes)| (meta, bytes)))
    }

    pub(super) async fn get(&self, path: &str) -> Result<Option<Bytes>> {
        if self.scratch.file(path).is_some() {
            return self.scratch.disk.get(path).await.map_err(explained);
        }
        Ok(self.read(path).await?.map(|(_, bytes)| bytes))
    }

    pub(super) async fn put(&self, path: &str, bytes: Bytes) -> Result<()> {
        self.admit(Step::Put, path)?;
        let put = self.client.put(&self.path(path)?, PutPayload::from_bytes(bytes)).await;
        put.map(drop).map_err(|error| refusal("write", path, error))
    }

    pub(super) async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Result<Option<UpdateVersion>> {
        self.admit(Step::Put, path)?;
        let put = put_if(&self.client, &self.path(path)?, bytes, &Condition::Absent).await;
        put.map_err(|error| refusal("write", path, error))
    }

    pub(super) async fn replace_if_unchanged(
        &self,
        path: &str,
        expected: &Bytes,
        bytes: Bytes,
    ) -> Result<Option<UpdateVersion>> {
        match self.read(path).await? {
            Some((meta, held)) if held == *expected => self.replace_version(path, version_of(&meta), bytes).await,
            _ => Ok(None),
        }
    }

    /// Replaces an object if it is still this version. Returns the new one.
    pub(super) async fn replace_version(
        &self,
        path: &str,
        expected: UpdateVersion,
        bytes: Bytes,
    ) -> Result<Option<UpdateVersion>> {
        let condition = Condition::Version(expected);
        self.admit(Step::Put, path)?;
        let put = put_if(&self.client, &self.path(path)?, bytes, &condition).await;
        put.map_err(|error| refusal("write", path, error))
    }

    pub(super) async fn delete_if_unchanged(&self, path: &str, expected: &Bytes) -> Result<bool> {
        if self.get(path).await?.as_ref() != Some(expected) {
            return Ok(false);
        }
        self.delete_object(path).await?;
        Ok(true)
    }

    pub(super) async fn delete(&self, path: &str) -> Result<()> {
        if self.scratch.file(path).is_some() {
            self.scratch.disk.delete(path).await.map_err(explained)?;
        }
        self.delete_object(path).await
    }

    async fn delete_object(&self, path: &str) -> Result<()> {
        self.admit(Step::Delete, path)?;
        match self.client.delete(&self.path(path)?).await {
            Ok(()) | Err(ObjectError::NotFound { .. }) => Ok(()),
            Err(error) => Err(refusal("delete", path, error)),
        }
    }

    pub(super) async fn delete_folder(&self, folder: &str) -> Result<()> {
        if self.scratch.exists() {
            self.scratch.disk.delete_folder(folder).await.map_err(explained)?;
        }
        let mut keys = Vec::new();
        let mut stopped = Ok(());
        for name in self.list_objects(folder).await?.iter().map(|entry| self.name(&entry.location)) {
            stopped = self.admit(Step::Delete, &name);
            if stopped.is_err() {
                break;
            }
            keys.push(self.path(&name)?);
        }
        let in_stream = keys.len().div_ceil(DELETE_STREAMS).max(LEAST_DELETE_STREAM);
        let streams = stream::iter(keys.chunks(in_stream).map(<[Path]>::to_vec)).map(Ok);
        let deleted = streams.try_for_each_concurrent(DELETE_STREAMS, |keys| {
            let deleted = self.client.delete_stream(stream::iter(keys.into_iter().map(Ok)).boxed());
            deleted.try_for_each(|_| std::future::ready(Ok(())))
        });
        deleted.await.map_err(|error| refusal("delete", folder, error)).and(stopped)
    }

    /// Lists the objects below a folder. A mark of the folder itself is no object.
    fn listing(&self, folder: &str) -> Result<BoxStream<'static, Result<ObjectMeta, ObjectError>>> {
        let folder = self.path(folder)?;
        let listed = self.client.list(Some(&folder));
        Ok(listed.try_filter(move |entry| std::future::ready(entry.location != folder)).boxed())
    }

    async fn list_objects(&self, folder: &str) -> Result<Vec<ObjectMeta>> {
        self.listing(folder)?.try_collect().await.map_err(|error| refusal("list", folder, error))
    }

    pub(super) async fn list(&self, folder: &str) -> Result<Vec<String>> {
        let listed = self.list_objects(folder).await?;
        let mut names: Vec<String> = listed.iter().map(|entry| self.name(&entry.location)).collect();
        // A mark of a folder: an object without bytes whose name is that of the folder. Consoles of buckets put them.
        let folders: HashSet<&str> =
            names.iter().flat_map(|name| name.match_indices('/').map(|(end, _)| &name[..end])).collect();
        let is_mark: Vec<bool> =
            names.iter().zip(&listed).map(|(name, entry)| entry.size == 0 && folders.contains(name.as_str())).collect();
        let mut is_mark = is_mark.into_iter();
        names.retain(|_| !is_mark.next().unwrap_or_default());
        if self.scratch.exists() {
            names.extend(self.scratch.disk.list(folder).await.map_err(explained)?);
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Returns the first object below a folder.
    async fn first(&self, folder: &str) -> Result<Option<ObjectMeta>> {
        self.listing(folder)?.try_next().await.map_err(|error| refusal("list", folder, error))
    }

    pub(super) async fn entry(&self, path: &str) -> Result<Option<EntryKind>> {
        if self.scratch.file(path).is_some() {
            return Ok(Some(EntryKind::File));
        }
        let staged = self.scratch.disk.path(path).is_dir().then_some(EntryKind::Folder);
        match self.client.head(&self.path(path)?).await {
            Ok(_) => Ok(Some(EntryKind::File)),
            Err(ObjectError::NotFound { .. }) => Ok(self.first(path).await?.map(|_| EntryKind::Folder).or(staged)),
            Err(error) => Err(refusal("read", path, error)),
        }
    }

    pub(super) async fn any_entry(&self) -> Result<Option<String>> {
        Ok(self.first("").await?.map(|entry| self.name(&entry.location)))
    }

    /// Fails unless files can be written into the scratch folder.
    pub(super) async fn check_scratch(&self) -> Result<()> {
        let scratch = self.scratch.clone();
        blocking("a check of the scratch folder", move || scratch.check()).await
    }

    pub(super) async fn open_shard(&self, path: &str) -> Result<Option<ShardFile>> {
        if let Some(staged) = self.scratch.open(path)? {
            return Ok(Some(ShardFile::Local(Arc::new(staged))));
        }
        let opened = FarShard::open(&self.client, self.path(path)?, path).await?;
        Ok(opened.map(|shard| ShardFile::Far(Arc::new(shard))))
    }

    pub(super) async fn open_whole(&self, path: &str) -> Result<Option<ShardFile>> {
        if let Some(staged) = self.scratch.open(path)? {
            return Ok(Some(ShardFile::Local(Arc::new(staged))));
        }
        let Some(found) = self.find(path).await? else { return Ok(None) };
        Ok(Some(ShardFile::Local(Arc::new(self.scratch.take_in(path, found).await?))))
    }

    pub(super) async fn digest(&self, path: &str) -> Result<Option<String>> {
        match self.scratch.file(path) {
            Some(_) => self.scratch.disk.digest(path).await.map_err(explained),
            None => self.digest_of_object(path).await,
        }
    }

    async fn digest_of_object(&self, path: &str) -> Result<Option<String>> {
        let Some(found) = self.find(path).await? else { return Ok(None) };
        let mut body = found.into_stream();
        let mut digest = Sha256::new();
        while let Some(chunk) = body.try_next().await.map_err(|error| refusal("read", path, error))? {
            digest.update(&chunk);
        }
        Ok(Some(format!("{:x}", digest.finalize())))
    }
}
