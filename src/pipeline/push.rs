//! Pushes items to workers over HTTP: each to the one with the most free places. An item that a worker could not do is
//! pushed again, to another one if there is one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use serde::Deserialize;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::hand_out::Hands;
use super::options::IngestOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{Item, ItemResult};
use crate::registry::{WorkerAnswer, WorkerClient};

/// How often an item is pushed that a worker which can be reached fails: it may be the cause.
const MOST_FAILURES: u32 = 5;
/// The pause of a worker that cannot be reached; each further one is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The pause where an answer names none.
const PAUSE: Duration = Duration::from_secs(2);
/// How often a worker is asked whether it is there while it does an item, and how many questions in a row may remain without
/// an answer: a machine that is cut off ends no connection.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
const MOST_SILENT_LOOKS: u32 = 2;
/// The resource that every worker has while it lives.
const HEALTH: &str = "healthz";

/// Workers, reached over HTTP.
pub struct PushHands {
    workers: Vec<WorkerClient>,
    state: Mutex<State>,
    /// A place became free.
    freed: Notify,
    at_once: usize,
    /// How long no worker may be reached before the run ends.
    patience: Duration,
}

struct State {
    of_workers: Vec<WorkerState>,
    /// When a worker answered last.
    answered_at: Instant,
    /// The same, to be told.
    answered_when: jiff::Timestamp,
    /// Why one could not be reached last.
    why: String,
    /// Where the next search for a free worker begins.
    next: usize,
}

#[derive(Debug, Clone)]
struct WorkerState {
    places: usize,
    busy: usize,
    closed_until: Instant,
    failures: u32,
    /// Whether it is known to work on the lake of the run.
    is_known: bool,
}

/// A worker's answer to `readyz`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ready {
    origin: String,
    lake: String,
    /// The documents that it fetches.
    documents: String,
    items: usize,
    #[serde(default)]
    knows_run: Option<bool>,
}

/// A place of a worker, until it is dropped.
struct Place<'a> {
    hands: &'a PushHands,
    worker: usize,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.hands.change(self.worker, |worker| worker.busy -= 1);
        self.hands.freed.notify_waiters();
    }
}

impl PushHands {
    /// Asks the workers at `urls` how many items each does at once. Those that do not answer are asked again later. They
    /// are reached like the registry: by the same proxies, and with the same trust.
    ///
    /// Fails, of kind Input, for an address that is none, and for a worker of another origin; of kind Network, if none
    /// answers; of kind Denied, if one refuses the token.
    pub async fn open(options: &IngestOptions, urls: &[String], token: Option<&str>) -> Result<PushHands> {
        let registry = &options.registry;
        let client = |url: &String| registry.worker(url, token.map(str::to_owned));
        let workers = urls.iter().map(client).collect::<Result<Vec<WorkerClient>>>()?;
        let answers = join_all(workers.iter().map(|worker| worker.get("readyz"))).await;
        let mut places = Vec::new();
        for (worker, answer) in workers.iter().zip(&answers) {
            places.push(match answer {
                Ok(answer) if answer.status == 200 => {
                    let ready = ready_of(worker, answer)?;
                    if ready.origin != registry.origin().name {
                        let (host, origin) = (worker.host(), ready.origin);
                        return Err(Error::input(format!("the worker {host} works on the origin {origin:?}"))
                            .hint(format!("start it with --origin {}=URL", registry.origin().name)));
                    }
                    let wanted = options.documents();
                    if ready.documents != wanted {
                        let (host, theirs) = (worker.host(), ready.documents);
                        return Err(Error::input(format!(
                            "the worker {host} fetches --packuments {theirs}, and this command wants {wanted}"
                        ))
                        .hint("start the workers and this command with the same --packuments"));
                    }
                    Some(ready.items.max(1))
                }
                _ => None,
            });
        }
        let most = places.iter().flatten().copied().max();
        let most = most.ok_or_else(|| {
            let why =
                answers.into_iter().find_map(std::result::Result::err).unwrap_or_else(|| "none is ready".to_owned());
            Error::network(format!("no worker answers: {why}")).hint("start one: all-docs worker --listen ADDRESS:PORT")
        })?;
        let now = Instant::now();
        let state = |places: &Option<usize>| WorkerState {
            places: places.unwrap_or(most),
            busy: 0,
            closed_until: if places.is_some() { now } else { now + FIRST_PAUSE },
            failures: u32::from(places.is_none()),
            is_known: false,
        };
        let of_workers: Vec<WorkerState> = places.iter().map(state).collect();
        Ok(PushHands {
            at_once: of_workers.iter().map(|worker| worker.places).sum(),
            workers,
            state: Mutex::new(State {
                of_workers,
                answered_at: now,
                answered_when: jiff::Timestamp::now(),
                why: String::new(),
                next: 0,
            }),
            freed: Notify::new(),
            patience: registry.patience(),
        })
    }

    fn change<T>(&self, worker: usize, change: impl FnOnce(&mut WorkerState) -> T) -> Option<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.of_workers.get_mut(worker).map(change)
    }

    /// Waits for a free place.
    ///
    /// Fails if no worker has answered for long.
    async fn place(&self) -> Result<Place<'_>> {
        loop {
            let freed = self.freed.notified();
            let opens_at = match self.try_place()? {
                Ok(worker) => return Ok(Place { hands: self, worker }),
                Err(opens_at) => opens_at,
            };
            tokio::select! {
                () = freed => {}
                () = tokio::time::sleep_until(opens_at) => {}
            }
        }
    }

    /// Takes a place of the worker that has most, or returns when one may be open.
    fn try_place(&self) -> Result<std::result::Result<usize, Instant>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let count = state.of_workers.len();
        let order = (0..count).map(|place| (state.next + place) % count.max(1));
        let free = |worker: &WorkerState| worker.places.saturating_sub(worker.busy);
        let open = order.filter_map(|index| {
            let worker = state.of_workers.get(index)?;
            (worker.closed_until <= now && free(worker) > 0).then(|| (index, free(worker)))
        });
        let chosen = open.max_by_key(|&(index, free)| (free, std::cmp::Reverse((index + count - state.next) % count)));
        let Some((index, _)) = chosen else {
            let is_nobody_there = state.of_workers.iter().all(|worker| worker.failures > 0);
            if is_nobody_there && state.answered_at.elapsed() >= self.patience {
                return Err(nobody(&state));
            }
            let closed = state.of_workers.iter().map(|worker| worker.closed_until).filter(|until| *until > now);
            let opens_at = closed.min().unwrap_or(now + LONGEST_PAUSE);
            let ends_at = state.answered_at.checked_add(self.patience).filter(|_| is_nobody_there);
            return Ok(Err(ends_at.map_or(opens_at, |ends_at| opens_at.min(ends_at))));
        };
        state.next = (index + 1) % count;
        if let Some(worker) = state.of_workers.get_mut(index) {
            worker.busy += 1;
        }
        Ok(Ok(index))
    }

    /// Notes that a worker can be reached.
    fn heard(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.answered_at, state.answered_when) = (Instant::now(), jiff::Timestamp::now());
    }

    /// Notes that a worker answered, and gets no items for `pause`.
    fn answered(&self, worker: usize, pause: Duration) {
        self.heard();
        self.change(worker, |worker| {
            worker.failures = 0;
            worker.closed_until = Instant::now() + pause;
        });
    }

    /// Sets a worker that cannot be reached aside for a while.
    fn unreachable(&self, worker: usize, why: &str) {
        let set_aside = self.change(worker, |worker| {
            let now = Instant::now();
            // Its other items say the same.
            if worker.closed_until > now {
                return None;
            }
            let pause = (FIRST_PAUSE * 2_u32.saturating_pow(worker.failures.min(10))).min(LONGEST_PAUSE);
            worker.failures += 1;
            worker.closed_until = now + pause;
            Some(pause)
        });
        self.state.lock().unwrap_or_else(PoisonError::into_inner).why = why.to_owned();
        if let Some(pause) = set_aside.flatten() {
            tracing::warn!(why, pause_s = pause.as_secs(), "a worker cannot be reached and is set aside");
        }
    }

    /// Checks once for each worker that it works on the lake of the run.
    async fn check_lake(&self, worker: usize, client: &WorkerClient, run: Option<&str>) -> Result<Result<(), String>> {
        let is_known = self.change(worker, |worker| worker.is_known).unwrap_or(true);
        let Some(run) = run.filter(|_| !is_known) else { return Ok(Ok(())) };
        let answer = match client.get(&format!("readyz?run={run}")).await {
            Ok(answer) if answer.status == 200 => answer,
            Ok(answer) => return Ok(Err(format!("{} answers with {}", client.host(), answer.status))),
            Err(why) => return Ok(Err(why)),
        };
        let ready = ready_of(client, &answer)?;
        if ready.knows_run == Some(false) {
            return Err(Error::input(format!("the worker {} works on another lake: {}", client.host(), ready.lake))
                .hint("start it with the same --lake: a folder that all machines see, or a bucket"));
        }
        self.change(worker, |worker| worker.is_known = true);
        Ok(Ok(()))
    }

    /// Posts an item, and waits for the answer while the worker is there.
    async fn post(&self, client: &WorkerClient, item: &Item) -> Result<Result<WorkerAnswer, String>> {
        let (path, body) = (format!("work/{}", item.kind().as_str()), item.to_json()?);
        let mut answer = std::pin::pin!(client.post(&path, body));
        let mut silent = 0;
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return Ok(answer),
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            tokio::select! {
                biased;
                answer = &mut answer => return Ok(answer),
                looked = client.get(HEALTH) => match looked {
                    Ok(_) => {
                        self.heard();
                        silent = 0;
                    }
                    Err(_) => silent += 1,
                },
            }
            if silent == MOST_SILENT_LOOKS {
                return Ok(Err(format!("{} no longer answers", client.host())));
            }
        }
    }
}

#[async_trait]
impl Hands for PushHands {
    fn at_once(&self) -> usize {
        self.at_once
    }

    async fn hand(&self, item: &Item, stop: &CancellationToken) -> Result<ItemResult> {
        let handed = stop.run_until_cancelled(self.hand_until_done(item)).await;
        handed.unwrap_or_else(|| Err(Error::interrupted()))
    }
}

impl PushHands {
    async fn hand_until_done(&self, item: &Item) -> Result<ItemResult> {
        let mut failures = 0;
        loop {
            let place = self.place().await?;
            let worker = place.worker;
            let Some(client) = self.workers.get(worker) else {
                return Err(Error::internal("a place of no worker"));
            };
            if let Err(why) = self.check_lake(worker, client, item.run()).await? {
                self.unreachable(worker, &why);
                continue;
            }
            let answer = match self.post(client, item).await? {
                Ok(answer) => answer,
                Err(why) => {
                    if client.get(HEALTH).await.is_err() {
                        // It died, or is cut off. The item need not be the cause.
                        self.unreachable(worker, &why);
                        continue;
                    }
                    self.answered(worker, FIRST_PAUSE);
                    failures += 1;
                    if failures == MOST_FAILURES {
                        return Err(Error::network(format!("{failures} connections ended within one item: {why}"))
                            .doing(format!("handing out {}", item.id())));
                    }
                    continue;
                }
            };
            let pause = answer.retry_after.unwrap_or(PAUSE);
            match answer.status {
                200 => {
                    self.answered(worker, Duration::ZERO);
                    return result_of(client, &answer);
                }
                429 => self.answered(worker, pause),
                409 => {
                    self.answered(worker, Duration::ZERO);
                    drop(place);
                    tokio::time::sleep(pause).await;
                }
                500..=599 => {
                    self.answered(worker, pause);
                    failures += 1;
                    let result = result_of(client, &answer);
                    let failure = result.as_ref().ok().and_then(|result| result.error.as_ref());
                    // The worker has waited for the registry as long as its patience lets it.
                    if failures == MOST_FAILURES || failure.is_some_and(|error| error.status_code == 429) {
                        return result;
                    }
                }
                401 | 403 => {
                    return Err(Error::new(
                        ErrorKind::Denied,
                        format!("the worker {} refuses the token", client.host()),
                    )
                    .hint("give the one that it was started with: ALL_DOCS_WORKER_TOKEN, or --worker-token"));
                }
                status => {
                    let words = result_of(client, &answer).ok().and_then(|result| result.error);
                    let words = words.map_or_else(String::new, |error| format!(": {}", error.message));
                    return Err(Error::network(format!("the worker {} answers with {status}{words}", client.host()))
                        .doing(format!("handing out {}", item.id())));
                }
            }
        }
    }
}

/// Returns the error of a run whose workers cannot be reached.
fn nobody(state: &State) -> Error {
    let since = state.answered_when.strftime("%Y-%m-%dT%H:%M:%SZ");
    Error::network(format!("no worker can be reached since {since}: {}", state.why))
        .hint("start workers, and run the same command again: what is committed stays; --patience says how long they may be away")
}

fn ready_of(client: &WorkerClient, answer: &WorkerAnswer) -> Result<Ready> {
    serde_json::from_slice(&answer.body).map_err(|error| match answer.body.starts_with(b"ready") {
        true => Error::new(ErrorKind::Denied, format!("the worker {} refuses the token", client.host()))
            .hint("give the one that it was started with: ALL_DOCS_WORKER_TOKEN, or --worker-token"),
        false => Error::network(format!("{} is no worker", client.host())).source(error),
    })
}

fn result_of(client: &WorkerClient, answer: &WorkerAnswer) -> Result<ItemResult> {
    serde_json::from_slice(&answer.body)
        .map_err(|error| Error::network(format!("{} answers with what is no result", client.host())).source(error))
}
