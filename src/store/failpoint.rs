//! Failpoints: a store that fails, or whose process dies, at a chosen operation. For tests only.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Store, local};
use crate::error::{Error, Result};

/// What happens at the chosen operation. It is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The process dies: no later operation is done either.
    Death,
    /// The operation fails, and later ones succeed.
    Once,
    /// The disk is full: this operation and all later ones fail.
    FullDisk,
}

/// Counts the operations that change a store, and fails the chosen one.
#[derive(Clone, Default)]
pub(super) struct Failpoint {
    shared: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    armed: Option<(u64, Failure)>,
    operations: u64,
    failed_at: Option<String>,
}

impl Failpoint {
    pub(super) fn pass(&self, path: &str) -> Result<()> {
        let mut state = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        state.operations += 1;
        let Some((at, failure)) = state.armed else { return Ok(()) };
        let is_due = match failure {
            Failure::Once => state.operations == at,
            Failure::Death | Failure::FullDisk => state.operations >= at,
        };
        if !is_due {
            return Ok(());
        }
        state.failed_at.get_or_insert_with(|| path.to_owned());
        Err(match failure {
            Failure::FullDisk => {
                local::disk_error("write", Path::new(path), io::Error::from(io::ErrorKind::StorageFull))
            }
            Failure::Death | Failure::Once => Error::lake(format!("a scripted failure at {path}")),
        })
    }

    /// Whether nothing is done any more, so that the bytes of an open file do not arrive either.
    pub(super) fn is_down(&self) -> Option<io::Error> {
        let state = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        match state.armed {
            Some((at, Failure::FullDisk)) if state.operations >= at => Some(io::ErrorKind::StorageFull.into()),
            Some((at, Failure::Death)) if state.operations >= at => Some(io::Error::other("a scripted death")),
            _ => None,
        }
    }
}

impl Store {
    /// The same store, but the operation with number `at`, counted from 1, meets `failure`.
    pub(crate) fn failing_at(&self, at: u64, failure: Failure) -> Store {
        let failpoint = Failpoint::default();
        failpoint.shared.lock().unwrap_or_else(PoisonError::into_inner).armed = Some((at, failure));
        Store { failpoint, ..self.clone() }
    }

    /// The path at which the failure came, `None` where the operation with that number was never reached.
    pub(crate) fn failed_at(&self) -> Option<String> {
        self.failpoint.shared.lock().unwrap_or_else(PoisonError::into_inner).failed_at.clone()
    }
}
