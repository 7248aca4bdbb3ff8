//! Pushes items to workers over HTTP: each to the one with the most free places. An item that a worker could not do is
//! pushed again, to another one if there is one.

mod places;

use std::time::Duration;

use async_trait::async_trait;
use futures::future::{join_all, try_join_all};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use self::places::{FIRST_PAUSE, Places};
use super::hand_out::Dispatch;
use super::options::IngestOptions;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::lake::{Item, ItemResult};
use crate::registry::{WorkerAnswer, WorkerClient};

/// How often an item is pushed that a worker which can be reached fails: it may be the cause.
const MOST_FAILURES: u32 = 5;
/// The pause where an answer names none.
const PAUSE: Duration = Duration::from_secs(2);
/// How often a worker is asked whether it is there while it does an item, and how many questions in a row may remain without
/// an answer: a machine that is cut off ends no connection.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
const MOST_SILENT_LOOKS: u32 = 2;
/// The resource that every worker has while it lives.
const HEALTH: &str = "healthz";

/// Workers, reached over HTTP.
pub struct PushDispatch {
    workers: Vec<WorkerClient>,
    places: Places,
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

impl PushDispatch {
    /// Asks the workers at `urls` how many items each does at once. Those that do not answer are asked again later. They
    /// are reached like the registry: by the same proxies, and with the same trust.
    ///
    /// Fails, of kind Input, for an address that is none, and for a worker of another origin; of kind Network, if none
    /// answers; of kind Denied, if one refuses the token.
    pub async fn open(options: &IngestOptions, urls: &[String], token: Option<&str>) -> Result<PushDispatch> {
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
                    Some(ready.items)
                }
                _ => None,
            });
        }
        match places.iter().all(Option::is_none) {
            true => Err(none_answers(&workers, &answers)),
            false => Ok(PushDispatch { workers, places: Places::new(&places, registry.patience()) }),
        }
    }

    /// Checks once for each worker that it works on the lake of the run.
    async fn check_lake(&self, worker: usize, client: &WorkerClient, run: Option<&str>) -> Result<Result<(), String>> {
        let Some(run) = run.filter(|_| !self.places.is_known(worker)) else { return Ok(Ok(())) };
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
        self.places.note_known(worker);
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
                        self.places.heard();
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
impl Dispatch for PushDispatch {
    fn at_once(&self) -> usize {
        self.places.count()
    }

    async fn begin(&self, run: &str) -> Result<()> {
        let check = |(worker, client)| async move {
            if let Err(why) = self.check_lake(worker, client, Some(run)).await? {
                self.places.unreachable(worker, &why);
            }
            Ok::<_, Error>(())
        };
        try_join_all(self.workers.iter().enumerate().map(check)).await.map(drop)
    }

    async fn dispatch(&self, item: &Item, stop: &CancellationToken) -> Result<ItemResult> {
        let handed = stop.run_until_cancelled(self.dispatch_until_done(item)).await;
        handed.unwrap_or_else(|| Err(Error::interrupted()))
    }
}

impl PushDispatch {
    async fn dispatch_until_done(&self, item: &Item) -> Result<ItemResult> {
        let mut failures = 0;
        loop {
            let place = self.places.place().await?;
            let worker = place.worker;
            let Some(client) = self.workers.get(worker) else {
                return Err(Error::internal("a place of no worker"));
            };
            if let Err(why) = self.check_lake(worker, client, item.run()).await? {
                self.places.unreachable(worker, &why);
                continue;
            }
            let answer = match self.post(client, item).await? {
                Ok(answer) => answer,
                Err(why) => {
                    if client.get(HEALTH).await.is_err() {
                        // It died, or is cut off. The item need not be the cause.
                        self.places.unreachable(worker, &why);
                        continue;
                    }
                    self.places.answered(worker, FIRST_PAUSE);
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
                    self.places.answered(worker, Duration::ZERO);
                    return result_of(client, item, &answer);
                }
                429 => self.places.answered(worker, pause),
                409 => {
                    self.places.answered(worker, Duration::ZERO);
                    drop(place);
                    tokio::time::sleep(pause).await;
                }
                // A gateway before the worker says that it is not there.
                502..=504 if result_of(client, item, &answer).is_err() => {
                    let why = format!("{} answers with {} and no result", client.host(), answer.status);
                    self.places.unreachable(worker, &why);
                }
                500..=599 => {
                    self.places.answered(worker, pause);
                    failures += 1;
                    let result = result_of(client, item, &answer);
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
                    let words = result_of(client, item, &answer).ok().and_then(|result| result.error);
                    let words = words.map_or_else(String::new, |error| format!(": {}", error.message));
                    return Err(Error::network(format!("the worker {} answers with {status}{words}", client.host()))
                        .doing(format!("handing out {}", item.id())));
                }
            }
        }
    }
}

/// Returns the error for workers of which none is ready, by what the first one answers.
fn none_answers(workers: &[WorkerClient], answers: &[Result<WorkerAnswer, String>]) -> Error {
    let first = workers.iter().zip(answers).next();
    match first {
        Some((_, Err(why))) => {
            Error::network(format!("no worker answers: {why}")).hint("start one: all-docs worker --listen ADDRESS:PORT")
        }
        Some((worker, Ok(answer))) if answer.status == 503 => {
            Error::network(format!("no worker is ready: {} is stopping", worker.host())).hint("try again later")
        }
        Some((worker, Ok(answer))) => {
            let (host, status) = (worker.host(), answer.status);
            Error::network(format!("{host} answers readyz with {status}: it is no worker"))
                .hint("check its address, and the path if it has one")
        }
        None => Error::input("--workers names no worker"),
    }
}

fn ready_of(client: &WorkerClient, answer: &WorkerAnswer) -> Result<Ready> {
    serde_json::from_slice(&answer.body).map_err(|error| match answer.body.starts_with(b"ready") {
        true => Error::new(ErrorKind::Denied, format!("the worker {} refuses the token", client.host()))
            .hint("give the one that it was started with: ALL_DOCS_WORKER_TOKEN, or --worker-token"),
        false => Error::network(format!("{} is no worker", client.host())).source(error),
    })
}

/// Returns the result in an answer, which is that of the item.
fn result_of(client: &WorkerClient, item: &Item, answer: &WorkerAnswer) -> Result<ItemResult> {
    let no_result = || format!("{} answers with {} and no result", client.host(), answer.status);
    let result: ItemResult = serde_json::from_slice(&answer.body).or_error(ErrorKind::Network, no_result)?;
    match result.work_item_id == item.id() || answer.status != 200 {
        true => Ok(result),
        false => Err(Error::network(format!("{} answers with the result of another item", client.host()))
            .doing(format!("handing out {}", item.id()))),
    }
}
