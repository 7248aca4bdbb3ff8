//! The permit of a request that was admitted, by this process or by the host's coordinator.

use super::Observation;
use super::local::LocalPermit;
#[cfg(unix)]
use super::shared::LinkPermit;

/// Which process admitted a request.
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
    /// Whether a refusal is the name's rather than the host's: see [`Observation::Refused`].
    pub(in crate::registry) refusals_are_about_name: bool,
}

impl Permit {
    pub(super) fn new(admitted: Admitted) -> Permit {
        Permit { admitted, refusals_are_about_name: false }
    }

    /// Tells the controller what the request met. At most once.
    pub(in crate::registry) fn observe(&self, observation: Observation) {
        match &self.admitted {
            Admitted::Local(permit) => permit.observe(observation),
            #[cfg(unix)]
            Admitted::Link(permit) => permit.observe(observation),
        }
    }

    /// Leaves the place among the requests in flight to others until the guard is dropped: what waits here for memory may
    /// wait for one that has no place.
    pub(in crate::registry) fn step_aside(&self) -> Aside<'_> {
        match &self.admitted {
            Admitted::Local(permit) => permit.step_aside(),
            #[cfg(unix)]
            Admitted::Link(permit) => permit.step_aside(),
        }
        Aside { admitted: &self.admitted }
    }
}

/// A request that is not read from for now.
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
