//! The queue of a fleet: its arguments, and the part that a process takes in it.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::log;
use super::printer::Printer;
use super::registry_args::patience;
use crate::error::Result;
use crate::lake::Item;
use crate::pipeline::{Consumer, Dispatch, IngestOptions, ItemRunner, QueueDispatch, QueueFleet};
use crate::queue::{Queue, QueueAddress, QueueOptions};
use crate::registry::Fleet;

/// Dead letters that are shown.
const DEAD_SHOWN: usize = 10;
/// The longest error of a dead letter on a line, in characters.
const MOST_ERROR_CHARS: usize = 300;
/// The time between two looks at whether a worker takes the items that wait.
const LOOK: Duration = Duration::from_secs(5);

/// The queue that the machines of a fleet share.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct QueueArgs {
    /// The queue of the fleet, a NATS server with JetStream: nats://host:4222, nats://user:password@host,
    /// nats://token@host, tls://host, or several servers of a cluster with commas between them. All processes with one
    /// queue share the gate of each host, its requests in flight and a second (the lowest --concurrency and --rate hold),
    /// and the month's budget
    #[arg(long, value_name = "URL", env = "ALL_DOCS_QUEUE", hide_env_values = true)]
    queue: Option<String>,
    /// How long a worker may be silent about an item before another one gets it; for a queue that is made now
    #[arg(long, value_name = "DURATION", env = "ALL_DOCS_QUEUE_SILENCE", default_value = "30s", hide = true)]
    #[arg(value_parser = patience)]
    queue_silence: Duration,
}

/// A process that takes part in a fleet.
pub(super) struct Member {
    queue: Queue,
    fleet: QueueFleet,
}

impl QueueArgs {
    /// Returns the address. Templates set an empty variable where there is none.
    fn address(&self) -> Option<&str> {
        self.queue.as_deref().map(str::trim).filter(|address| !address.is_empty())
    }

    /// Returns whether a queue is given.
    pub(super) fn is_given(&self) -> bool {
        self.address().is_some()
    }

    /// Connects to the queue; `None` if none is given.
    pub(super) async fn join(&self, cafile: Option<&Path>) -> Result<Option<Member>> {
        let Some(address) = self.address() else { return Ok(None) };
        let options = QueueOptions {
            ack_wait: self.queue_silence,
            cafile: cafile.map(Path::to_owned),
            ..QueueOptions::default()
        };
        let queue = Queue::connect(&QueueAddress::parse(address)?, options).await?;
        let fleet = QueueFleet::join(queue.clone()).await?;
        Ok(Some(Member { queue, fleet }))
    }
}

impl Member {
    /// Returns what the registry client needs of the fleet.
    pub(super) fn fleet(&self) -> Fleet {
        self.fleet.fleet()
    }

    /// Returns the address of the queue, without credentials.
    pub(super) fn address(&self) -> String {
        self.queue.address().to_string()
    }

    /// Returns the way to the workers of an origin.
    pub(super) async fn dispatch(&self, options: &IngestOptions) -> Result<Arc<dyn Dispatch>> {
        let queue = self.queue.work(&options.registry.origin().name).await?;
        Ok(Arc::new(QueueDispatch::new(queue, &self.fleet, options)))
    }

    /// Runs `run`, and meanwhile says so if no worker takes the items that wait.
    pub(super) async fn watch_while<T>(&self, origin: &str, printer: &Printer, run: impl Future<Output = T>) -> T {
        tokio::select! {
            result = run => result,
            never = self.watch(origin, printer) => match never {},
            never = self.watch_server(printer) => match never {},
        }
    }

    /// Says that the server fails.
    async fn watch_server(&self, printer: &Printer) -> Infallible {
        let mut is_told = false;
        loop {
            tokio::time::sleep(LOOK).await;
            let trouble = self.queue.trouble(LOOK);
            if let Some(cause) = trouble.as_ref().filter(|_| !is_told) {
                let address = self.address();
                printer.note(&format!(
                    "the queue {address} fails ({cause}); everything waits for it, and ends if it fails for two minutes"
                ));
            }
            is_told = trouble.is_some();
        }
    }

    /// Says that items wait and no worker takes one. Two looks in a row must find that: a worker may be between two items
    /// at one of them.
    async fn watch(&self, origin: &str, printer: &Printer) -> Infallible {
        let (mut idle_looks, mut work) = (0, None);
        loop {
            tokio::time::sleep(LOOK).await;
            if self.queue.trouble(Duration::ZERO).is_some() {
                continue;
            }
            if work.is_none() {
                work = self.queue.work(origin).await.ok();
            }
            let Some(work) = &work else { continue };
            let Ok(items) = work.waiting().await else { continue };
            let waiting: u64 = items.iter().map(|some| some.waiting).sum();
            let is_idle = waiting > 0 && items.iter().all(|some| some.in_progress == 0);
            idle_looks = if is_idle { idle_looks + 1 } else { 0 };
            if idle_looks == 2 {
                printer.note(&format!(
                    "{} items of {origin} wait at {}, and no worker takes them; start one: all-docs worker --queue, with \
                     the same --lake and --origin",
                    log::count(waiting),
                    self.address()
                ));
            }
        }
    }

    /// Does the items of the queue until `stop` is cancelled.
    pub(super) async fn consume(
        &self,
        printer: &Printer,
        runner: &ItemRunner,
        at_once: usize,
        attempts: u64,
        stop: &CancellationToken,
    ) -> Result<()> {
        let work = self.queue.work(runner.origin()).await?;
        // An idle worker's limits count too.
        runner.registry().join();
        let consumer = Consumer::new(work, &self.fleet, runner.clone(), attempts);
        tokio::select! {
            ended = consumer.run(at_once, stop) => ended,
            never = self.watch_server(printer) => match never {},
        }
    }

    /// Leaves the fleet in order.
    pub(super) async fn leave(self) {
        self.fleet.leave().await;
    }

    /// Returns the state of an origin's queue: as JSON, and as lines.
    pub(super) async fn status(&self, origin: &str) -> Result<(Value, String)> {
        let work = self.queue.work(origin).await?;
        let (waiting, dead) = (work.waiting().await?, work.dead_letters(DEAD_SHOWN).await?);
        let in_progress: u64 = waiting.iter().map(|some| some.in_progress).sum();
        let by_priority: Vec<String> =
            waiting.iter().map(|some| format!("{} {}", log::count(some.waiting), some.priority.as_str())).collect();
        let mut text = format!(
            "  queue         {} waiting, {} in progress, {} dead letters at {}\n",
            by_priority.join(", "),
            log::count(in_progress),
            log::count(dead.count),
            self.queue.address()
        );
        for letter in &dead.newest {
            let item = serde_json::from_str::<Value>(&letter.item).unwrap_or_default();
            let id = item.get("id").and_then(Value::as_str);
            let named = Item::parse(letter.item.as_bytes(), None, origin).map(|item| item.id().to_owned());
            let id = id.map(str::to_owned).or(named.ok()).unwrap_or_else(|| "no work item".to_owned());
            let error: String = letter.error.chars().take(MOST_ERROR_CHARS).collect();
            text.push_str(&format!(
                "    dead        {id} after {} attempts, {}: {error}\n",
                letter.attempts, letter.at
            ));
        }
        let waiting: serde_json::Map<String, Value> =
            waiting.iter().map(|some| (some.priority.as_str().to_owned(), json!(some.waiting))).collect();
        let status = json!({
            "waiting": waiting, "in_progress": in_progress, "dead_letters": dead.count, "newest_dead_letters": dead.newest,
        });
        Ok((status, text))
    }
}
