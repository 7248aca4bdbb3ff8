//! The server: a world behind HTTP/1.1 on loopback, on threads of its own, until it is dropped.
//!
//! Not here: the content of responses (`all_docs.rs`, `changes.rs`, `packument.rs`).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use axum::response::Response;
use axum::serve::ListenerExt;
use bytes::Bytes;
use futures::stream;
use tokio::runtime::Runtime;

use super::answer::{Answer, JSON};
use super::document::compress_page;
use super::error::SampleError;
use super::fault_play::{FaultPlay, retry_after_text};
use super::faults::{Action, FaultScript, Framing};
use super::feed_faults::FeedPlay;
use super::packument::{self, Found, Instead};
use super::query::Refused;
use super::record::{Asked, RecordedRequest, Target};
use super::world::World;
use super::{all_docs, changes, downloads, root};

/// The documents that are compressed or derived at a time; more would take the processor from the client.
const COMPRESSING_THREADS: usize = 2;

/// The settings of a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address to listen on; port 0 picks a free one. Default: a free port on loopback.
    pub address: SocketAddr,
    /// Whether requests are kept for [`SampleServer::requests`]. Default: yes.
    pub records_requests: bool,
    /// Whether bodies are compressed for clients that accept it. Default: yes, as npm's are.
    pub compresses: bool,
    /// The server's threads. Default: 1, which serves more than one client of this library can take.
    pub worker_threads: usize,
    /// The faults from the start. Default: none.
    pub faults: FaultScript,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            records_requests: true,
            compresses: true,
            worker_threads: 1,
            faults: FaultScript::default(),
        }
    }
}

/// A running registry. It has its own threads, so it can serve synchronous code and runtimes whose time is paused. All
/// its connections end when it is dropped.
#[derive(Debug)]
pub struct SampleServer {
    address: SocketAddr,
    url: String,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

struct Shared {
    world: RwLock<World>,
    faults: Mutex<FaultPlay>,
    feed: Mutex<FeedPlay>,
    requests: Mutex<Vec<RecordedRequest>>,
    request_count: AtomicU64,
    in_work: AtomicU32,
    most_in_work: AtomicU32,
    records_requests: bool,
    compresses: bool,
}

impl SampleServer {
    /// Starts to serve a world.
    ///
    /// # Errors
    /// Fails with [`SampleError::Start`] when the address or the threads are not available.
    pub fn start(world: World, options: Options) -> Result<Self, SampleError> {
        let failed = |source| SampleError::Start { address: options.address, source };
        let listener = std::net::TcpListener::bind(options.address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(options.worker_threads.max(1))
            .max_blocking_threads(COMPRESSING_THREADS)
            .thread_name("sample-registry")
            .enable_all()
            .build()
            .map_err(failed)?;
        let shared = Arc::new(Shared {
            world: RwLock::new(world),
            feed: Mutex::new(FeedPlay::new(options.faults.feed.clone())),
            faults: Mutex::new(FaultPlay::new(options.faults.clone(), Instant::now())),
            requests: Mutex::default(),
            request_count: AtomicU64::new(0),
            in_work: AtomicU32::new(0),
            most_in_work: AtomicU32::new(0),
            records_requests: options.records_requests,
            compresses: options.compresses,
        });
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(failed)?
        };
        // Small responses must not wait for the other side's acknowledgement; a failure here only makes it slower.
        let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
        let router = Router::new().fallback(answer).with_state(shared.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Ok(SampleServer { address, url: format!("http://{address}"), shared, runtime: Some(runtime) })
    }

    /// Returns its address as a URL without a slash at the end: `http://127.0.0.1:40001`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the world, to read or to change between two responses. The server does not respond while the guard is
    /// held.
    pub fn world(&self) -> RwLockWriteGuard<'_, World> {
        self.shared.world.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the requests so far, in the order of their arrival; see [`Options::records_requests`].
    pub fn requests(&self) -> Vec<RecordedRequest> {
        let mut requests = lock(&self.shared.requests).clone();
        requests.sort_by_key(|request| request.order);
        requests
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        lock(&self.shared.requests).clear();
    }

    /// Returns the number of requests since the start, recorded or not.
    pub fn request_count(&self) -> u64 {
        self.shared.request_count.load(Ordering::Relaxed)
    }

    /// Returns the most requests that were in work at once, each from its arrival until its response began to be sent.
    pub fn most_in_work(&self) -> u32 {
        self.shared.most_in_work.load(Ordering::Relaxed)
    }

    /// Returns the script that is being played.
    pub fn faults(&self) -> FaultScript {
        lock(&self.shared.faults).script().clone()
    }

    /// Plays another script from its start; an empty one ends all faults.
    pub fn set_faults(&self, script: FaultScript) {
        *lock(&self.shared.feed) = FeedPlay::new(script.feed.clone());
        *lock(&self.shared.faults) = FaultPlay::new(script, Instant::now());
    }
}

impl Drop for SampleServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The way a response is sent.
struct Delivery {
    between_chunks: Duration,
    chunk_bytes: usize,
    cut_at_byte: Option<usize>,
    framing: Framing,
}

/// Counts a request that is in work, until it is dropped.
struct InWork<'a>(&'a Shared);

impl<'a> InWork<'a> {
    fn new(shared: &'a Shared) -> Self {
        let in_work = shared.in_work.fetch_add(1, Ordering::Relaxed) + 1;
        shared.most_in_work.fetch_max(in_work, Ordering::Relaxed);
        InWork(shared)
    }
}

impl Drop for InWork<'_> {
    fn drop(&mut self) {
        self.0.in_work.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let _in_work = InWork::new(&shared);
    let order = shared.request_count.fetch_add(1, Ordering::Relaxed);
    let (parts, _) = request.into_parts();
    let asked = Asked::read(&parts);
    let action = lock(&shared.faults).next(&asked, Instant::now());
    let faulty = action.is_some();
    let mut delivery = None;
    let answer = match action {
        None => right_answer(&shared, &asked, Instead::Itself).await,
        Some(Action::Status { code, retry_after, body }) => {
            let mut answer = Answer::cdn_page(code);
            if let Some(body) = body {
                answer.body = body.into();
            }
            match retry_after {
                Some(retry_after) => answer.with("retry-after", retry_after_text(&retry_after)),
                None => answer,
            }
        }
        Some(Action::HtmlWith200) => Answer::cdn_page(200),
        Some(Action::Body(body)) => Answer::new(200, JSON, body),
        Some(Action::Unasked304) => Answer { status: 304, headers: Vec::new(), body: Bytes::new() },
        Some(Action::Unauthorized401) => Answer::unauthorized(),
        Some(Action::Redirect { location }) => Answer::new(302, JSON, "").with("location", location),
        Some(Action::Stale) => right_answer(&shared, &asked, Instead::Previous).await,
        Some(Action::WrongName { package }) => right_answer(&shared, &asked, Instead::Other(package)).await,
        Some(Action::CutBody { at_byte, framing }) => {
            let (between_chunks, chunk_bytes) = (Duration::ZERO, usize::MAX);
            delivery = Some(Delivery { between_chunks, chunk_bytes, cut_at_byte: Some(at_byte), framing });
            right_answer(&shared, &asked, Instead::Itself).await
        }
        Some(Action::Slow { before_headers_ms, between_chunks_ms, chunk_bytes }) => {
            let between_chunks = Duration::from_millis(between_chunks_ms);
            delivery =
                Some(Delivery { between_chunks, chunk_bytes, cut_at_byte: None, framing: Framing::ContentLength });
            tokio::time::sleep(Duration::from_millis(before_headers_ms)).await;
            right_answer(&shared, &asked, Instead::Itself).await
        }
    };
    if shared.records_requests {
        let record = asked.record(order, answer.status, answer.body.len() as u64, faulty);
        lock(&shared.requests).push(record);
    }
    response(answer, delivery)
}

/// Returns the response of a registry without faults. It locks the world only during the look-up.
async fn right_answer(shared: &Arc<Shared>, asked: &Asked, instead: Instead) -> Answer {
    if !matches!(asked.method.as_str(), "GET" | "HEAD") {
        return Answer::method_not_allowed();
    }
    match &asked.target {
        Target::Root => root::answer(&shared.read_world(), &mut lock(&shared.feed)),
        Target::AllDocs => shared.page(asked, None, |world| all_docs::page(world, &asked.query)),
        // npm's CDN caches pages of the feed for four hours.
        Target::Changes => shared.page(asked, Some("max-age=14400"), |world| shared.changes(world, asked)),
        Target::Document => Answer::no_documents_here(),
        Target::Nothing(path) => Answer::no_such_resource(path),
        Target::Downloads(path) => {
            let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
            shared.compressed(downloads::answer(&shared.read_world(), path, asked.path.len(), today), asked)
        }
        Target::DistTags(name) => packument::find(&shared.read_world(), name, &instead).dist_tags(),
        Target::Packument(name) => {
            let found = shared.find(name, instead);
            shared.packument(found, asked).await
        }
    }
}

impl Shared {
    fn read_world(&self) -> RwLockReadGuard<'_, World> {
        self.world.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn changes(&self, world: &World, asked: &Asked) -> Result<String, Refused> {
        let mut play = lock(&self.feed);
        if let Some(page) = play.cached(&asked.query).filter(|_| !asked.bypasses_caches) {
            return Ok(page);
        }
        let page = changes::page(world, &asked.query, &mut play)?;
        play.keep(&asked.query, &page);
        Ok(page)
    }

    /// Finds a document, which may lag behind the feed, and may be another one from now on.
    fn find(&self, name: &str, instead: Instead) -> Found {
        let (found, is_restless) = {
            let (world, mut play) = (self.read_world(), lock(&self.feed));
            let instead = if play.lags(world.find(name)) { Instead::Previous } else { instead };
            (packument::find(&world, name, &instead), play.faults.restless.as_deref() == Some(name))
        };
        if is_restless {
            let mut world = self.world.write().unwrap_or_else(PoisonError::into_inner);
            let version = format!("0.0.{}", world.counts().update_seq);
            world.publish(name, &version);
        }
        found
    }

    fn page(&self, asked: &Asked, cached: Option<&str>, make: impl Fn(&World) -> Result<String, Refused>) -> Answer {
        let made = make(&self.read_world());
        let Ok(body) = made else { return Answer::bad_request() };
        let answer = self.compressed(Answer::new(200, JSON, body), asked);
        match cached {
            Some(cached) => answer.with("cache-control", cached),
            None => answer,
        }
    }

    fn compressed(&self, mut answer: Answer, asked: &Asked) -> Answer {
        if !(self.compresses && asked.accepts_gzip()) {
            return answer;
        }
        answer.body = compress_page(&answer.body);
        answer.with("content-encoding", "gzip")
    }

    /// Makes the response for a document. Compressing and deriving a large one takes long: other requests are served
    /// meanwhile.
    async fn packument(&self, found: Found, asked: &Asked) -> Answer {
        let compresses = self.compresses;
        if found.is_ready(asked, compresses) {
            return found.packument(asked, compresses);
        }
        let asked = asked.clone();
        let made = tokio::task::spawn_blocking(move || found.packument(&asked, compresses)).await;
        made.unwrap_or_else(|_| Answer::cdn_page(500))
    }
}

fn response(answer: Answer, delivery: Option<Delivery>) -> Response {
    let size_bytes = answer.body.len();
    let chunked = delivery.as_ref().is_some_and(|delivery| delivery.framing == Framing::Chunked);
    let body = match delivery {
        None => Body::from(answer.body),
        Some(delivery) => Body::from_stream(slow_body(answer.body, delivery)),
    };
    let mut builder = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        builder = builder.header(name, value);
    }
    builder = match chunked {
        true => builder.header(TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
        false if answer.status != 304 => builder.header(CONTENT_LENGTH, size_bytes),
        false => builder,
    };
    // A script can ask for a status or a header that HTTP does not have.
    builder.body(body).unwrap_or_else(|_| {
        let mut response = Response::new(Body::from("the fault script asks for what HTTP cannot say"));
        *response.status_mut() = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// Returns the body in chunks with waits between them. It ends in a lost connection when the body is to be cut.
fn slow_body(body: Bytes, delivery: Delivery) -> impl stream::Stream<Item = std::io::Result<Bytes>> + Send {
    // A body of a known length that arrived whole would be no fault.
    let cut = delivery.cut_at_byte.map(|at| match delivery.framing {
        Framing::ContentLength => at.min(body.len().saturating_sub(1)),
        Framing::Chunked => at.min(body.len()),
    });
    let end = cut.unwrap_or(body.len());
    stream::unfold(0, move |sent| {
        let chunk = body.slice(sent.min(end)..sent.saturating_add(delivery.chunk_bytes.max(1)).min(end));
        let wait = if sent == 0 { Duration::ZERO } else { delivery.between_chunks };
        async move {
            tokio::time::sleep(wait).await;
            if !chunk.is_empty() {
                let sent = sent + chunk.len();
                return Some((Ok(chunk), sent));
            }
            cut?;
            // This wait lets the sent bytes leave the buffers; then the connection is dropped.
            tokio::time::sleep(Duration::from_millis(1)).await;
            Some((Err(std::io::Error::other("the connection is lost")), usize::MAX))
        }
    })
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("request_count", &self.request_count).finish_non_exhaustive()
    }
}
