//! Counts the operations of a client, and their bytes. Each attempt is one operation. Not here: retries (`retrying`), and
//! the price of an operation.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartId, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::client::ObjectClient;
use crate::store::StoreUsage;

/// The number of objects in a page of a listing, in every kind of bucket.
const PAGE_OBJECTS: u64 = 1_000;

/// A client whose operations are counted. Clones share the counts.
#[derive(Debug, Clone)]
pub(super) struct Metered {
    inner: Arc<dyn ObjectClient>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    puts: AtomicU64,
    creates: AtomicU64,
    updates: AtomicU64,
    gets: AtomicU64,
    heads: AtomicU64,
    lists: AtomicU64,
    deletes: AtomicU64,
    uploads_begun: AtomicU64,
    parts: AtomicU64,
    uploads_completed: AtomicU64,
    uploads_aborted: AtomicU64,
    retries: AtomicU64,
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
}

/// Adds `more` to a count.
fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

impl Metered {
    pub(super) fn new(inner: Arc<dyn ObjectClient>) -> Metered {
        Metered { inner, counts: Arc::default() }
    }

    pub(super) fn note_retry(&self) {
        add(&self.counts.retries, 1);
    }

    pub(super) fn usage(&self) -> StoreUsage {
        let counts = &*self.counts;
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        StoreUsage {
            puts: count(&counts.puts),
            creates: count(&counts.creates),
            updates: count(&counts.updates),
            gets: count(&counts.gets),
            heads: count(&counts.heads),
            lists: count(&counts.lists),
            deletes: count(&counts.deletes),
            uploads_begun: count(&counts.uploads_begun),
            parts: count(&counts.parts),
            uploads_completed: count(&counts.uploads_completed),
            uploads_aborted: count(&counts.uploads_aborted),
            retries: count(&counts.retries),
            bytes_up: count(&counts.bytes_up),
            bytes_down: count(&counts.bytes_down),
        }
    }

    /// Counts the pages of a listing as its objects arrive. A listing has one page at least.
    fn count_pages(&self, listed: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
        add(&self.counts.lists, 1);
        let counts = Arc::clone(&self.counts);
        let numbered = stream::iter(0_u64..).zip(listed);
        numbered
            .map(move |(number, entry)| {
                if number > 0 && number % PAGE_OBJECTS == 0 {
                    add(&counts.lists, 1);
                }
                entry
            })
            .boxed()
    }
}

impl fmt::Display for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Metered {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let (count, kind) = match &options.mode {
            PutMode::Overwrite => (&self.counts.puts, "put"),
            PutMode::Create => (&self.counts.creates, "create"),
            PutMode::Update(_) => (&self.counts.updates, "update"),
        };
        add(count, 1);
        add(&self.counts.bytes_up, payload.content_length() as u64);
        tracing::debug!(path = %location, bytes = payload.content_length(), "{kind} an object");
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        // Uploads through this object would not be counted; `MultipartStore` is for them.
        let _ = (location, options);
        Err(object_store::Error::NotImplemented {
            operation: "an upload without an id".to_owned(),
            implementer: self.to_string(),
        })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let is_head = options.head;
        add(if is_head { &self.counts.heads } else { &self.counts.gets }, 1);
        let range = options.range.as_ref().map(ToString::to_string);
        tracing::debug!(path = %location, range, "{} an object", if is_head { "head" } else { "get" });
        let mut found = self.inner.get_opts(location, options).await?;
        if let GetResultPayload::Stream(body) = found.payload {
            let counts = Arc::clone(&self.counts);
            let counted = body.inspect(move |chunk| {
                add(&counts.bytes_down, chunk.as_ref().map_or(0, |chunk| chunk.len() as u64));
            });
            found.payload = GetResultPayload::Stream(counted.boxed());
        }
        Ok(found)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let counts = Arc::clone(&self.counts);
        let counted = locations.inspect(move |location| {
            add(&counts.deletes, u64::from(location.is_ok()));
            if let Ok(location) = location {
                tracing::debug!(path = %location, "delete an object");
            }
        });
        self.inner.delete_stream(counted.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        tracing::debug!(prefix = prefix.map(Path::as_ref), "list objects");
        self.count_pages(self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        tracing::debug!(prefix = prefix.map(Path::as_ref), offset = %offset, "list objects");
        self.count_pages(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        tracing::debug!(prefix = prefix.map(Path::as_ref), "list a folder");
        add(&self.counts.lists, 1);
        let listed = self.inner.list_with_delimiter(prefix).await?;
        let entries = (listed.objects.len() + listed.common_prefixes.len()) as u64;
        add(&self.counts.lists, entries.div_ceil(PAGE_OBJECTS).saturating_sub(1));
        Ok(listed)
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        // In version 0.13 of `object_store` a copy in GCS does the opposite of what its mode says.
        Err(object_store::Error::NotImplemented { operation: "copy".to_owned(), implementer: self.to_string() })
    }
}

#[async_trait]
impl MultipartStore for Metered {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        add(&self.counts.uploads_begun, 1);
        tracing::debug!(path = %path, "begin an upload");
        self.inner.create_multipart(path).await
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, index: usize, part: PutPayload) -> Result<PartId> {
        add(&self.counts.parts, 1);
        add(&self.counts.bytes_up, part.content_length() as u64);
        tracing::debug!(path = %path, part = index, bytes = part.content_length(), "put a part of an upload");
        self.inner.put_part(path, id, index, part).await
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        add(&self.counts.uploads_completed, 1);
        tracing::debug!(path = %path, parts = parts.len(), "complete an upload");
        self.inner.complete_multipart(path, id, parts).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        add(&self.counts.uploads_aborted, 1);
        tracing::debug!(path = %path, "abort an upload");
        self.inner.abort_multipart(path, id).await
    }
}
