//! The gate of one host: where requests wait for the controller's word.
//!
//! Not here: any decision. Those who wait stand in one queue, and only its head talks to the controller, so waking costs
//! the same for one as for thousands.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};

use super::{Admission, Controller, Observation};
use crate::error::{Error, ErrorKind, Result};
use crate::registry::config::HostLimits;

/// Shared by all that ask one host.
#[derive(Debug, Clone)]
pub(in crate::registry) struct Gate {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    host: String,
    patience: Duration,
    controller: Mutex<Controller>,
    /// One permit: the head of the queue has it.
    turnstile: Semaphore,
    /// Requests that wait for the controller's word.
    waiting: AtomicU32,
    /// Told when a request ends or an observation may have changed the answer.
    changed: Notify,
}

impl Shared {
    fn controller(&self) -> MutexGuard<'_, Controller> {
        // A panic elsewhere leaves counters that are at worst off by one.
        self.controller.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is seen of a gate from outside.
#[derive(Debug, Clone, PartialEq)]
pub struct GateStatus {
    /// Host and port.
    pub host: String,
    /// Requests in flight.
    pub in_flight: u32,
    /// Requests that may be in flight at present.
    pub concurrency: u32,
    /// Requests per second at present, where they are bounded.
    pub requests_per_second: Option<f64>,
    /// How long no request leaves, if so.
    pub closed_for: Option<Duration>,
}

impl Gate {
    pub(in crate::registry) fn new(host: String, limits: HostLimits) -> Self {
        let patience = limits.patience;
        let controller = Mutex::new(Controller::new(limits));
        let shared = Shared {
            host,
            patience,
            controller,
            turnstile: Semaphore::new(1),
            waiting: AtomicU32::new(0),
            changed: Notify::new(),
        };
        Gate { shared: Arc::new(shared) }
    }

    /// Waits until a request may leave. The permit must live until the answer's body is drained.
    ///
    /// Fails when the host has given no good answer for as long as patience lasts: of kind RateLimit if it refused,
    /// Network if it was silent.
    pub(in crate::registry) async fn enter(&self) -> Result<Permit> {
        let _waiter = Waiter::new(&self.shared.waiting);
        let _head =
            self.shared.turnstile.acquire().await.map_err(|_| Error::internal("the gate of a host was closed"))?;
        loop {
            let now = now();
            // The guard must not live into the wait.
            let admission = self.shared.controller().admit(now);
            match admission {
                Admission::Go { probe } => {
                    let shared = self.shared.clone();
                    return Ok(Permit { shared, sent_at: now, probe, refusals_are_about_name: false });
                }
                // A refusal may close the gate for longer meanwhile; that is found on waking.
                Admission::At(instant) => tokio::time::sleep_until(instant.into()).await,
                Admission::WhenReleased => self.shared.changed.notified().await,
                Admission::GivenUp { refused } => return Err(self.given_up(refused)),
            }
        }
    }

    /// How the gate stands.
    pub(in crate::registry) fn status(&self) -> GateStatus {
        let now = now();
        let controller = self.shared.controller();
        GateStatus {
            host: self.shared.host.clone(),
            in_flight: controller.in_flight(),
            concurrency: controller.allowed(),
            requests_per_second: controller.rate(now),
            closed_for: controller.closed_for(now),
        }
    }

    /// How many requests wait to leave.
    pub(in crate::registry) fn waiting(&self) -> u32 {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    /// Host and port.
    pub(in crate::registry) fn host(&self) -> &str {
        &self.shared.host
    }

    fn given_up(&self, refused: bool) -> Error {
        let (host, minutes) = (self.host(), self.shared.patience.as_secs_f64() / 60.0);
        if refused {
            Error::new(ErrorKind::RateLimit, format!("{host} has refused every request for {minutes:.0} minutes")).hint(
                "run the same command again later, or with a lower --rate; what is in the lake is not asked for again",
            )
        } else {
            Error::network(format!("{host} has given no good answer for {minutes:.0} minutes"))
                .hint("check the network and the server, then run the same command again")
        }
    }
}

/// Counts one that waits, until it is dropped.
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
pub(in crate::registry) struct Permit {
    shared: Arc<Shared>,
    sent_at: Instant,
    probe: bool,
    /// Whether a refusal is the name's rather than the host's: see [`Observation::Refused`].
    pub(in crate::registry) refusals_are_about_name: bool,
}

impl Permit {
    /// Tells the controller what the request met. At most once.
    pub(in crate::registry) fn observe(&self, observation: Observation) {
        self.shared.controller().observe(self.sent_at, now(), observation, fastrand::f64());
        self.shared.changed.notify_one();
    }
}

impl Permit {
    /// Leaves the place among the requests in flight to others until the guard is dropped: what waits here for memory may
    /// wait for one that has no place.
    pub(in crate::registry) fn step_aside(&self) -> Aside<'_> {
        self.shared.controller().step_aside();
        self.shared.changed.notify_one();
        Aside { shared: &self.shared }
    }
}

/// A request that is not read from for now.
#[derive(Debug)]
pub(in crate::registry) struct Aside<'a> {
    shared: &'a Shared,
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        self.shared.controller().step_back();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.controller().leave(self.probe);
        self.shared.changed.notify_one();
    }
}

/// By tokio's clock, which tests can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
