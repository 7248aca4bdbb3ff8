//! The keeper of a run that goes on: it drains the feed when that is due, and delivers events to its outputs before.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::output::{Delivery, EventOutputs, deliver};
use super::undelivered::{self, waiting};
use super::{PURPOSE, keep, keep_events, keep_from, old_days};
use crate::commit::Right as _;
use crate::error::Result;
use crate::event::{Drained, FeedFile, feed_files};
use crate::lake::OriginLayout;
use crate::pipeline::lease::{Attempt, Lease, held_by};
use crate::store::Store;

/// The feed is drained when it has this many files …
const MOST_FILES: usize = 16;
/// … or when the oldest is this old.
const OLDEST: Duration = Duration::from_secs(300);
/// How long the end of a run waits for outputs. The next run delivers the rest.
const END_PATIENCE: Duration = Duration::from_secs(30);
/// The same if the run was stopped.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

async fn take_lease(store: &Store, layout: &OriginLayout) -> Result<Lease> {
    match Lease::of_stem(store, layout, OriginLayout::events_lease(), PURPOSE).await? {
        Attempt::Taken(lease) => Ok(lease),
        Attempt::HeldBy(holder) => Err(held_by(&holder, store, layout)),
    }
}

/// Keeps the events of an origin while a run goes on.
pub struct EventKeeper {
    store: Store,
    layout: OriginLayout,
    /// How many days of events are kept; `None` for all.
    keep_days: Option<u32>,
    outputs: Vec<(Arc<Delivery>, AbortOnDropHandle<()>)>,
    /// Held all the time if there are outputs: no other process then has any, or drains.
    lease: Option<Lease>,
}

impl EventKeeper {
    /// Begins to deliver the events of an origin to `outputs`, those first that a run that died has not delivered.
    ///
    /// Fails with [`crate::error::ErrorKind::Lake`] if there are outputs, and another process with outputs is alive.
    pub async fn start(
        store: &Store,
        layout: &OriginLayout,
        outputs: EventOutputs,
        keep_days: Option<u32>,
    ) -> Result<EventKeeper> {
        let mut lease = None;
        if !outputs.is_empty() {
            lease = Some(take_lease(store, layout).await?);
            undelivered::begin(store, layout).await?;
        }
        let outputs = outputs.into_iter().map(|output| {
            let delivery = Arc::new(Delivery::default());
            let task = tokio::spawn(deliver(store.clone(), layout.clone(), output, Arc::clone(&delivery)));
            (delivery, AbortOnDropHandle::new(task))
        });
        let outputs = outputs.collect();
        Ok(EventKeeper { store: store.clone(), layout: layout.clone(), keep_days, outputs, lease })
    }

    /// Tells the outputs of new events, and drains what is due. Call it after commits.
    ///
    /// Fails if an output has failed: standard output that nobody reads any more, a full disk.
    pub async fn tend(&mut self) -> Result<Drained> {
        for (delivery, _) in &self.outputs {
            delivery.wake();
        }
        self.check_outputs()?;
        let files = feed_files(&self.store, &self.layout).await?;
        let now_us = jiff::Timestamp::now().as_microsecond();
        // A time in the future is that of a clock that was wrong.
        let is_old = |seen_at_us: i64| now_us.saturating_sub(seen_at_us).unsigned_abs() >= OLDEST.as_micros() as u64;
        let is_due = files.len() >= MOST_FILES || files.first().is_some_and(|file| is_old(file.seen_at_us));
        let is_due = is_due || !old_days(&self.store, &self.layout, self.keep_from()).await?.is_empty();
        if is_due { self.drain().await } else { Ok(Drained::default()) }
    }

    /// Delivers all events, as far as the outputs take them within half a minute, or within a few seconds after `stop`;
    /// then drains. The next process with outputs delivers the rest.
    pub async fn end(mut self, stop: &CancellationToken) -> Result<Drained> {
        let patience = async {
            if tokio::time::timeout(END_PATIENCE, stop.cancelled()).await.is_ok() {
                tokio::time::sleep(STOP_PATIENCE).await;
            }
        };
        let delivered = tokio::select! {
            biased;
            delivered = self.deliver_all() => delivered,
            () = patience => Ok(false),
        };
        let drained = self.drain().await;
        let checked = self.check_outputs();
        let EventKeeper { store, layout, outputs, lease, .. } = self;
        let is_complete = matches!(delivered, Ok(true)) && !outputs.is_empty();
        drop(outputs);
        let forgotten = if is_complete { store.delete(&layout.event_outputs()).await } else { Ok(()) };
        let ended = match lease {
            Some(lease) => lease.end().await,
            None => Ok(()),
        };
        // The first error is the one to report.
        let drained = drained?;
        checked.and(forgotten).and(ended).map(|()| drained)
    }

    /// Waits until each output has all events. Returns whether none has failed.
    async fn deliver_all(&self) -> Result<bool> {
        if self.outputs.is_empty() {
            return Ok(true);
        }
        let waiting = waiting(&self.store, &self.layout).await?;
        let mut are_sound = true;
        for (delivery, _) in &self.outputs {
            delivery.wake();
            while !delivery.has_ended() && !waiting.iter().all(|file| delivery.has(file)) {
                delivery.progress().await;
            }
            are_sound &= !delivery.has_ended();
        }
        Ok(are_sound)
    }

    fn check_outputs(&self) -> Result<()> {
        self.outputs.iter().find_map(|(delivery, _)| delivery.failure()).map_or(Ok(()), Err)
    }

    fn keep_from(&self) -> Option<Date> {
        self.keep_days.map(keep_from)
    }

    /// Drains the feed. Notes before what outputs have not received.
    async fn drain(&mut self) -> Result<Drained> {
        if self.outputs.is_empty() {
            return keep_events(&self.store, &self.layout, self.keep_from()).await;
        }
        if self.lease.as_ref().is_none_or(|lease| lease.watch().check().is_err()) {
            // It was lost while this process stood still.
            self.lease = Some(take_lease(&self.store, &self.layout).await?);
        }
        let Some(lease) = &self.lease else { return Ok(Drained::default()) };
        lease.watch().check()?;
        let files = feed_files(&self.store, &self.layout).await?;
        let have = |file: &FeedFile| self.outputs.iter().all(|(delivery, _)| delivery.has(file));
        undelivered::note(&self.store, &self.layout, &files, have).await?;
        keep(&self.store, &self.layout, &lease.watch(), files, self.keep_from()).await
    }
}
