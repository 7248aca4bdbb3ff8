//! One controller for all processes of a user and machine, or of a fleet, that use one host.
//!
//! The first process is the host's coordinator. Its own requests pass through its own gate; those of the others arrive
//! through a socket and wait there too. The end of a connection gives its permits back. When the coordinator ends, or
//! is silent for [`message::SILENCE`], the others compete for its seat. The next coordinator learns the last limits and
//! the requests in flight, and allows no more than that. If the folder cannot be used, each process has its own gate; the
//! processes of a fleet wait until they can meet.

mod link;
mod message;
mod place;
mod seat;
mod session;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::GivenUp;
use super::handover::Snapshot;
use super::local::{LocalGate, OWN};
use super::permit::Admitted;
use crate::registry::config::HostLimits;
use link::Link;
pub(super) use link::LinkPermit;
use message::{Ended, SILENCE, ToCoordinator};
pub(in crate::registry) use place::Place;
use place::{AnySeat, Stream};
pub use seat::runtime_folder;
use session::{BEAT, Session, serve};

/// How long the members of the previous coordinator have to come to the next one.
const GATHERING: Duration = Duration::from_secs(1);

/// The part of a gate that other processes share.
#[derive(Debug)]
pub(super) struct Membership {
    place: Place,
    shared: Arc<Shared>,
    /// Runs from the first request on.
    task: OnceLock<AbortOnDropHandle<()>>,
    outbox: Mutex<Option<UnboundedReceiver<ToCoordinator>>>,
}

#[derive(Debug)]
struct Shared {
    local: Arc<LocalGate>,
    link: Arc<Link>,
    /// Whether this process admits its own requests.
    leads: watch::Sender<bool>,
}

impl Membership {
    pub(super) fn new(place: Place, local: Arc<LocalGate>, limits: HostLimits, share: NonZeroU32) -> Membership {
        let (link, outbox) = Link::new(limits, share);
        let shared = Arc::new(Shared { local, link, leads: watch::Sender::new(false) });
        Membership { place, shared, task: OnceLock::new(), outbox: Mutex::new(Some(outbox)) }
    }

    /// Takes part from now on, not from the first request on.
    pub(super) fn join(&self) {
        self.task.get_or_init(|| self.start());
    }

    /// Waits until a request may leave.
    pub(super) async fn enter(&self) -> Result<Admitted, GivenUp> {
        self.join();
        let mut leads = self.shared.leads.subscribe();
        loop {
            if !*leads.borrow_and_update() {
                return self.shared.link.enter().await.map(Admitted::Link);
            }
            tokio::select! {
                entered = self.shared.local.enter() => return entered.map(Admitted::Local),
                _ = leads.wait_for(|leads| !leads) => {}
            }
        }
    }

    /// Returns the state of the gate.
    pub(super) fn snapshot(&self) -> Snapshot {
        let told = if *self.shared.leads.borrow() { None } else { self.shared.link.standing() };
        told.unwrap_or_else(|| self.shared.local.snapshot())
    }

    /// Returns how many requests wait to leave, as far as is known.
    pub(super) fn waiting(&self) -> u32 {
        self.snapshot().waiting.max(self.shared.link.waiting())
    }

    pub(super) fn set_limits(&self, limits: HostLimits, share: NonZeroU32) {
        self.shared.link.set_limits(limits, share);
    }

    /// Returns whether this process admits the requests of all.
    #[cfg(test)]
    pub(super) fn leads(&self) -> bool {
        *self.shared.leads.borrow()
    }

    /// Creates a member of `coordinator`'s gate, at the other end of a pipe without delay.
    #[cfg(test)]
    pub(super) fn of(coordinator: Arc<LocalGate>, limits: HostLimits) -> Membership {
        let (local, share) = (LocalGate::new("model", limits.clone(), NonZeroU32::MIN), NonZeroU32::MIN);
        let place = Place::folder(std::path::Path::new(""), "model");
        let membership = Membership::new(place, local, limits, share);
        let (here, there) = tokio::io::duplex(1 << 16);
        let outbox = membership.outbox.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (link, (greeted, _)) = (Arc::clone(&membership.shared.link), unbounded_channel());
        let task = tokio::spawn(async move {
            let Some(mut outbox) = outbox else { return };
            let attended = link::attend(&link, &mut outbox, here);
            tokio::join!(attended, serve(coordinator, OWN + 1, 1, there, greeted));
        });
        membership.task.get_or_init(|| AbortOnDropHandle::new(task));
        membership
    }

    fn start(&self) -> AbortOnDropHandle<()> {
        let outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner).take();
        let outbox = outbox.unwrap_or_else(|| self.shared.link.begin_again(None));
        AbortOnDropHandle::new(tokio::spawn(Arc::clone(&self.shared).take_part(self.place.clone(), outbox)))
    }
}

impl Shared {
    /// Leads, or follows the coordinator, until the gate is dropped.
    async fn take_part(self: Arc<Self>, place: Place, mut outbox: UnboundedReceiver<ToCoordinator>) {
        let mut unreachable_since = None;
        loop {
            match place.take().await {
                Ok(None) => {
                    if !self.follow(&place, &mut outbox, &mut unreachable_since).await {
                        continue;
                    }
                }
                Ok(Some(seat)) => self.lead(Some(seat), &mut outbox).await,
                // The folder is unusable: this process runs a gate of its own.
                Err(_) if place.is_optional() => self.lead(None, &mut outbox).await,
                Err(error) => {
                    tracing::debug!(%error, "the processes of the fleet cannot be reached now");
                    tokio::time::sleep(place.retry()).await;
                    continue;
                }
            }
            self.leads.send_replace(false);
            outbox = self.link.begin_again(Some(outbox));
        }
    }

    /// Follows the coordinator until it ends. Returns whether one could be reached.
    async fn follow(
        &self,
        place: &Place,
        outbox: &mut UnboundedReceiver<ToCoordinator>,
        unreachable_since: &mut Option<Instant>,
    ) -> bool {
        let (begun, lock) = (Instant::now(), place.lock_file());
        let is_reached = match place.connect().await {
            Ok(stream) => {
                *unreachable_since = None;
                if link::attend(&self.link, outbox, stream).await == Ended::Silent {
                    place.vacate(lock);
                }
                true
            }
            // It has the seat and does not listen yet, unless somebody took its socket away.
            Err(_) => {
                if unreachable_since.get_or_insert(begun).elapsed() >= SILENCE {
                    *unreachable_since = None;
                    place.vacate(lock);
                }
                false
            }
        };
        if begun.elapsed() < place.retry() {
            tokio::time::sleep(place.retry()).await;
        }
        is_reached
    }

    /// Admits the requests of all processes until the seat is lost; without a seat, those of this one.
    async fn lead(&self, mut seat: Option<AnySeat>, outbox: &mut UnboundedReceiver<ToCoordinator>) {
        let coordinator = fastrand::u64(..);
        // No request leaves before the members with requests in flight are here.
        let mut gathering = self.local.head().await;
        let was_member = self.link.has_orders();
        let members_before = seat.as_ref().map_or(0, AnySeat::members_before);
        let mut missing = members_before.saturating_sub(u32::from(was_member));
        let (own, mut replies) = Session::new(Arc::clone(&self.local), OWN);
        while let Ok(message) = outbox.try_recv() {
            own.take(message, coordinator);
        }
        self.leads.send_replace(true);
        let (greet, mut greeted) = unbounded_channel();
        let (mut sessions, mut next_member) = (FuturesUnordered::new(), OWN + 1);
        let begun = Instant::now();
        let mut beat = tokio::time::interval(BEAT);
        // Declared last, so it is dropped first.
        let _reign = Reign::begin(&self.local);
        loop {
            if missing == 0 || begun.elapsed() >= GATHERING {
                drop(gathering.take());
            }
            tokio::select! {
                Some(message) = outbox.recv() => own.take(message, coordinator),
                Some(reply) = replies.recv() => self.link.hear(reply),
                Ok(stream) = accept(seat.as_mut()) => {
                    let session = serve(Arc::clone(&self.local), next_member, coordinator, stream, greet.clone());
                    sessions.push(AbortOnDropHandle::new(tokio::spawn(session)));
                    next_member += 1;
                }
                Some(was_with_another) = greeted.recv() => missing = missing.saturating_sub(u32::from(was_with_another)),
                Some(_) = sessions.next() => {}
                _ = beat.tick() => {}
            }
            if let Some(seat) = &mut seat
                && !seat.keep(self.local.other_processes())
            {
                return;
            }
        }
    }
}

/// The time within which a local gate decides.
struct Reign<'a>(&'a LocalGate);

impl<'a> Reign<'a> {
    fn begin(local: &'a LocalGate) -> Reign<'a> {
        local.suspend(false);
        Reign(local)
    }
}

impl Drop for Reign<'_> {
    fn drop(&mut self) {
        self.0.suspend(true);
    }
}

async fn accept(seat: Option<&mut AnySeat>) -> std::io::Result<Box<dyn Stream>> {
    match seat {
        Some(seat) => seat.accept().await,
        None => std::future::pending().await,
    }
}
