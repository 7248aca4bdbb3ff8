//! Sends operations again that failed for the moment, within a bound of time. Only operations that may be done twice:
//! a put under a condition is sent once (`conditional` finds out about it). Not here: which failures pass (`transient`).

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartId, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::time::Instant;

use super::client::ObjectClient;
use super::contact::{Contact, FIRST_LIMIT};
use super::metered::Metered;
use super::transient::{cause_of, is_transient, status};
use crate::store::StoreUsage;

/// The first pause. Each later one is twice as long. A connection that broke is made again at once the first time: the
/// server may have closed one that was idle.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A body is begun again so often because the object was replaced while it was read.
const MOST_REPLACED: u32 = 10;
/// The most keys that one request may delete.
const DELETED_AT_ONCE: usize = 1_000;

/// A client that retries. Clones share the counts of their operations.
#[derive(Debug, Clone)]
pub(in crate::store) struct Retrying {
    inner: Metered,
    contact: Arc<Contact>,
}

/// The bucket has not responded at all.
#[derive(Debug)]
pub(in crate::store) struct NoResponse;

impl fmt::Display for NoResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no response within {} seconds", FIRST_LIMIT.as_secs())
    }
}

impl std::error::Error for NoResponse {}

/// The pauses between the attempts of one operation.
pub(super) struct Pauses {
    what: &'static str,
    started: Instant,
    attempts: u32,
    next: Duration,
    client: Retrying,
}

impl Pauses {
    /// Waits before the next attempt of an operation on `path`. Fails with `error` if another attempt would not help, or
    /// if the time is used up.
    pub(super) async fn after(&mut self, path: &str, error: Error) -> Result<()> {
        if is_transient(&error) { self.wait(path, error).await } else { Err(error) }
    }

    /// Waits, whatever the error is. Fails with it if the time is used up.
    pub(super) async fn wait(&mut self, path: &str, error: Error) -> Result<()> {
        let is_at_once = self.attempts == 0 && status(&error).is_none();
        self.attempts += 1;
        let pause = if is_at_once { Duration::ZERO } else { self.next.mul_f64(0.5 + fastrand::f64() / 2.0) };
        let contact = &self.client.contact;
        if self.started.elapsed() + pause > contact.patience() {
            contact.note_given_up();
            return Err(error);
        }
        contact.note_failure(cause_of(&error));
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(operation = self.what, path, %error, pause_ms, "an operation of a bucket is tried again");
        self.client.inner.note_retry();
        if !is_at_once {
            self.next = (self.next * 2).min(LONGEST_PAUSE);
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }
}

impl Retrying {
    pub(super) fn new(client: Arc<dyn ObjectClient>) -> Retrying {
        Retrying { inner: Metered::new(client), contact: Arc::default() }
    }

    pub(super) fn usage(&self) -> StoreUsage {
        self.inner.usage()
    }

    /// Returns the pauses of an operation that begins now.
    pub(super) fn pauses(&self, what: &'static str) -> Pauses {
        Pauses { what, started: Instant::now(), attempts: 0, next: FIRST_PAUSE, client: self.clone() }
    }

    /// Does an attempt, for a bounded time before the first response.
    async fn attempted<T>(&self, attempt: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let result = match self.contact.is_first() {
            true => {
                let no_response = |_| Error::Generic { store: "bucket", source: Box::new(NoResponse) };
                tokio::time::timeout(FIRST_LIMIT, attempt).await.map_err(no_response)?
            }
            false => attempt.await,
        };
        if result.as_ref().err().is_none_or(|error| !is_transient(error)) {
            self.contact.note_response();
        }
        result
    }

    /// See [`crate::store::Store::hurry`].
    pub(super) fn hurry(&self) {
        self.contact.hurry();
    }

    /// See [`crate::store::Store::trouble`].
    pub(super) fn trouble(&self, at_least: Duration) -> Option<String> {
        self.contact.told(at_least)
    }

    /// Does `attempt` until it succeeds, or fails for good.
    async fn retried<T, F: Future<Output = Result<T>> + Send>(
        &self,
        what: &'static str,
        path: &str,
        attempt: impl Fn() -> F + Send + Sync,
    ) -> Result<T> {
        let mut pauses = self.pauses(what);
        loop {
            match self.attempted(attempt()).await {
                Ok(done) => return Ok(done),
                Err(error) => pauses.after(path, error).await?,
            }
        }
    }
}

impl fmt::Display for Retrying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Retrying {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match options.mode {
            PutMode::Overwrite => {
                let put = || self.inner.put_opts(location, payload.clone(), options.clone());
                self.retried("put", location.as_ref(), put).await
            }
            _ => self.attempted(self.inner.put_opts(location, payload, options)).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    /// A body that breaks off is continued where it did, if the server gave an ETag.
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let what = if options.head { "head" } else { "get" };
        let get = || self.inner.get_opts(location, options.clone());
        let found = self.retried(what, location.as_ref(), get).await?;
        Ok(if options.head { found } else { self.resumed(location, found) })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let client = self.clone();
        let chunks = locations.try_chunks(DELETED_AT_ONCE).map_err(|error| error.1);
        let deleted = chunks.and_then(move |chunk| {
            let client = client.clone();
            async move {
                client.delete_all(&chunk).await?;
                Ok(stream::iter(chunk.into_iter().map(Ok)))
            }
        });
        deleted.try_flatten().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix, Some(offset.clone()))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let list = || self.inner.list_with_delimiter(prefix);
        self.retried("list", prefix.map_or("", Path::as_ref), list).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

impl Retrying {
    /// Deletes objects, and those again that could not be deleted.
    async fn delete_all(&self, locations: &[Path]) -> Result<()> {
        let mut pauses = self.pauses("delete");
        let mut left: BTreeSet<Path> = locations.iter().cloned().collect();
        loop {
            let mut failed = None;
            let mut deleted = self.inner.delete_stream(stream::iter(left.clone().into_iter().map(Ok)).boxed());
            while let Some(deleted) = deleted.next().await {
                match deleted {
                    Ok(location) => drop(left.remove(&location)),
                    Err(Error::NotFound { path, .. }) => left.retain(|location| location.as_ref() != path),
                    Err(error) => failed = Some(error),
                }
            }
            let Some(first) = left.first() else { return Ok(()) };
            match failed {
                Some(error) => pauses.after(first.as_ref(), error).await?,
                // The bucket has told of each of them, in its own words.
                None => return Ok(()),
            }
        }
    }

    /// Continues the body of `found` after a failure, from the byte after the last one that arrived.
    fn resumed(&self, location: &Path, found: GetResult) -> GetResult {
        let GetResult { payload: GetResultPayload::Stream(body), meta, range, attributes } = found else {
            return found;
        };
        let Some(e_tag) = meta.e_tag.clone() else {
            return GetResult { payload: GetResultPayload::Stream(body), meta, range, attributes };
        };
        let (client, location) = (self.clone(), location.clone());
        let body = stream::try_unfold((body, range.clone()), move |(mut body, mut rest)| {
            let (client, location, e_tag) = (client.clone(), location.clone(), e_tag.clone());
            async move {
                let mut pauses = client.pauses("get");
                loop {
                    let error = match body.next().await {
                        Some(Ok(chunk)) => {
                            rest.start += chunk.len() as u64;
                            return Ok(Some((chunk, (body, rest))));
                        }
                        Some(Err(error)) => error,
                        None => return Ok(None),
                    };
                    pauses.after(location.as_ref(), error).await?;
                    if rest.is_empty() {
                        return Ok(None);
                    }
                    let options = GetOptions {
                        range: Some(GetRange::Bounded(rest.clone())),
                        if_match: Some(e_tag.clone()),
                        ..GetOptions::default()
                    };
                    body = match client.inner.get_opts(&location, options).await {
                        Ok(found) => found.into_stream(),
                        Err(error) => stream::once(std::future::ready(Err(error))).boxed(),
                    };
                }
            }
        });
        GetResult { payload: GetResultPayload::Stream(body.boxed()), meta, range, attributes }
    }

    /// Lists, and continues after a failure behind the last object that was listed.
    fn listed(&self, prefix: Option<&Path>, offset: Option<Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (client, prefix) = (self.clone(), prefix.cloned());
        let begin = move |client: &Retrying, offset: &Option<Path>| match offset {
            Some(offset) => client.inner.list_with_offset(prefix.as_ref(), offset),
            None => client.inner.list(prefix.as_ref()),
        };
        let listed = begin(&client, &offset);
        stream::try_unfold((listed, offset), move |(mut listed, mut last)| {
            let (client, begin) = (client.clone(), begin.clone());
            async move {
                let mut pauses = client.pauses("list");
                loop {
                    let error = match client.attempted(listed.next().map(Option::transpose)).await.transpose() {
                        Some(Ok(entry)) => {
                            last = Some(entry.location.clone());
                            return Ok(Some((entry, (listed, last))));
                        }
                        Some(Err(error)) => error,
                        None => return Ok(None),
                    };
                    pauses.after(last.as_ref().map_or("", Path::as_ref), error).await?;
                    listed = begin(&client, &last);
                }
            }
        })
        .boxed()
    }
}

#[async_trait]
impl MultipartStore for Retrying {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        self.retried("begin an upload", path.as_ref(), || self.inner.create_multipart(path)).await
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, index: usize, part: PutPayload) -> Result<PartId> {
        let put = || self.inner.put_part(path, id, index, part.clone());
        self.retried("put a part", path.as_ref(), put).await
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        let complete = || self.inner.complete_multipart(path, id, parts.clone());
        self.retried("complete an upload", path.as_ref(), complete).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.retried("abort an upload", path.as_ref(), || self.inner.abort_multipart(path, id)).await
    }
}

/// Reads an object, or a range of it, into memory; `None` if there is none. Begins again if it is replaced meanwhile.
pub(super) async fn read_now(
    client: &Retrying,
    location: &Path,
    options: GetOptions,
) -> Result<Option<(ObjectMeta, Range<u64>, Bytes)>> {
    let mut replaced = 0;
    loop {
        let found = match client.get_opts(location, options.clone()).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let (meta, range) = (found.meta.clone(), found.range.clone());
        match found.bytes().await {
            Ok(bytes) => return Ok(Some((meta, range, bytes))),
            Err(Error::Precondition { .. } | Error::NotFound { .. }) if replaced < MOST_REPLACED => replaced += 1,
            Err(error) => return Err(error),
        }
    }
}
