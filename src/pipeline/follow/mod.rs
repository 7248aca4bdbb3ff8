//! Follow: keeps a lake up to date with a registry's feed of changes, round by round.
//!
//! A round asks the registry's root for its place, lists the registry if that is due, reads the feed to its end, and
//! commits what is news. The record of the places is replaced after the commit, so a follower that dies reads some rows
//! again and loses none. Not here: what to read and when to list (`crate::follow`), and the commits (`overlay`).

mod clock;
mod follower;
mod listing;
mod metrics;
mod round;
mod start;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::clock::Clock;
use self::follower::Follower;
pub use self::metrics::{FollowCounts, FollowMetrics};
pub use self::round::{Round, RoundListing};
use self::start::{open, take_lease};
use super::events::{EventKeeper, EventSettings};
use super::overlay::{FOLLOWER, FoldPolicy};
use super::progress::Progress;
use super::requests::counted;
use super::summary::seconds;
use crate::error::{Error, ErrorKind, Result};
use crate::npm::{Representation, Seq};
use crate::registry::Registry;
use crate::store::Store;

/// The command for which leases are taken.
const PURPOSE: &str = FOLLOWER;

/// The settings of a follower.
#[derive(Debug, Clone)]
pub struct FollowOptions {
    /// The lake.
    pub store: Store,
    /// The registry.
    pub registry: Registry,
    /// The form of documents to ask for.
    pub representation: Representation,
    /// The time from the beginning of a round to that of the next.
    pub interval: Duration,
    /// Whether to end after one round.
    pub once: bool,
    /// The place after which to begin, instead of the one that the lake knows.
    pub since: Option<Seq>,
    /// For how long rows may appear behind a place that the feed has returned.
    pub window: Duration,
    /// The time between two listings.
    pub reconcile: Duration,
    /// When partitions are folded.
    pub fold: FoldPolicy,
    /// Where events are delivered, and how long they are kept.
    pub events: EventSettings,
    /// The clock.
    pub clock: Clock,
}

impl FollowOptions {
    /// Returns the options of a follower with the default times.
    pub fn new(store: Store, registry: Registry) -> FollowOptions {
        FollowOptions {
            store,
            registry,
            representation: Representation::Full,
            interval: Duration::from_secs(60),
            once: false,
            since: None,
            window: Duration::from_secs(2 * 3600),
            reconcile: Duration::from_secs(24 * 3600),
            fold: FoldPolicy::default(),
            events: EventSettings::default(),
            clock: Clock::default(),
        }
    }
}

/// The result of a follower.
#[derive(Debug, Clone, Serialize)]
pub struct FollowSummary {
    /// The origin's name.
    pub origin: String,
    /// The location of the lake.
    pub lake: String,
    /// Whether it was stopped.
    pub interrupted: bool,
    /// All counters.
    pub counts: FollowCounts,
    /// Requests sent, retries included.
    pub requests: u64,
    /// The newest place of the feed that was read.
    pub place: Option<String>,
    /// How long it took, in seconds.
    #[serde(rename = "elapsed_seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
}

/// Follows the feed of a registry until `stop`, or for one round. `tell` gets each round that changed something or
/// failed. If the future is dropped, its leases stay for a minute; use `stop` instead.
///
/// A registry that does not respond, or refuses, is asked again in the next round; everything else ends the follower, and
/// so does any failure of the first round.
///
/// Ends without an error if the reader of an output has closed its pipe.
///
/// Fails with [`ErrorKind::Lake`] if the lake is not filled yet, or while another process follows the same origin, and
/// with [`ErrorKind::Input`] for a `since` beyond the registry's own place.
pub async fn follow(
    options: FollowOptions,
    metrics: Arc<FollowMetrics>,
    progress: Arc<Progress>,
    stop: CancellationToken,
    tell: &(dyn Fn(&Round) + Send + Sync),
) -> Result<FollowSummary> {
    let (store, registry) = (options.store.clone(), options.registry.clone());
    let work = run(options, metrics, progress, stop, tell);
    counted(&store, &registry, false, Box::pin(work)).await
}

async fn run(
    options: FollowOptions,
    metrics: Arc<FollowMetrics>,
    progress: Arc<Progress>,
    stop: CancellationToken,
    tell: &(dyn Fn(&Round) + Send + Sync),
) -> Result<FollowSummary> {
    let started = Instant::now();
    let opened = open(&options.store, &options.registry).await?;
    let layout = opened.layout.clone();
    let lease = take_lease(&options.store, &layout).await?;
    let watch = lease.watch();
    // Stops the work if the lease is lost: a commit in progress must come to its end.
    let stop_work = stop.child_token();
    metrics.change(|counts| counts.began_at_us = options.clock.now_us());
    let summarize = |follower: &Follower| FollowSummary {
        origin: layout.name().to_owned(),
        lake: options.store.location(),
        interrupted: stop.is_cancelled(),
        counts: metrics.read(),
        requests: options.registry.statistics().requests,
        place: follower.place(),
        elapsed: started.elapsed(),
    };
    let work = async {
        let mut follower = Follower::open(
            &options,
            opened,
            watch.clone(),
            Arc::clone(&metrics),
            Arc::clone(&progress),
            stop_work.clone(),
        )
        .await?;
        let settings = &options.events;
        let keeper = EventKeeper::start(&options.store, &layout, settings.take_outputs(), settings.keep_days);
        let mut keeper = Box::pin(keeper).await?;
        let ended = rounds(&mut follower, &mut keeper, &options, &stop_work, tell).await;
        let kept = match Box::pin(keeper.end(&stop_work)).await {
            // The lake has the changes, and the feed keeps the events: the next drain takes them.
            Err(error) if ended.is_ok() && error.kind() == ErrorKind::Lake => {
                tell(&Round { notes: vec![events_wait(&error)], ..Round::begun_now() });
                Ok(())
            }
            kept => kept.map(drop),
        };
        // The first error is the one to report.
        match ended.and(kept) {
            Err(error) if error.kind() == ErrorKind::Interrupted && stop_work.is_cancelled() => {
                Ok(summarize(&follower))
            }
            // The reader of a pipe has what it wanted.
            Err(error) if error.is_closed_pipe() => Ok(summarize(&follower)),
            ended => ended.map(|()| summarize(&follower)),
        }
    };
    let mut work = Box::pin(work);
    let worked = tokio::select! {
        biased;
        worked = &mut work => worked,
        () = watch.lost() => {
            stop_work.cancel();
            work.await.and(Err(watch.lost_error()))
        }
    };
    lease.end_after(worked).await
}

/// Does round after round. Between them it asks again for documents that are due.
async fn rounds(
    follower: &mut Follower,
    keeper: &mut EventKeeper,
    options: &FollowOptions,
    stop: &CancellationToken,
    tell: &(dyn Fn(&Round) + Send + Sync),
) -> Result<()> {
    let mut is_first = true;
    let mut next_round = Instant::now();
    loop {
        let is_full = Instant::now() >= next_round;
        if is_full {
            next_round = Instant::now() + options.interval;
        }
        let (mut round, ended) = match is_full {
            true => Box::pin(follower.round()).await,
            false => Box::pin(follower.ask_again()).await,
        };
        match Box::pin(keeper.tend()).await {
            Err(error) if error.kind() == ErrorKind::Lake => {
                round.notes.push(events_wait(&error));
            }
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        let ends = |error: &Error| is_first || options.once || stop.is_cancelled() || !may_pass(error);
        round.goes_on = !ended.as_ref().is_err_and(ends);
        if round.is_worth_telling() {
            tell(&round);
        }
        match ended {
            Err(error) if is_first || options.once || !may_pass(&error) => return Err(error),
            Err(_) if stop.is_cancelled() => return Err(Error::interrupted()),
            _ if options.once => return Ok(()),
            Err(_) | Ok(()) => {}
        }
        is_first = false;
        let wait = follower.until_due().map_or(next_round, |due| next_round.min(Instant::now() + due));
        if stop.run_until_cancelled(tokio::time::sleep_until(wait)).await.is_none() {
            return Err(Error::interrupted());
        }
    }
}

fn events_wait(error: &Error) -> String {
    format!("events wait in the event feed: {}", error.report())
}

/// Returns whether the next round may succeed where this one failed: the registry did not respond, or refused.
fn may_pass(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Network | ErrorKind::RateLimit)
}
