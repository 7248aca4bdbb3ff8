//! The gate of one host, which every request passes before it leaves.
//!
//! Not here: the decision (`limiter.rs`), the queue (`local.rs`), and other processes (`shared.rs`).

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::GivenUp;
use super::handover::Snapshot;
use super::local::{LocalGate, OWN};
use super::permit::{Admitted, Permit};
#[cfg(unix)]
use super::shared::{Membership, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::registry::config::HostLimits;

/// Shared by all users of one host.
#[derive(Debug, Clone)]
pub(in crate::registry) struct Gate {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    host: String,
    limits: HostLimits,
    share: Mutex<NonZeroU32>,
    local: Arc<LocalGate>,
    #[cfg(unix)]
    membership: Option<Membership>,
}

/// The visible state of a gate: that of all processes if they share it.
#[derive(Debug, Clone, PartialEq)]
pub struct GateStatus {
    /// Host and port.
    pub host: String,
    /// Requests in flight.
    pub in_flight: u32,
    /// Requests that may be in flight at present.
    pub concurrency: u32,
    /// The present limit on requests per second, if there is one.
    pub requests_per_second: Option<f64>,
    /// How long no request leaves, if the gate is closed.
    pub closed_for: Option<Duration>,
    /// After how long without a good response the host is given up, if its last response was none.
    pub gives_up_in: Option<Duration>,
}

impl Gate {
    /// Creates a gate with one part in `share` of `limits`. With a `place`, all processes that name it share one gate of
    /// this host.
    pub(in crate::registry) fn new(
        host: String,
        limits: HostLimits,
        share: NonZeroU32,
        #[cfg(unix)] place: Option<Place>,
    ) -> Self {
        let local = LocalGate::new(&host, limits.clone(), share);
        #[cfg(unix)]
        let membership = place.map(|place| Membership::new(place, Arc::clone(&local), limits.clone(), share));
        let share = Mutex::new(share);
        let inner = Inner {
            host,
            limits,
            share,
            local,
            #[cfg(unix)]
            membership,
        };
        Gate { inner: Arc::new(inner) }
    }

    /// Waits until a request may leave. The permit must live until the response's body is drained.
    ///
    /// Fails when the host has given no good response for as long as patience lasts: of kind RateLimit if it refused,
    /// Network if it was silent.
    pub(in crate::registry) async fn enter(&self) -> Result<Permit> {
        let admitted = self.admitted().await.map_err(|given_up| self.given_up(given_up))?;
        Ok(Permit::new(admitted))
    }

    /// Creates the gate of another process that goes through this one.
    #[cfg(all(test, unix))]
    pub(super) fn of_another_process(&self, limits: HostLimits) -> Gate {
        let gate = Gate::new(self.inner.host.clone(), limits.clone(), NonZeroU32::MIN, None);
        let Inner { host, limits, share, local, .. } = Arc::into_inner(gate.inner).expect("the only one");
        let membership = Some(Membership::of(Arc::clone(&self.inner.local), limits.clone()));
        Gate { inner: Arc::new(Inner { host, limits, share, local, membership }) }
    }

    /// Returns whether this process admits the requests of all.
    #[cfg(all(test, unix))]
    pub(super) fn leads(&self) -> bool {
        self.inner.membership.as_ref().is_some_and(Membership::leads)
    }

    async fn admitted(&self) -> Result<Admitted, GivenUp> {
        #[cfg(unix)]
        if let Some(membership) = &self.inner.membership {
            return membership.enter().await;
        }
        self.inner.local.enter().await.map(Admitted::Local)
    }

    /// Counts among the processes that share the gate from now on, not from the first request on.
    pub(in crate::registry) fn join(&self) {
        #[cfg(unix)]
        if let Some(membership) = &self.inner.membership {
            membership.join();
        }
    }

    /// Takes one part in `share` of the limits from now on.
    pub(in crate::registry) fn set_share(&self, share: NonZeroU32) {
        let before = std::mem::replace(&mut *self.inner.share.lock().unwrap_or_else(PoisonError::into_inner), share);
        if before == share {
            return;
        }
        let limits = self.inner.limits.clone();
        #[cfg(unix)]
        if let Some(membership) = &self.inner.membership {
            membership.set_limits(limits, share);
            return;
        }
        self.inner.local.set_limits(OWN, Some((limits, share)));
    }

    /// Returns the state of the gate.
    pub(in crate::registry) fn status(&self) -> GateStatus {
        let Snapshot { in_flight, concurrency, requests_per_second, closed_for, trouble, .. } = self.snapshot();
        // The whole part; it lies between 1 and a u32.
        let concurrency = (concurrency as u32).max(1);
        let gives_up_in = trouble.map(|(lasted, _)| self.inner.limits.patience.saturating_sub(lasted));
        let host = self.inner.host.clone();
        GateStatus { host, in_flight, concurrency, requests_per_second, closed_for, gives_up_in }
    }

    fn snapshot(&self) -> Snapshot {
        #[cfg(unix)]
        if let Some(membership) = &self.inner.membership {
            return membership.snapshot();
        }
        self.inner.local.snapshot()
    }

    /// Returns how many requests wait to leave.
    pub(in crate::registry) fn waiting(&self) -> u32 {
        #[cfg(unix)]
        if let Some(membership) = &self.inner.membership {
            return membership.waiting();
        }
        self.inner.local.waiting()
    }

    /// Returns how long refusals are waited out.
    pub(in crate::registry) fn patience(&self) -> Duration {
        self.inner.limits.patience
    }

    /// Returns the host and port.
    pub(in crate::registry) fn host(&self) -> &str {
        &self.inner.host
    }

    fn given_up(&self, GivenUp { refused, named }: GivenUp) -> Error {
        let (host, patience) = (self.host(), said(self.inner.limits.patience));
        let again = "it does not request again what is in the lake";
        if let Some(named) = named {
            let until = jiff::Timestamp::now() + named;
            let until = until.strftime("%Y-%m-%d %H:%M:%S UTC");
            return Error::new(
                ErrorKind::RateLimit,
                format!("{host} refuses all requests until {until}, by its own word (Retry-After), and --patience is {patience}"),
            )
            .hint(format!("run the same command again then, or with a longer --patience; {again}"));
        }
        if refused {
            Error::new(ErrorKind::RateLimit, format!("{host} has refused every request for {patience}")).hint(format!(
                "run the same command again later, or with a longer --patience or a lower --rate; {again}"
            ))
        } else {
            Error::network(format!("{host} has given no good response for {patience}")).hint(
                "check the network and the server, then run the same command again; --patience says how long to wait",
            )
        }
    }
}

/// Says a duration in its largest unit that needs no fraction: `1 h`, `90 min`, `20 s`.
fn said(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 3600 && seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
        seconds if seconds >= 60 && seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}
