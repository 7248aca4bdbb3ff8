//! The workers of a session, and those of them that a statement has lost.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::error::{DataFusionError, Result};
use datafusion_distributed::WorkerResolver;
use url::Url;

use super::Fleet;
use crate::error::Error;

/// The workers of a session.
#[derive(Debug)]
pub(in crate::query) struct Workers {
    fleet: Fleet,
    /// Those that could not be reached. A statement that has returned no rows yet is planned again without them.
    lost: Mutex<BTreeSet<Url>>,
}

impl Workers {
    pub(in crate::query) fn new(fleet: Fleet) -> Arc<Workers> {
        Arc::new(Workers { fleet, lost: Mutex::default() })
    }

    pub(in crate::query) fn token(&self) -> Option<&str> {
        self.fleet.token.as_deref()
    }

    /// Leaves a worker out of the next plan, if it is one of the session's.
    pub(super) fn lose(&self, url: &Url) {
        if self.fleet.workers.contains(url) && self.lost().insert(url.clone()) {
            tracing::warn!(worker = %url, "a worker is lost, and is left out");
        }
    }

    /// Takes the lost workers back: they may have been started again since.
    pub(in crate::query) fn hope(&self) {
        self.lost().clear();
    }

    /// Returns what tells the engine the workers.
    pub(super) fn resolver(workers: &Arc<Workers>) -> impl WorkerResolver + use<> {
        Resolver(Arc::clone(workers))
    }

    fn lost(&self) -> MutexGuard<'_, BTreeSet<Url>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Resolver(Arc<Workers>);

impl WorkerResolver for Resolver {
    fn get_urls(&self) -> Result<Vec<Url>> {
        let lost = self.0.lost();
        let mut left: Vec<Url> = self.0.fleet.workers.iter().filter(|url| !lost.contains(*url)).cloned().collect();
        if let [only] = left.as_slice() {
            // The engine would run what one task can do on this machine. So a worker alone gets two.
            left.push(only.clone());
        }
        if !left.is_empty() {
            return Ok(left);
        }
        let lost: Vec<&str> = lost.iter().map(Url::as_str).collect();
        let error = Error::network(format!("no worker is left: {} cannot be reached", lost.join(", ")))
            .hint("start them with all-docs query-worker, or leave out --workers to run on this machine alone");
        Err(DataFusionError::External(Box::new(error)))
    }
}
