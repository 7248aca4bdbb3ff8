//! The work queue of an origin: a stream whose messages are items, removed when they are done.
//!
//! There is one subject for each priority. An item is taken from the highest that has one.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{kv, publish::PublishAck, stream};
use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::priority::Priority;
use super::{Delivery, PATIENCE, Queue, REQUEST_TIMEOUT};
use crate::error::{Error, Result};

/// How often an idle worker looks for items that come back: nobody tells it of those.
const IDLE_LOOK: Duration = Duration::from_secs(1);
/// How long a dead letter is kept.
const KEEP_DEAD: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The most dead letters that are kept.
const MOST_DEAD: i64 = 100_000;

/// An item to put into the queue.
#[derive(Debug, Clone)]
pub struct Work {
    /// The mark that two equal items share: a text of digits and letters.
    pub digest: String,
    /// The item.
    pub body: Bytes,
    /// Its turn.
    pub priority: Priority,
}

/// The items of one priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// The priority.
    pub priority: Priority,
    /// Items that no worker has, those that come back later among them.
    pub waiting: u64,
    /// Items that a worker has.
    pub in_progress: u64,
}

/// The work queue of one origin. Clones share it.
#[derive(Debug, Clone)]
pub struct WorkQueue {
    pub(super) queue: Queue,
    pub(super) parts: Arc<Parts>,
}

#[derive(Debug)]
pub(super) struct Parts {
    pub(super) names: Names,
    consumers: [PullConsumer; 3],
    pub(super) results: kv::Store,
    /// Notified of each item that is put.
    news: Arc<Notify>,
    _listener: AbortOnDropHandle<()>,
}

/// The names that the server knows an origin's queue by.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) stream: String,
    pub(super) dead_stream: String,
    pub(super) results: String,
    pub(super) subjects: String,
}

impl Names {
    fn of(origin: &str) -> Names {
        Names {
            stream: format!("ALL_DOCS_{origin}"),
            dead_stream: format!("ALL_DOCS_{origin}_DEAD"),
            results: format!("ALL_DOCS_{origin}_RESULTS"),
            subjects: format!("all-docs.{origin}"),
        }
    }

    fn work(&self, priority: &str) -> String {
        format!("{}.work.{priority}", self.subjects)
    }

    pub(super) fn dead(&self, word: &str) -> String {
        format!("{}.dead.{word}", self.subjects)
    }
}

impl Queue {
    /// Opens the work queue of an origin, and creates it if there is none.
    pub async fn work(&self, origin: &str) -> Result<WorkQueue> {
        let (names, options) = (Names::of(origin), &self.inner.options);
        let stream = stream::Config {
            name: names.stream.clone(),
            subjects: Priority::ALL.iter().map(|priority| names.work(priority.as_str())).collect(),
            retention: stream::RetentionPolicy::WorkQueue,
            duplicate_window: options.keep_results,
            ..stream::Config::default()
        };
        let dead = stream::Config {
            name: names.dead_stream.clone(),
            subjects: vec![names.dead("*")],
            max_age: KEEP_DEAD,
            max_messages: MOST_DEAD,
            ..stream::Config::default()
        };
        let work = self.stream(stream).await?;
        self.stream(dead).await?;
        let results = self.bucket(&names.results, options.keep_results).await?;
        let mut consumers = Vec::new();
        for priority in Priority::ALL.map(Priority::as_str) {
            let config = pull::Config {
                durable_name: Some(priority.to_owned()),
                ack_policy: AckPolicy::Explicit,
                ack_wait: options.ack_wait,
                // Counted by the workers: not each delivery is an attempt.
                max_deliver: -1,
                max_ack_pending: -1,
                filter_subject: names.work(priority),
                ..pull::Config::default()
            };
            let doing = "opening the work queue";
            consumers.push(patiently!(self, doing, work.get_or_create_consumer(priority, config.clone()).await)?);
            self.inner.made().consumers.insert((names.stream.clone(), priority.to_owned()), config);
        }
        let client = &self.inner.client;
        let mut told = patiently!(self, "listening to the work queue", client.subscribe(names.work("*")).await)?;
        let news = Arc::new(Notify::new());
        let notified = Arc::clone(&news);
        let listener = tokio::spawn(async move {
            while told.next().await.is_some() {
                notified.notify_waiters();
            }
        });
        let consumers = consumers.try_into().map_err(|_| Error::internal("a priority has no consumer"))?;
        let parts = Parts { names, consumers, results, news, _listener: AbortOnDropHandle::new(listener) };
        Ok(WorkQueue { queue: self.clone(), parts: Arc::new(parts) })
    }
}

impl WorkQueue {
    /// Returns the connection.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Puts an item into the queue; stored when it returns. Returns whether it is new: an item of the same digest was put
    /// not long ago otherwise.
    pub async fn put(&self, work: &Work) -> Result<bool> {
        self.put_as(&work.digest, work).await
    }

    /// Puts an item under another id than its digest.
    pub(super) async fn put_as(&self, id: &str, work: &Work) -> Result<bool> {
        let subject = self.parts.names.work(work.priority.as_str());
        let put = self.publish("putting an item into the queue", subject, id, work.body.clone());
        put.await.map(|stored| !stored.duplicate)
    }

    /// Returns whether no item is in the queue, waiting or in progress.
    pub(super) async fn is_empty(&self) -> Result<bool> {
        let (jetstream, name) = (&self.queue.inner.jetstream, &self.parts.names.stream);
        let stream = patiently!(self.queue, "looking whether the queue is empty", jetstream.get_stream(name).await)?;
        Ok(stream.cached_info().state.messages == 0)
    }

    /// Publishes a message into a stream; stored when it returns. One of the same id is stored once.
    pub(super) async fn publish(&self, doing: &str, subject: String, id: &str, body: Bytes) -> Result<PublishAck> {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-Msg-Id", id);
        let jetstream = &self.queue.inner.jetstream;
        let publish =
            || async { jetstream.publish_with_headers(subject.clone(), headers.clone(), body.clone()).await?.await };
        patiently!(self.queue, doing, publish().await)
    }

    /// Waits for an item, and takes it; `None` once `stop` is cancelled. Another worker gets it if this one is silent
    /// about it.
    ///
    /// # Errors
    /// [`ErrorKind::Network`](crate::error::ErrorKind) if the server is away for two minutes.
    pub async fn next(&self, stop: &CancellationToken) -> Result<Option<Delivery>> {
        let mut fails_until = None;
        while !stop.is_cancelled() {
            let mut news = pin!(self.parts.news.notified());
            // News that come during the look count.
            news.as_mut().enable();
            // A look is never cut short: it may have taken an item.
            match self.look().await {
                Ok(Some(delivery)) => return Ok(Some(delivery)),
                Ok(None) => fails_until = None,
                Err(error) => {
                    let deadline = *fails_until.get_or_insert_with(|| Instant::now() + PATIENCE);
                    let failed = self.queue.after_failure(deadline, "taking items from the queue", error);
                    stop.run_until_cancelled(failed).await.transpose()?;
                    continue;
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = news => {}
                () = tokio::time::sleep(IDLE_LOOK) => {}
            }
        }
        Ok(None)
    }

    /// Takes the item whose turn it is, if there is one.
    async fn look(&self) -> std::result::Result<Option<Delivery>, async_nats::Error> {
        for (consumer, priority) in self.parts.consumers.iter().zip(Priority::ALL) {
            if let Some(message) = self.take_from(consumer).await? {
                return Ok(Some(Delivery::new(self.queue.clone(), message, priority)));
            }
        }
        Ok(None)
    }

    async fn take_from(
        &self,
        consumer: &PullConsumer,
    ) -> std::result::Result<Option<async_nats::jetstream::Message>, async_nats::Error> {
        // With a time to expire the server would wait for an item of this priority, while one of another waits. Without one
        // nobody tells of an answer that was lost.
        let mut batch = consumer.fetch().max_messages(1).messages().await?;
        timeout(REQUEST_TIMEOUT, batch.next()).await?.transpose()
    }

    /// Returns how many items there are.
    pub async fn waiting(&self) -> Result<Vec<Waiting>> {
        let mut all = Vec::new();
        for (consumer, priority) in self.parts.consumers.iter().zip(Priority::ALL) {
            let mut consumer = consumer.clone();
            let info = patiently!(self.queue, "counting the items of the queue", consumer.info().await.cloned())?;
            let in_progress = info.num_ack_pending as u64;
            all.push(Waiting { priority, waiting: info.num_pending, in_progress });
        }
        Ok(all)
    }
}
