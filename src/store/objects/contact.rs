//! The state of the contact with a bucket: how long its failures are waited out, and what is said about them meanwhile. Not
//! here: the attempts themselves (`retrying`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// An operation is given up after this time, which is long enough for a server to be restarted.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same before the first response: an address or a server is then more likely wrong than restarting. Also after an
/// operation was given up, so that the steps that end a run do not wait a minute each, and after the run was asked to stop.
const SHORT_PATIENCE: Duration = Duration::from_secs(8);
/// The longest time for the first response.
pub(super) const FIRST_LIMIT: Duration = Duration::from_secs(10);

/// The contact of the clones of one client with its bucket.
#[derive(Debug, Default)]
pub(super) struct Contact {
    /// Whether the last operation that ended has ended with a response.
    has_responded: AtomicBool,
    is_hurried: AtomicBool,
    trouble: Mutex<Option<Trouble>>,
}

/// Failures without a response in between.
#[derive(Debug)]
struct Trouble {
    since: Instant,
    /// The last failure.
    told: String,
}

impl Contact {
    /// Returns whether the next attempt is the first one that the bucket may respond to.
    pub(super) fn is_first(&self) -> bool {
        !self.has_responded.load(Ordering::Relaxed)
    }

    /// Returns the time after which an operation is given up.
    pub(super) fn patience(&self) -> Duration {
        let is_short = self.is_first() || self.is_hurried.load(Ordering::Relaxed);
        if is_short { SHORT_PATIENCE } else { PATIENCE }
    }

    pub(super) fn note_response(&self) {
        self.has_responded.store(true, Ordering::Relaxed);
        *self.trouble() = None;
    }

    /// Notes a failure after which an operation is tried again.
    pub(super) fn note_failure(&self, told: String) {
        let mut trouble = self.trouble();
        let since = trouble.as_ref().map_or_else(Instant::now, |trouble| trouble.since);
        *trouble = Some(Trouble { since, told });
    }

    pub(super) fn note_given_up(&self) {
        self.has_responded.store(false, Ordering::Relaxed);
    }

    /// See [`crate::store::Store::hurry`].
    pub(super) fn hurry(&self) {
        self.is_hurried.store(true, Ordering::Relaxed);
    }

    /// See [`crate::store::Store::trouble`].
    pub(super) fn told(&self, at_least: Duration) -> Option<String> {
        let trouble = self.trouble();
        trouble.as_ref().filter(|trouble| trouble.since.elapsed() >= at_least).map(|trouble| trouble.told.clone())
    }

    fn trouble(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
