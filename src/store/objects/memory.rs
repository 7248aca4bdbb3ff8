//! A bucket in memory. `object_store`'s own one loses parts of an upload that arrive out of order or twice, so uploads are
//! kept here; objects are kept there.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// A bucket in memory, gone with its last clone.
#[derive(Debug, Clone, Default)]
pub struct MemoryBucket {
    objects: InMemory,
    uploads: Arc<Mutex<HashMap<MultipartId, BTreeMap<usize, Bytes>>>>,
}

impl MemoryBucket {
    /// Creates an empty bucket.
    pub fn new() -> MemoryBucket {
        MemoryBucket::default()
    }

    /// Returns the number of uploads that were begun and neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        self.uploads().len()
    }

    fn uploads(&self) -> MutexGuard<'_, HashMap<MultipartId, BTreeMap<usize, Bytes>>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for MemoryBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

/// Returns the error of a bucket for an upload that it does not know (any more).
fn no_upload(path: &Path, id: &MultipartId) -> Error {
    Error::NotFound { path: path.to_string(), source: format!("no upload {id}").into() }
}

#[async_trait]
impl ObjectStore for MemoryBucket {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.objects.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.objects.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl MultipartStore for MemoryBucket {
    async fn create_multipart(&self, _: &Path) -> Result<MultipartId> {
        let id = format!("{:032x}", fastrand::u128(..));
        self.uploads().insert(id.clone(), BTreeMap::new());
        Ok(id)
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, index: usize, part: PutPayload) -> Result<PartId> {
        let mut uploads = self.uploads();
        let parts = uploads.get_mut(id).ok_or_else(|| no_upload(path, id))?;
        parts.insert(index, part.into());
        Ok(PartId { content_id: index.to_string() })
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        let kept = self.uploads().remove(id).ok_or_else(|| no_upload(path, id))?;
        if !kept.keys().copied().eq(0..parts.len()) {
            let source = format!("{} parts are named, and others were put", parts.len()).into();
            return Err(Error::Generic { store: "memory", source });
        }
        self.objects.put_opts(path, kept.into_values().collect(), PutOptions::default()).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.uploads().remove(id).map(drop).ok_or_else(|| no_upload(path, id))
    }
}
