//! The failure of a request, with the fields that the `outcomes` table records.

use std::fmt;

use crate::error::Error;
use crate::npm::Outcome;

/// A request that failed, and will not succeed after a short wait.
#[derive(Debug)]
pub struct RequestFailure {
    /// The error.
    pub error: Error,
    /// How many requests were sent for it; 0 if none was.
    pub attempts: u32,
    /// The HTTP status of the last response, where there was one.
    pub http_status: Option<u16>,
    /// The outcome to record for the name, after which the run continues: Failed, Oversize, or Blocked for a name that
    /// no URL can express or that a firewall always refuses. `None` if the failure is not about the name and the run
    /// must stop: budget spent, or no good response from the host for as long as patience lasts.
    pub outcome: Option<Outcome>,
}

impl RequestFailure {
    /// Creates a failure that is not about a name.
    pub(super) fn stops_the_run(error: Error, attempts: u32) -> Self {
        RequestFailure { error, attempts, http_status: None, outcome: None }
    }

    /// Adds the interrupted work to the error.
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
