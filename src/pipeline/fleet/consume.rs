//! Takes items out of a queue, and does them.
//!
//! An item that may be tried again is given back, until it has failed so often that it becomes a dead letter. An item that
//! was held by another process, or handed back by a worker that stops, has not failed. One whose worker was lost has.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::claim::Claims;
use super::dispatch::work_of;
use super::hosts::QueueFleet;
use crate::error::{Context, ErrorKind, Result};
use crate::lake::{Item, ItemError, ItemResult};
use crate::pipeline::process::host_name;
use crate::pipeline::{AFTER_HELD, ItemOutcome, ItemRunner};
use crate::queue::{DeadLetter, Delivery, WorkQueue};

/// The longest item that a dead letter holds as a whole, in characters. A longer one, such as a set with thousands of pivots, is
/// cut.
const MOST_DEAD_CHARS: usize = 8_192;

/// Does the items of a queue.
#[derive(Clone)]
pub struct Consumer {
    queue: WorkQueue,
    runner: ItemRunner,
    claims: Claims,
    max_failures: u64,
}

/// The known attempts at an item.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Attempts {
    failures: u64,
    /// The worker that tries it now; it was lost if another one finds it here.
    worker: Option<String>,
    /// Why it failed last.
    error: Option<String>,
}

impl Consumer {
    /// Makes a consumer that gives an item up after it has failed so often.
    pub fn new(queue: WorkQueue, fleet: &QueueFleet, runner: ItemRunner, max_failures: u64) -> Consumer {
        Consumer { queue, claims: fleet.claims(runner.options()), runner, max_failures: max_failures.max(1) }
    }

    /// Does items, `at_once` at a time, until `stop` is cancelled; items in progress are then handed back. Survives
    /// restarts of the server; fails if it does not come back, and, of kind Input, if the items are not for this lake.
    pub async fn run(&self, at_once: usize, stop: &CancellationToken) -> Result<()> {
        let places = (0..at_once.max(1)).map(|_| async {
            while let Some(delivery) = self.queue.next(stop).await? {
                Box::pin(self.take(delivery, stop)).await?;
            }
            Ok(())
        });
        futures::future::try_join_all(places).await.map(drop)
    }

    async fn take(&self, delivery: Delivery, stop: &CancellationToken) -> Result<()> {
        let item = match Item::parse(delivery.body(), None, self.runner.origin()) {
            Ok(item) => item,
            Err(error) => {
                let digest = Sha256::digest(delivery.body());
                let digest: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
                self.bury("none", &digest, &delivery, delivery.deliveries(), error.to_string()).await?;
                return delivery.done().await;
            }
        };
        if let Err(error) = self.claims.check(&self.queue, &self.runner, stop).await {
            delivery.again(Duration::ZERO).await?;
            return Err(error);
        }
        let digest = item.digest();
        let mut attempts = match delivery.deliveries() {
            0 | 1 => Attempts::default(),
            _ => self.queue.note(&digest).await?.unwrap_or_default(),
        };
        if let Some(lost) = attempts.worker.replace(format!("process {} on {}", std::process::id(), host_name())) {
            attempts.failures += 1;
            attempts.error = Some(format!("{lost} began it, and died or was cut off"));
        }
        if attempts.failures >= self.max_failures {
            let message = attempts.error.clone().unwrap_or_default();
            let error = ItemError { message, status_code: 500 };
            return self.end(&item, delivery, &attempts, ItemResult::without_work(item.id(), error)).await;
        }
        self.queue.keep_note(&digest, &attempts).await?;
        let outcome = Box::pin(self.runner.run(&item, stop.clone())).await;
        attempts.worker = None;
        match outcome {
            ItemOutcome::Done { result, .. } if result.success => {
                let result = self.fan_out(result, &delivery).await?;
                self.keep(&digest, &result).await?;
                self.queue.drop_note(&digest).await?;
                delivery.done().await
            }
            ItemOutcome::Done { result, .. } => {
                attempts.failures += 1;
                self.end(&item, delivery, &attempts, result).await
            }
            ItemOutcome::Refused(error) => {
                attempts.failures += 1;
                let error = ItemError { message: error.to_string(), status_code: 400 };
                self.end(&item, delivery, &attempts, ItemResult::without_work(item.id(), error)).await
            }
            ItemOutcome::Held { by } => {
                tracing::debug!(item = item.id(), by, "another process holds the item");
                self.give_back(&digest, delivery, &attempts, AFTER_HELD).await
            }
            ItemOutcome::Again { .. } if stop.is_cancelled() => {
                self.give_back(&digest, delivery, &attempts, Duration::ZERO).await
            }
            ItemOutcome::Again { result, after } => {
                attempts.failures += 1;
                attempts.error = result.error.as_ref().map(|error| error.message.clone());
                if attempts.failures >= self.max_failures {
                    return self.end(&item, delivery, &attempts, result).await;
                }
                self.give_back(&digest, delivery, &attempts, after).await
            }
        }
    }

    /// Ends an item that failed: who waits for it gets the result, and it becomes a dead letter.
    async fn end(&self, item: &Item, delivery: Delivery, attempts: &Attempts, result: ItemResult) -> Result<()> {
        let digest = item.digest();
        let why = result.error.as_ref().map(|error| error.message.clone()).unwrap_or_default();
        self.bury(item.kind().as_str(), &digest, &delivery, attempts.failures, why).await?;
        self.keep(&digest, &result).await?;
        self.queue.drop_note(&digest).await?;
        delivery.done().await
    }

    async fn bury(&self, kind: &str, digest: &str, delivery: &Delivery, attempts: u64, error: String) -> Result<()> {
        let item = String::from_utf8_lossy(delivery.body()).chars().take(MOST_DEAD_CHARS).collect();
        let letter = DeadLetter { item, attempts, error, at: jiff::Timestamp::now().to_string() };
        self.queue.bury(kind, digest, &letter).await
    }

    async fn give_back(&self, digest: &str, delivery: Delivery, attempts: &Attempts, after: Duration) -> Result<()> {
        self.queue.keep_note(digest, attempts).await?;
        delivery.again(after).await
    }

    async fn keep(&self, digest: &str, result: &ItemResult) -> Result<()> {
        let text = serde_json::to_vec(result).or_error(ErrorKind::Internal, || "a result is no JSON".to_owned())?;
        self.queue.keep_result(digest, text.into()).await
    }

    /// Puts the items that a result lists into the queue, in the place of their set. The result then says how many.
    async fn fan_out(&self, mut result: ItemResult, delivery: &Delivery) -> Result<ItemResult> {
        let Some(Value::Array(items)) = result.data.as_object_mut().and_then(|data| data.remove("items")) else {
            return Ok(result);
        };
        for item in &items {
            let item = Item::parse(item.to_string().as_bytes(), None, self.runner.origin())?;
            // If this worker is lost in between, the next one puts them again, and they are in the queue once.
            self.queue.put(&work_of(&item, delivery.priority())?).await?;
        }
        if let Some(data) = result.data.as_object_mut() {
            data.insert("queued".to_owned(), json!(items.len()));
        }
        Ok(result)
    }
}
