//! Failpoints: a store that fails, or whose process dies, at a chosen step. For tests only.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::step::Step;
use super::{Backend, Store};

/// The event at the chosen step. The step is not done; a write is half done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The process dies: no later step is done either.
    Death,
    /// The step fails, and later ones succeed.
    Once,
    /// The disk is full: this step fails, and so do all later ones that need space.
    FullDisk,
    /// The step waits for [`Store::let_go`], and is done then. On a disk only.
    Held,
}

/// A step that was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) step: Step,
    /// The path that it changes, from the store's root; the new name of a file to be renamed.
    pub(crate) path: String,
    /// How often the same step was reached before.
    before: u64,
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} ({} before)", self.step, self.path, self.before)
    }
}

#[derive(Debug, Clone)]
enum Chosen {
    /// Counted from 1.
    Number(u64),
    Step(Reached),
}

/// Records the steps of a store, and fails the chosen one.
#[derive(Clone, Default)]
pub(super) struct Failpoint {
    armed: Option<(Chosen, Failure)>,
    state: Arc<Mutex<State>>,
    let_go: Arc<Condvar>,
}

#[derive(Default)]
struct State {
    reached: Vec<Reached>,
    before: HashMap<(Step, String), u64>,
    failed_at: Option<Reached>,
    is_let_go: bool,
}

impl Failpoint {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pass(&self, step: Step, path: &str) -> io::Result<()> {
        let mut state = self.state();
        let count = state.before.entry((step, path.to_owned())).or_default();
        let reached = Reached { step, path: path.to_owned(), before: *count };
        *count += 1;
        state.reached.push(reached.clone());
        let Some((chosen, failure)) = &self.armed else { return Ok(()) };
        let is_chosen = match chosen {
            Chosen::Number(number) => state.reached.len() as u64 == *number,
            Chosen::Step(chosen) => reached == *chosen,
        };
        if is_chosen {
            state.failed_at = Some(reached);
        }
        if is_chosen && *failure == Failure::Held {
            let waited = self.let_go.wait_while(state, |state| !state.is_let_go);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            return Ok(());
        }
        match failure {
            Failure::Death if state.failed_at.is_some() => Err(io::Error::other("a scripted death")),
            Failure::FullDisk if state.failed_at.is_some() && step.needs_room() => {
                Err(io::ErrorKind::StorageFull.into())
            }
            Failure::Once if is_chosen => Err(io::Error::other("a scripted failure")),
            _ => Ok(()),
        }
    }

    /// Returns whether the failure is the death of the process.
    pub(super) fn is_of_death(&self) -> bool {
        matches!(self.armed, Some((_, Failure::Death)))
    }
}

impl Step {
    /// Returns whether the step fails on a full disk. A file's bytes may get their space only when they are synced.
    pub(crate) fn needs_room(self) -> bool {
        matches!(self, Step::CreateFolder | Step::CreateFile | Step::Write | Step::SyncFile | Step::Put)
    }
}

impl Store {
    /// Returns the same store, but the step with this number, counted from 1, meets `failure`.
    pub(crate) fn failing_at(&self, number: u64, failure: Failure) -> Store {
        self.armed(Chosen::Number(number), failure)
    }

    /// Returns the same store, but a step that an earlier run of the same work reached meets `failure`.
    pub(crate) fn failing_before(&self, step: &Reached, failure: Failure) -> Store {
        self.armed(Chosen::Step(step.clone()), failure)
    }

    fn armed(&self, chosen: Chosen, failure: Failure) -> Store {
        let failpoint = Failpoint { armed: Some((chosen, failure)), ..Failpoint::default() };
        let mut store = self.clone();
        match &mut store.backend {
            Backend::Local(disk) => disk.failpoint = failpoint,
            Backend::Memory(_) => store.memory_failpoint = failpoint,
        }
        store
    }

    fn failpoint(&self) -> &Failpoint {
        match &self.backend {
            Backend::Local(disk) => &disk.failpoint,
            Backend::Memory(_) => &self.memory_failpoint,
        }
    }

    /// Lets the held step continue.
    pub(crate) fn let_go(&self) {
        self.failpoint().state().is_let_go = true;
        self.failpoint().let_go.notify_all();
    }

    /// Returns the step of the failure, `None` if it was never reached.
    pub(crate) fn failed_at(&self) -> Option<Reached> {
        self.failpoint().state().failed_at.clone()
    }

    /// Returns the steps since the last call, in their order, and resets their count.
    pub(crate) fn take_reached(&self) -> Vec<Reached> {
        std::mem::take(&mut *self.failpoint().state()).reached
    }
}
