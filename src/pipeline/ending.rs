//! The early end of a run that may send no more requests. Nothing new begins; responses in flight still arrive and are
//! staged, because they are paid for. Not here: ends that wait for nothing, as Ctrl-C and lost credentials do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::Error;

/// Whether a run is ending early, and why.
#[derive(Debug, Default)]
pub(super) struct Ending {
    has_begun: AtomicBool,
    why: Mutex<Option<Error>>,
}

impl Ending {
    /// Begins the end. The first reason stays.
    pub(super) fn begin(&self, why: Error) {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.has_begun.store(true, Ordering::Release);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Acquire)
    }

    /// Returns the reason, once; nothing if the end has not begun.
    pub(super) fn outcome(&self) -> Result<(), Error> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}
