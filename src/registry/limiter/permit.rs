//! The permit of an admitted request, from this process or from the host's coordinator.

use std::time::Duration;

use super::Observation;
use super::local::LocalPermit;
#[cfg(unix)]
use super::shared::LinkPermit;

/// The process that admitted a request.
#[derive(Debug)]
pub(super) enum Admitted {
    /// This one.
    Local(LocalPermit),
    /// The host's coordinator.
    #[cfg(unix)]
    Link(LinkPermit),
}

/// The right to have one request in flight.
#[derive(Debug)]
pub(in crate::registry) struct Permit {
    admitted: Admitted,
    /// Whether a refusal concerns the name rather than the host: see [`Observation::Refused`].
    pub(in crate::registry) refusals_are_about_name: bool,
    /// Whether a server that is down concerns the host, rather than a name that is one of the last.
    pub(in crate::registry) failures_are_about_host: bool,
    /// Whether the same holds if nobody listens: always, unless it was never reached behind a redirect.
    pub(in crate::registry) is_of_known_host: bool,
    /// A refusal for longer than this concerns the name: the host has served others since it last refused so.
    pub(in crate::registry) longest_refusal: Option<Duration>,
}

impl Permit {
    pub(super) fn new(admitted: Admitted) -> Permit {
        Permit {
            admitted,
            refusals_are_about_name: false,
            failures_are_about_host: false,
            is_of_known_host: false,
            longest_refusal: None,
        }
    }

    /// Reports the outcome of the request to the controller. At most once.
    pub(in crate::registry) fn observe(&self, observation: Observation) {
        match &self.admitted {
            Admitted::Local(permit) => permit.observe(observation),
            #[cfg(unix)]
            Admitted::Link(permit) => permit.observe(observation),
        }
    }

    /// Frees the place among the requests in flight until the guard is dropped: a request that waits here for memory
    /// may wait for one that has no place.
    pub(in crate::registry) fn step_aside(&self) -> Aside<'_> {
        match &self.admitted {
            Admitted::Local(permit) => permit.step_aside(),
            #[cfg(unix)]
            Admitted::Link(permit) => permit.step_aside(),
        }
        Aside { admitted: &self.admitted }
    }
}

/// A request that is not read for now.
#[derive(Debug)]
pub(in crate::registry) struct Aside<'a> {
    admitted: &'a Admitted,
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        match self.admitted {
            Admitted::Local(permit) => permit.step_back(),
            #[cfg(unix)]
            Admitted::Link(permit) => permit.step_back(),
        }
    }
}
