//! Fetch: names in, documents out, many requests at a time, results in the order of the names.
//!
//! Memory is bounded by [`OrderedByteBudget`], not by the number of requests. Not here: limits, retries and what an answer
//! means (`registry/`), and columns (`table/`).

mod budget;
mod staging;

use futures::stream::{self, Stream, StreamExt};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::task::AbortOnDropHandle;

use crate::error::{Context, ErrorKind, Result};
use crate::npm::{Answer, PackageName, Representation, Revision, Validators};
use crate::registry::{BodyGate, PackumentRequest, Registry, RequestFailure, Response};

pub use budget::{Lane, OrderedByteBudget, Reservation};
pub use staging::{SegmentBound, StagedAnswers, StagingFeed, StagingTap, StagingWriter, staging_tap};

/// A name to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchItem {
    /// Whose document.
    pub name: PackageName,
    /// The revision that the registry announced for it.
    pub announced_rev: Revision,
    /// What the lake holds of it, to make the request conditional.
    pub validators: Option<Validators>,
    /// Whether the lake holds a document of this name, in whichever form.
    pub is_held: bool,
    /// When the answer came that the lake has from the last time that it was asked for, µs since 1970.
    pub last_answer_us: Option<i64>,
}

/// What became of one item.
#[derive(Debug)]
pub struct Fetched {
    /// The item.
    pub item: FetchItem,
    /// The registry's answer, or why there is none.
    pub response: std::result::Result<Response, RequestFailure>,
    /// When the answer was complete, µs since 1970 in UTC.
    pub fetched_at_us: i64,
    /// The document's share of the memory budget; freed when this is dropped.
    pub share: Reservation,
}

impl Fetched {
    /// Whether the failure is the run's, and no other request can fare better.
    fn ends_the_run(&self) -> bool {
        // A budget that is spent, or a gate that does not open, lets what is in flight come in.
        let ends = |failure: &RequestFailure| failure.outcome.is_none() && failure.error.kind() != ErrorKind::RateLimit;
        self.response.as_ref().is_err_and(ends)
    }

    /// Drops the body as it came, which nobody needs once it is staged.
    fn drop_gzip(&mut self) {
        if let Some(gzip) = self.response.as_mut().ok().and_then(|response| response.gzip.take()) {
            self.share.shrink(gzip.len() as u64);
        }
    }

    /// Whether there is no document any more where the lake holds one.
    pub fn says_held_is_gone(&self) -> bool {
        let is_gone = matches!(&self.response, Ok(Response { answer: Answer::Gone { .. }, .. }));
        is_gone && self.item.is_held
    }
}

/// Asks for every item, `concurrency` at a time, and yields the results in the order of the items.
///
/// A failure that ends the run goes to `alarm` at once instead, whatever comes before it by name; its place in the order is
/// then never filled. Each answer goes through `tap` first, so that it is durable whatever the ones before it take.
///
/// Each request runs as its own task, so that decompression spreads over the cores. Dropping the stream ends them all.
/// A failure of one request is a value; the stream itself fails only when a task dies.
pub fn fetch(
    registry: Registry,
    representation: Representation,
    items: impl Iterator<Item = FetchItem> + Send + 'static,
    lane: Lane,
    tap: StagingTap,
    alarm: UnboundedSender<Fetched>,
    concurrency: usize,
) -> impl Stream<Item = Result<Fetched>> + Send {
    stream::iter(items)
        .map(move |item| {
            let (registry, tap, alarm) = (registry.clone(), tap.clone(), alarm.clone());
            // The share is taken here, in the order of the items: the lane lets the oldest one proceed at all times.
            let share = lane.reserve();
            let task = AbortOnDropHandle::new(tokio::spawn(async move {
                let (name, validators, is_held) = (item.name.clone(), item.validators.clone(), item.is_held);
                let request = PackumentRequest { name, representation, validators, is_held };
                let response = registry.packument(&request, &share).await;
                let fetched_at_us = jiff::Timestamp::now().as_microsecond();
                let fetched = Fetched { item, response, fetched_at_us, share };
                if fetched.ends_the_run() {
                    // Nobody is there any more only where the run has ended.
                    let _ = alarm.send(fetched);
                    return std::future::pending().await;
                }
                tap.pass(fetched).await
            }));
            async move { task.await.or_error(ErrorKind::Internal, || "a request's task died".to_owned())? }
        })
        .buffered(concurrency.max(1))
}
