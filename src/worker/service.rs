//! The service: routes, places for items, and the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::arrival::{is_admitted, item_of, time_for_work};
use super::connections::serve;
use super::reply;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::lake::ItemKind;
use crate::pipeline::{ItemOutcome, ItemRunner};
use crate::version::TOOL_VERSION;

/// The longest body that is read.
const MOST_BODY_BYTES: usize = 1 << 20;
/// How long a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// When an item that finds no place may be pushed again.
const AFTER_BUSY: Duration = Duration::from_secs(1);
/// How long items in progress may take to be handed back at the end: Cloud Run kills a process after ten seconds.
const HANDED_BACK_WITHIN: Duration = Duration::from_secs(7);
/// When an item that was in progress at the end may be pushed again: its lease has lapsed then.
const AFTER_LEFT: Duration = Duration::from_secs(60);
/// How long replies may take to be sent at the end.
const CONNECTIONS_END_WITHIN: Duration = Duration::from_secs(1);

/// Makes the metrics of a runner, of which so many items are in progress.
pub type MetricsText = dyn Fn(&ItemRunner, usize) -> String + Send + Sync;

/// How items are received.
pub struct ServiceOptions {
    /// Items at once.
    pub items: usize,
    /// The token that senders must have.
    pub token: Option<String>,
    /// The longest time for the work on an item, whatever its sender says; `None` for as long as it needs.
    pub deadline: Option<Duration>,
    /// Returns the metrics in Prometheus' text form.
    pub metrics: Box<MetricsText>,
}

/// A service that listens.
pub struct Service {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    runner: ItemRunner,
    options: ServiceOptions,
    places: Arc<Semaphore>,
    /// Stops items in progress, and takes no more.
    stop: CancellationToken,
    /// Items in progress are no longer waited for.
    left: CancellationToken,
    tasks: TaskTracker,
}

impl Service {
    /// Listens on an address. Items are answered once [`Service::run`] is called.
    ///
    /// Fails, of kind Input, if the address is not available.
    pub async fn listen(address: SocketAddr, runner: ItemRunner, options: ServiceOptions) -> Result<Service> {
        let unavailable = || format!("cannot listen on {address}");
        let listener = TcpListener::bind(address)
            .await
            .or_error(ErrorKind::Input, unavailable)
            .map_err(|error| error.hint("give another --listen; port 0 takes a free one"))?;
        let address = listener.local_addr().or_error(ErrorKind::Input, unavailable)?;
        let places = Arc::new(Semaphore::new(options.items));
        let (stop, left, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        Ok(Service { listener, address, shared: Arc::new(Shared { runner, options, places, stop, left, tasks }) })
    }

    /// Returns the address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Receives items until `stop` is cancelled. Then it stops those in progress, which are answered with 503, takes no
    /// more, and returns when all were answered, after eight seconds at most.
    pub async fn run(self, stop: CancellationToken) {
        let router = Router::new()
            .route("/work", post(any_item))
            .route("/work/{kind}", post(item_of_kind))
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .fallback(async || reply::refused(StatusCode::NOT_FOUND, &Error::input("there is nothing at this path")))
            .method_not_allowed_fallback(async || {
                reply::refused(StatusCode::METHOD_NOT_ALLOWED, &Error::input("this path has another method"))
            })
            .with_state(Arc::clone(&self.shared));
        let answered = CancellationToken::new();
        let served = serve(self.listener, router, self.shared.options.items, answered.clone());
        let shared = self.shared;
        let ended = async move {
            stop.cancelled().await;
            shared.stop.cancel();
            shared.tasks.close();
            // An item that waits for a store that does not respond keeps its lease until the lease lapses.
            let _ = tokio::time::timeout(HANDED_BACK_WITHIN, shared.tasks.wait()).await;
            shared.left.cancel();
            answered.cancel();
            // A connection whose request never ends is not waited for.
            tokio::time::sleep(CONNECTIONS_END_WITHIN).await;
        };
        tokio::select! {
            () = served => {}
            () = ended => {}
        }
    }
}

impl Shared {
    /// Returns the response to a request that has an item.
    async fn answer(&self, kind: Option<ItemKind>, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        if !is_admitted(&parts.headers, self.options.token.as_deref()) {
            let error = Error::new(ErrorKind::Denied, "this worker asks for its token")
                .hint("send the header Authorization: Bearer TOKEN");
            return ([(header::WWW_AUTHENTICATE, "Bearer")], reply::refused(StatusCode::UNAUTHORIZED, &error))
                .into_response();
        }
        if self.stop.is_cancelled() {
            return reply::not_now(StatusCode::SERVICE_UNAVAILABLE, AFTER_BUSY, "this worker is stopping");
        }
        let body = match read(body).await {
            Ok(body) => body,
            Err((status, error)) => return reply::refused(status, &error),
        };
        let parsed = item_of(&body, kind, self.runner.origin())
            .and_then(|item| Ok((item, time_for_work(&parts.headers, jiff::Timestamp::now())?)));
        let (item, time) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return reply::refused(StatusCode::BAD_REQUEST, &error),
        };
        // Not before the item is here: whoever sends a part of one would keep its place.
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let why = format!("this worker does {} items at once, and has as many", self.options.items);
            return reply::not_now(StatusCode::TOO_MANY_REQUESTS, AFTER_BUSY, &why);
        };
        let time = [time, self.options.deadline].into_iter().flatten().min();
        let stop = self.stop.child_token();
        // If the sender goes away, the item is stopped: it is pushed again.
        let _guard = stop.clone().drop_guard();
        let (runner, of_task) = (self.runner.clone(), item.clone());
        let done = self.tasks.spawn(async move {
            let outcome = {
                let mut work = std::pin::pin!(runner.run(&of_task, stop.clone()));
                let late = async {
                    match time {
                        Some(time) => tokio::time::sleep(time).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    outcome = &mut work => outcome,
                    () = late => {
                        stop.cancel();
                        told_as_late(work.await)
                    }
                }
            };
            drop(place);
            outcome
        });
        let done = match self.left.run_until_cancelled(done).await {
            Some(done) => done,
            None => {
                let why = "this worker ends before the item could be handed back";
                return reply::not_now(StatusCode::SERVICE_UNAVAILABLE, AFTER_LEFT, why);
            }
        };
        match done {
            Ok(outcome) => reply::of(&item, outcome),
            Err(died) => {
                reply::refused(StatusCode::INTERNAL_SERVER_ERROR, &Error::internal("the work died").source(died))
            }
        }
    }
}

/// Says of an item that was stopped that its time was over.
fn told_as_late(mut outcome: ItemOutcome) -> ItemOutcome {
    if let ItemOutcome::Again { result, .. } = &mut outcome
        && let Some(error) = &mut result.error
    {
        error.message = "the time for the item was over; what was received is kept for the next attempt".to_owned();
    }
    outcome
}

/// Reads a body, up to its limits.
async fn read(body: Body) -> std::result::Result<bytes::Bytes, (StatusCode, Error)> {
    match tokio::time::timeout(BODY_WITHIN, to_bytes(body, MOST_BODY_BYTES)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) => {
            let why = format!("the body could not be read; the longest one has {MOST_BODY_BYTES} bytes");
            Err((StatusCode::PAYLOAD_TOO_LARGE, Error::input(why).source(error)))
        }
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, Error::input("the body did not arrive in time"))),
    }
}

async fn any_item(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    shared.answer(None, request).await
}

async fn item_of_kind(Path(kind): Path<String>, State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match ItemKind::parse(&kind) {
        Some(kind) => shared.answer(Some(kind), request).await,
        None => reply::refused(StatusCode::NOT_FOUND, &Error::input("there is no such kind of items")),
    }
}

/// Says whether items are taken. `?run=NAME` asks whether that run works on the lake of this worker.
async fn ready(State(shared): State<Arc<Shared>>, uri: Uri, headers: axum::http::HeaderMap) -> Response {
    if shared.stop.is_cancelled() {
        return reply::not_now(StatusCode::SERVICE_UNAVAILABLE, AFTER_BUSY, "this worker is stopping");
    }
    if !is_admitted(&headers, shared.options.token.as_deref()) {
        return "ready\n".into_response();
    }
    let runner = &shared.runner;
    let mut query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let run = query.find(|(name, _)| name == "run").map(|(_, run)| run.into_owned());
    let knows_run = match run {
        Some(run) => match runner.knows_run(&run).await {
            Ok(knows) => Some(knows),
            Err(error) => return reply::refused(StatusCode::SERVICE_UNAVAILABLE, &error),
        },
        None => None,
    };
    let state = json!({
        "origin": runner.origin(),
        "lake": runner.store().location(),
        "documents": runner.documents(),
        "version": TOOL_VERSION,
        "items": shared.options.items,
        "free": shared.places.available_permits(),
        "knowsRun": knows_run,
    });
    reply::as_json(StatusCode::OK, &state)
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let busy = shared.options.items.saturating_sub(shared.places.available_permits());
    let text = (shared.options.metrics)(&shared.runner, busy);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
