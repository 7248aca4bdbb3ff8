//! The gate of one host within one process, where requests wait for the controller's decision.
//!
//! Not here: any decision (`limiter.rs`), and other processes (`shared.rs`). Requests wait in one queue, and only its
//! head talks to the controller. So waking costs the same for one as for thousands.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};

use super::handover::Snapshot;
use super::{Admission, Controller, GivenUp, Observation};
use crate::registry::config::HostLimits;

/// The key of this process's limits among those of all users of this gate.
pub(super) const OWN: u64 = 0;

/// A controller and its queue.
#[derive(Debug)]
pub(super) struct LocalGate {
    /// Host and port, for events.
    host: String,
    controller: Mutex<Controller>,
    /// The limits of each process, by its number; the strictest hold.
    limits: Mutex<BTreeMap<u64, (HostLimits, NonZeroU32)>>,
    /// Has one permit; the head of the queue holds it.
    turnstile: Semaphore,
    /// Requests that wait for the controller's decision.
    waiting: AtomicU32,
    /// Notified when a request ends or an observation may have changed the decision.
    changed: Notify,
    /// Notified when less is allowed than before.
    reduced: watch::Sender<()>,
    /// Set while another process decides. Changed only with the controller locked.
    is_suspended: AtomicBool,
}

impl LocalGate {
    pub(super) fn new(host: &str, limits: HostLimits, share: NonZeroU32) -> Arc<LocalGate> {
        let mut controller = Controller::new(limits.clone());
        controller.set_limits(&limits, share);
        Arc::new(LocalGate {
            host: host.to_owned(),
            controller: Mutex::new(controller),
            limits: Mutex::new(BTreeMap::from([(OWN, (limits, share))])),
            turnstile: Semaphore::new(1),
            waiting: AtomicU32::new(0),
            changed: Notify::new(),
            reduced: watch::Sender::new(()),
            is_suspended: AtomicBool::new(false),
        })
    }

    /// Waits until a request may leave.
    pub(super) async fn enter(self: &Arc<Self>) -> Result<LocalPermit, GivenUp> {
        let _waiter = Waiter::new(&self.waiting);
        let _head = self.head().await;
        loop {
            let now = now();
            // The guard must not live into the wait.
            let admission = {
                let mut controller = self.controller();
                match self.is_suspended.load(Ordering::Relaxed) {
                    true => Admission::WhenReleased,
                    false => controller.admit(now),
                }
            };
            match admission {
                Admission::Go { probe } => {
                    if probe {
                        tracing::debug!(host = self.host, "the gate opens for one request");
                    }
                    return Ok(self.permit(now, probe));
                }
                // A refusal may close the gate for longer meanwhile; the loop finds that on waking.
                Admission::At(instant) => tokio::time::sleep_until(instant.into()).await,
                Admission::WhenReleased => self.changed.notified().await,
                Admission::GivenUp(given_up) => {
                    tracing::warn!(host = self.host, ?given_up, "the host is given up");
                    return Err(given_up);
                }
            }
        }
    }

    /// Takes the head of the queue: while its holder does not ask the controller, no request is admitted.
    pub(super) async fn head(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.turnstile.acquire().await.ok()
    }

    /// Suspends or resumes admission. A suspended gate admits nobody: other processes give their permits back here
    /// while their requests are still in flight.
    #[cfg(unix)]
    pub(super) fn suspend(&self, is_suspended: bool) {
        let controller = self.controller();
        self.is_suspended.store(is_suspended, Ordering::Relaxed);
        drop(controller);
        self.changed.notify_one();
    }

    /// Counts a request that another controller admitted at `sent_at`.
    #[cfg(unix)]
    pub(super) fn adopt(self: &Arc<Self>, sent_at: Instant) -> LocalPermit {
        self.controller().step_back();
        self.permit(sent_at, false)
    }

    fn permit(self: &Arc<Self>, sent_at: Instant, probe: bool) -> LocalPermit {
        LocalPermit { gate: Arc::clone(self), sent_at, probe, is_aside: AtomicBool::new(false) }
    }

    /// Takes the outcome of a request that was sent at `sent_at`.
    pub(super) fn observe(&self, sent_at: Instant, observation: Observation) {
        let is_reduced = {
            let mut controller = self.controller();
            let (before, was_probing, now) = (controller.restrictions(), controller.is_probing(), now());
            controller.observe(sent_at, now, observation, fastrand::f64());
            let after = controller.restrictions();
            if after != before || was_probing != controller.is_probing() {
                let closed_for_ms = controller.closed_for(now).unwrap_or_default().as_millis();
                let (concurrency, per_second) = (controller.allowed(), controller.rate(now));
                let host = &self.host;
                tracing::debug!(host, ?observation, closed_for_ms, concurrency, per_second, "the pace changes");
            }
            after != before
        };
        self.changed.notify_one();
        if is_reduced {
            self.reduced.send_replace(());
        }
    }

    /// Sets the limits of a process, or forgets them. The strictest of all limits and the smallest of all shares hold.
    pub(super) fn set_limits(&self, process: u64, allowed: Option<(HostLimits, NonZeroU32)>) {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        match allowed {
            Some(allowed) => limits.insert(process, allowed),
            None => limits.remove(&process),
        };
        let strictest = limits
            .values()
            .cloned()
            .reduce(|(one, one_share), (other, other_share)| (one.strictest(&other), one_share.max(other_share)));
        if let Some((limits, share)) = strictest {
            self.controller().set_limits(&limits, share);
        }
        self.changed.notify_one();
        self.reduced.send_replace(());
    }

    /// Returns how many other processes use this gate.
    #[cfg(unix)]
    pub(super) fn other_processes(&self) -> u32 {
        let limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        // There are never that many.
        u32::try_from(limits.len() - usize::from(limits.contains_key(&OWN))).unwrap_or(u32::MAX)
    }

    /// Restricts the controller to the limits of its predecessor.
    #[cfg(unix)]
    pub(super) fn inherit(&self, before: &Snapshot) {
        self.controller().inherit(now(), before);
        self.changed.notify_one();
        self.reduced.send_replace(());
    }

    /// Returns the state of the gate.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.controller().snapshot(now(), self.waiting())
    }

    /// Returns the notification of reductions.
    #[cfg(unix)]
    pub(super) fn reductions(&self) -> watch::Receiver<()> {
        self.reduced.subscribe()
    }

    /// Returns how many requests wait to leave.
    pub(super) fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    fn controller(&self) -> MutexGuard<'_, Controller> {
        // A panic elsewhere leaves counters off by one at worst.
        self.controller.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one waiting request until it is dropped.
struct Waiter<'a>(&'a AtomicU32);

impl<'a> Waiter<'a> {
    fn new(waiting: &'a AtomicU32) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Waiter(waiting)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right to have one request in flight.
#[derive(Debug)]
pub(super) struct LocalPermit {
    gate: Arc<LocalGate>,
    sent_at: Instant,
    probe: bool,
    is_aside: AtomicBool,
}

impl LocalPermit {
    /// Reports the outcome of the request to the controller. At most once.
    pub(super) fn observe(&self, observation: Observation) {
        self.gate.observe(self.sent_at, observation);
    }

    /// Frees the place among the requests in flight for others.
    pub(super) fn step_aside(&self) {
        if !self.is_aside.swap(true, Ordering::Relaxed) {
            self.gate.controller().step_aside();
            self.gate.changed.notify_one();
        }
    }

    /// Takes a place again, at once.
    pub(super) fn step_back(&self) {
        if self.is_aside.swap(false, Ordering::Relaxed) {
            self.gate.controller().step_back();
        }
    }
}

impl Drop for LocalPermit {
    fn drop(&mut self) {
        self.step_back();
        self.gate.controller().leave(self.probe);
        self.gate.changed.notify_one();
    }
}

/// Returns the time by tokio's clock, which tests can stop.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
