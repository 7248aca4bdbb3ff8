//! Passes items to the workers of a queue, and waits for their results.

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::claim::Claims;
use super::hosts::QueueFleet;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::lake::{Item, ItemResult};
use crate::pipeline::{Dispatch, IngestOptions};
use crate::queue::{Priority, Work, WorkQueue};

/// Items in the queue at once: more than the workers of a fleet do at once, and few enough that a run which ends early
/// leaves little behind.
const AT_ONCE: usize = 256;

/// The workers of a queue.
#[derive(Debug, Clone)]
pub struct QueueDispatch {
    queue: WorkQueue,
    claims: Claims,
}

impl QueueDispatch {
    /// Passes items of an ingest with these options to the workers of this queue.
    pub fn new(queue: WorkQueue, fleet: &QueueFleet, options: &IngestOptions) -> QueueDispatch {
        QueueDispatch { queue, claims: fleet.claims(options) }
    }
}

#[async_trait]
impl Dispatch for QueueDispatch {
    fn at_once(&self) -> usize {
        AT_ONCE
    }

    async fn begin(&self, _run: &str) -> Result<()> {
        self.claims.take(&self.queue).await
    }

    async fn dispatch(&self, item: &Item, stop: &CancellationToken) -> Result<ItemResult> {
        let work = work_of(item, priority_of(item))?;
        let asked = stop.run_until_cancelled(self.queue.ask(&work)).await;
        let result = asked.unwrap_or_else(|| Err(Error::interrupted()))?;
        serde_json::from_slice(&result)
            .or_error(ErrorKind::Network, || format!("the result of {} in the queue is none", item.id()))
    }
}

/// Returns an item as the queue takes it.
pub(super) fn work_of(item: &Item, priority: Priority) -> Result<Work> {
    Ok(Work { digest: item.digest(), body: item.to_json()?.into(), priority })
}

/// Returns when an item is taken: before others if its number is positive, after them if it is negative.
fn priority_of(item: &Item) -> Priority {
    match item.priority {
        1.. => Priority::High,
        0 => Priority::Normal,
        ..0 => Priority::Low,
    }
}
