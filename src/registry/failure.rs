//! Why a request has no answer, with what the `outcomes` table wants to know about it.

use std::fmt;

use crate::error::Error;
use crate::npm::Outcome;

/// A request that has no answer, and will not get one by waiting a little.
#[derive(Debug)]
pub struct RequestFailure {
    /// What happened.
    pub error: Error,
    /// How many requests were sent for it; 0 if none was.
    pub attempts: u32,
    /// The HTTP status of the last answer, where there was one.
    pub http_status: Option<u16>,
    /// What to note for the name, with which the run goes on: Failed, Oversize, or Blocked for a name that cannot be
    /// asked for. `None` if the failure is not about the name, and the run must stop: credentials refused, budget
    /// spent, a host that gives no good answer for as long as patience lasts.
    pub outcome: Option<Outcome>,
}

impl RequestFailure {
    /// A failure that no name is to blame for.
    pub(super) fn stops_the_run(error: Error, attempts: u32) -> Self {
        RequestFailure { error, attempts, http_status: None, outcome: None }
    }

    /// Adds what was being done to the error.
    pub(super) fn doing(mut self, what: impl FnOnce() -> String) -> Self {
        self.error = self.error.doing(what());
        self
    }
}

impl fmt::Display for RequestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for RequestFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<RequestFailure> for Error {
    fn from(failure: RequestFailure) -> Self {
        failure.error
    }
}
