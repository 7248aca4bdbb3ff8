//! One item that a worker has taken.

use std::time::Duration;

use async_nats::jetstream::{AckKind, Message};
use bytes::Bytes;
use tokio_util::task::AbortOnDropHandle;

use super::Queue;
use super::priority::Priority;
use crate::error::Result;

/// An item that this process has taken. If it is dropped without a word, another worker gets it after a while.
#[derive(Debug)]
pub struct Delivery {
    queue: Queue,
    message: Message,
    priority: Priority,
    _heartbeat: AbortOnDropHandle<()>,
}

impl Delivery {
    pub(super) fn new(queue: Queue, message: Message, priority: Priority) -> Delivery {
        let (client, reply) = (queue.inner.client.clone(), message.reply.clone());
        let interval = queue.inner.options.ack_wait / 3;
        // It lives as long as the delivery: a worker that is dead or cut off is silent.
        let heartbeat = tokio::spawn(async move {
            let Some(reply) = reply else { return };
            loop {
                tokio::time::sleep(interval).await;
                let _ = client.publish(reply.clone(), AckKind::Progress.into()).await;
            }
        });
        Delivery { queue, message, priority, _heartbeat: AbortOnDropHandle::new(heartbeat) }
    }

    /// The item, as it was put.
    pub fn body(&self) -> &Bytes {
        &self.message.payload
    }

    /// Its priority.
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// How often a worker has taken it, this time included.
    pub fn deliveries(&self) -> u64 {
        self.message.info().map_or(1, |info| u64::try_from(info.delivered).unwrap_or(1))
    }

    /// Removes the item from the queue: it is done. Removed when this returns.
    pub async fn done(self) -> Result<()> {
        let (queue, message) = (&self.queue, &self.message);
        // A confirmation may be lost. If all are, the item comes again, and its result is kept.
        patiently!(queue, "taking an item out of the queue", message.double_ack().await)
    }

    /// Gives the item back: it comes again after that time.
    pub async fn again(self, after: Duration) -> Result<()> {
        let (queue, message) = (&self.queue, &self.message);
        let delay = (!after.is_zero()).then_some(after);
        let doing = "giving an item back to the queue";
        patiently!(queue, doing, message.double_ack_with(AckKind::Nak(delay)).await)
    }
}
