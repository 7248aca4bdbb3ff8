//! A bucket that fails by a script: it is busy, its connections break, its responses are lost, or the process that uses
//! it dies.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use all_docs::store::{MemoryBucket, ObjectClient, Store};
use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartId, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use url::Url;

/// A failure of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 503; the operation is not done.
    Unavailable,
    /// 429 `SlowDown`; the operation is not done.
    SlowDown,
    /// The connection breaks before the operation is done.
    Reset,
    /// The operation is done, and then the connection breaks.
    LostResponse,
    /// 409: an operation on the same object was in the way; this one is not done.
    Conflict,
    /// The process dies before the operation: no later one is done either.
    Death,
    /// The operation is done, and the process dies before it hears of that.
    DeathAfter,
}

/// The faults that pass.
pub(crate) const PASSING: [Fault; 4] = [Fault::Unavailable, Fault::SlowDown, Fault::Reset, Fault::LostResponse];

impl Fault {
    fn error(self) -> Error {
        let source: Box<dyn std::error::Error + Send + Sync> = match self {
            // The words of `object_store` for a response with this status.
            Fault::Unavailable => "Server returned non-2xx status code: 503 Service Unavailable: ".into(),
            Fault::SlowDown => {
                "Server returned non-2xx status code: 429 Too Many Requests: <Code>SlowDown</Code>".into()
            }
            Fault::Conflict => {
                let source = "Server returned non-2xx status code: 409 Conflict: ".into();
                return Error::AlreadyExists { path: "x".to_owned(), source };
            }
            Fault::Reset | Fault::LostResponse => Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
            Fault::Death | Fault::DeathAfter => "a scripted death".into(),
        };
        Error::Generic { store: "faulty", source }
    }
}

/// An operation that reached the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operation {
    /// `put`, `create`, `update`, `get`, `head`, `list`, `delete`, `begin`, `part`, `complete` or `abort`.
    pub(crate) kind: &'static str,
    pub(crate) path: String,
    /// The number of operations before it.
    pub(crate) number: usize,
}

impl Operation {
    /// Returns whether it changes the bucket.
    pub(crate) fn changes(&self) -> bool {
        !["get", "head", "list"].contains(&self.kind)
    }
}

type Script = dyn Fn(&Operation) -> Option<Fault> + Send + Sync;

/// A bucket with faults. Clones share it.
#[derive(Clone)]
pub(crate) struct Faulty {
    inner: Arc<dyn ObjectClient>,
    script: Arc<Script>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    seen: Vec<Operation>,
    is_dead: bool,
}

impl Faulty {
    pub(crate) fn new(
        inner: Arc<dyn ObjectClient>,
        script: impl Fn(&Operation) -> Option<Fault> + Send + Sync + 'static,
    ) -> Faulty {
        Faulty { inner, script: Arc::new(script), state: Arc::default() }
    }

    /// Makes a bucket in memory whose operations of `kind` meet `fault` the first `times` times.
    pub(crate) fn failing(bucket: &MemoryBucket, kind: &'static str, fault: Fault, times: usize) -> Faulty {
        let left = AtomicUsize::new(times);
        Faulty::new(Arc::new(bucket.clone()), move |operation| {
            let is_met = operation.kind == kind
                && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            is_met.then_some(fault)
        })
    }

    /// Returns a store in this bucket, with a scratch folder of its own.
    pub(crate) fn store(&self) -> Store {
        Store::of_objects(Arc::new(self.clone()), Url::parse("memory:///lake/").unwrap(), Path::from("lake"), None)
    }

    /// Returns the operations that reached the bucket, those that failed among them.
    pub(crate) fn seen(&self) -> Vec<Operation> {
        self.state.lock().unwrap().seen.clone()
    }

    /// Meets an operation: fails before it, or returns the fault that comes after it.
    fn meet(&self, kind: &'static str, path: &str) -> Result<Option<Fault>> {
        let mut state = self.state.lock().unwrap();
        if state.is_dead {
            return Err(Fault::Death.error());
        }
        let operation = Operation { kind, path: path.to_owned(), number: state.seen.len() };
        let fault = (self.script)(&operation);
        state.seen.push(operation);
        state.is_dead = matches!(fault, Some(Fault::Death | Fault::DeathAfter));
        match fault {
            Some(Fault::LostResponse | Fault::DeathAfter) | None => Ok(fault),
            Some(fault) => Err(fault.error()),
        }
    }

    async fn met<T>(&self, kind: &'static str, path: &str, operation: impl Future<Output = Result<T>>) -> Result<T> {
        let fault = self.meet(kind, path)?;
        let done = operation.await;
        match fault {
            // A refusal is lost as well.
            Some(fault) => Err(fault.error()),
            None => done,
        }
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let kind = match options.mode {
            PutMode::Overwrite => "put",
            PutMode::Create => "create",
            PutMode::Update(_) => "update",
        };
        self.met(kind, location.as_ref(), self.inner.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        unreachable!("uploads have ids")
    }

    /// A lost response of a `get` breaks off in the middle of the body.
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let kind = if options.head { "head" } else { "get" };
        let fault = self.meet(kind, location.as_ref())?;
        let found = self.inner.get_opts(location, options).await?;
        let Some(fault) = fault.filter(|_| kind == "get") else { return Ok(found) };
        let (meta, range, attributes) = (found.meta.clone(), found.range.clone(), found.attributes.clone());
        let mut half = found.bytes().await?;
        half.truncate(half.len() / 2);
        let body = stream::iter([Ok(half), Err(fault.error())]).boxed();
        Ok(GetResult { payload: GetResultPayload::Stream(body), meta, range, attributes })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        locations
            .and_then(move |location| {
                let this = this.clone();
                async move {
                    let one = stream::once(std::future::ready(Ok(location.clone()))).boxed();
                    let deleted = async { this.inner.delete_stream(one).try_collect::<Vec<_>>().await };
                    this.met("delete", location.as_ref(), deleted).await.map(|_| location.clone())
                }
            })
            .boxed()
    }

    /// A lost response of a listing breaks off after its first half.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix, self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix, self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.met("list", prefix.map_or("", Path::as_ref), self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        unreachable!("nothing is copied in a bucket")
    }
}

impl Faulty {
    fn listed(
        &self,
        prefix: Option<&Path>,
        listed: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.meet("list", prefix.map_or("", Path::as_ref)) {
            Ok(None) => listed,
            Ok(Some(fault)) => {
                let half = async move {
                    let mut entries: Vec<_> = listed.collect().await;
                    entries.truncate(entries.len() / 2);
                    entries.push(Err(fault.error()));
                    stream::iter(entries)
                };
                stream::once(half).flatten().boxed()
            }
            Err(error) => stream::once(std::future::ready(Err(error))).boxed(),
        }
    }
}

#[async_trait]
impl MultipartStore for Faulty {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        self.met("begin", path.as_ref(), self.inner.create_multipart(path)).await
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, index: usize, part: PutPayload) -> Result<PartId> {
        self.met("part", path.as_ref(), self.inner.put_part(path, id, index, part)).await
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        self.met("complete", path.as_ref(), self.inner.complete_multipart(path, id, parts)).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.met("abort", path.as_ref(), self.inner.abort_multipart(path, id)).await
    }
}
