//! Fetches documents for names: many requests at a time, results in the order of the names.
//!
//! [`OrderedByteBudget`] bounds memory, not the number of requests. Not here: limits, retries and the meaning of
//! responses (`registry/`), and columns (`table/`).

mod budget;
mod staging;

use futures::stream::{self, Stream, StreamExt};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::task::AbortOnDropHandle;

use crate::error::{Context, ErrorKind, Result};
use crate::npm::{Answer, Fingerprint, Outcome, PackageName, Representation, Revision, Validators};
use crate::registry::{BodyGate, PackumentRequest, Registry, RequestFailure, Response};

pub use budget::{Lane, OrderedByteBudget, Reservation};
pub use staging::{SegmentBound, StagedAnswers, StagingFeed, StagingTap, StagingWriter, staging_tap};

/// A name to request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchItem {
    /// The name.
    pub name: PackageName,
    /// The revision that the registry announced for it.
    pub announced_rev: Revision,
    /// The validators that the lake holds, to make the request conditional.
    pub validators: Option<Validators>,
    /// Whether the lake holds a document of this name, in either form.
    pub is_held: bool,
    /// The time when the lake's last response for it was received, µs since 1970.
    pub last_answer_us: Option<i64>,
    /// The credentials that its request carries.
    pub credentials: Fingerprint,
    /// The result of the last request.
    pub last: Option<LastResult>,
}

/// The result of the last request for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastResult {
    /// The outcome.
    pub outcome: Outcome,
    /// How often it had been seen in a row.
    pub repetitions: u32,
    /// Whether it came at the present revision, and with the present credentials if it depends on them.
    pub is_comparable: bool,
}

impl FetchItem {
    /// Returns whether the last request for it gave no sound document either, by an outcome that can change.
    pub fn was_absent(&self) -> bool {
        self.last.is_some_and(|last| last.outcome.can_change())
    }

    /// Returns whether the lake has a document of this name that only another packument may replace.
    fn is_worth_keeping(&self) -> bool {
        self.is_held && self.last.is_none_or(|last| last.outcome != Outcome::Malformed)
    }

    /// Returns how often an outcome will have been seen in a row, if the present request has it too.
    pub fn repetitions_of(&self, outcome: Outcome) -> u32 {
        let before = self.last.filter(|last| last.is_comparable && last.outcome == outcome);
        before.map_or(1, |last| last.repetitions.saturating_add(1))
    }
}

/// The result for one item.
#[derive(Debug)]
pub struct Fetched {
    /// The item.
    pub item: FetchItem,
    /// The registry's response, or the failure.
    pub response: std::result::Result<Response, RequestFailure>,
    /// When the response was complete, µs since 1970 in UTC.
    pub fetched_at_us: i64,
    /// The document's share of the memory budget; freed when this is dropped.
    pub share: Reservation,
}

impl Fetched {
    /// Returns whether the failure concerns the whole run, so that no other request can succeed.
    fn ends_the_run(&self) -> bool {
        // A spent budget or a closed gate still lets the requests in flight finish.
        let ends = |failure: &RequestFailure| failure.outcome.is_none() && failure.error.kind() != ErrorKind::RateLimit;
        self.response.as_ref().is_err_and(ends)
    }

    /// Returns whether the response is worth keeping beyond the end of the run. A response without a document depends on
    /// time and credentials, and a new request for it is cheap.
    fn is_lasting(&self) -> bool {
        match &self.response {
            Ok(response) => match &response.answer {
                Answer::Fresh(_) => response.is_packument,
                Answer::NotModified => true,
                Answer::Gone { .. } => false,
            },
            Err(_) => false,
        }
    }

    /// Drops the compressed body, which is not needed after staging.
    fn drop_gzip(&mut self) {
        if let Some(gzip) = self.response.as_mut().ok().and_then(|response| response.gzip.take()) {
            self.share.shrink(gzip.len() as u64);
        }
    }

    /// Returns whether the registry no longer has, or gives, a document that the lake holds.
    pub fn says_held_is_gone(&self) -> bool {
        let is_gone = match &self.response {
            Ok(response) => matches!(response.answer, Answer::Gone { .. }),
            Err(failure) => failure.outcome == Some(Outcome::Blocked),
        };
        is_gone && self.item.is_held
    }
}

/// Requests every item, `concurrency` at a time, and yields the results in the order of the items.
/// A failure that ends the run goes to `alarm` immediately instead, before results that precede it by name; its place
/// in the order stays empty. Each response is shown to `witness` when it arrives, and then goes through `tap`, which
/// makes it durable without waiting for earlier ones.
///
/// Each request runs as a separate task, so that decompression uses all cores. Dropping the stream ends all tasks. A
/// failure of one request is a value; the stream itself fails only when a task dies.
#[allow(clippy::too_many_arguments)]
pub fn fetch(
    registry: Registry,
    representation: Representation,
    items: impl Iterator<Item = FetchItem> + Send + 'static,
    lane: Lane,
    tap: StagingTap,
    alarm: UnboundedSender<Fetched>,
    witness: impl Fn(&Fetched) + Clone + Send + 'static,
    concurrency: usize,
) -> impl Stream<Item = Result<Fetched>> + Send {
    stream::iter(items)
        .map(move |item| {
            let (registry, tap, alarm, witness) = (registry.clone(), tap.clone(), alarm.clone(), witness.clone());
            // Reservations are taken here, in the order of the items: the lane always lets the oldest one proceed.
            let share = lane.reserve();
            let task = AbortOnDropHandle::new(tokio::spawn(async move {
                let (name, validators, is_held) = (item.name.clone(), item.validators.clone(), item.is_worth_keeping());
                let request = PackumentRequest { name, representation, validators, is_held };
                let response = registry.packument(&request, &share).await;
                let fetched_at_us = jiff::Timestamp::now().as_microsecond();
                let fetched = Fetched { item, response, fetched_at_us, share };
                if fetched.ends_the_run() {
                    // The receiver is gone only if the run has ended.
                    let _ = alarm.send(fetched);
                    return std::future::pending().await;
                }
                witness(&fetched);
                tap.pass(fetched).await
            }));
            async move { task.await.or_error(ErrorKind::Internal, || "a request's task died".to_owned())? }
        })
        .buffered(concurrency.max(1))
}
