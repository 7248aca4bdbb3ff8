//! The places of workers: which of them is free, and which is set aside because it cannot be reached.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::{Error, Result};

/// The pause of a worker that cannot be reached; each further one is twice as long, up to the longest.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// More places of a worker are not believed.
const MOST_PLACES: usize = 1024;

/// The places of all workers.
pub(super) struct Places {
    state: Mutex<State>,
    /// A place became free.
    freed: Notify,
    /// How long no worker may be reached before the run ends.
    patience: Duration,
}

struct State {
    of_workers: Vec<WorkerState>,
    /// When a worker answered last.
    answered_at: Instant,
    /// The same, to be told.
    answered_when: jiff::Timestamp,
    /// Why one could not be reached last.
    why: String,
    /// Where the next search for a free worker begins.
    next: usize,
}

#[derive(Debug, Clone)]
struct WorkerState {
    places: usize,
    busy: usize,
    closed_until: Instant,
    failures: u32,
    /// Whether it is known to work on the lake of the run.
    is_known: bool,
}

/// A place of a worker, until it is dropped.
pub(super) struct Place<'a> {
    places: &'a Places,
    /// The index of the worker.
    pub(super) worker: usize,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.places.change(self.worker, |worker| worker.busy -= 1);
        self.places.freed.notify_waiters();
    }
}

impl Places {
    /// Makes the places of workers: `None` for one that did not answer, which is taken for as large as the largest.
    pub(super) fn new(of_workers: &[Option<usize>], patience: Duration) -> Places {
        let (now, most) = (Instant::now(), of_workers.iter().flatten().copied().max().unwrap_or(1));
        let state = |places: &Option<usize>| WorkerState {
            places: places.unwrap_or(most).clamp(1, MOST_PLACES),
            busy: 0,
            closed_until: if places.is_some() { now } else { now + FIRST_PAUSE },
            failures: u32::from(places.is_none()),
            is_known: false,
        };
        let state = State {
            of_workers: of_workers.iter().map(state).collect(),
            answered_at: now,
            answered_when: jiff::Timestamp::now(),
            why: String::new(),
            next: 0,
        };
        Places { state: Mutex::new(state), freed: Notify::new(), patience }
    }

    /// Returns how many there are.
    pub(super) fn count(&self) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.of_workers.iter().map(|worker| worker.places).sum()
    }

    /// Returns whether a worker is known to work on the lake of the run.
    pub(super) fn is_known(&self, worker: usize) -> bool {
        self.change(worker, |worker| worker.is_known).unwrap_or(true)
    }

    /// Notes that it does.
    pub(super) fn note_known(&self, worker: usize) {
        self.change(worker, |worker| worker.is_known = true);
    }

    fn change<T>(&self, worker: usize, change: impl FnOnce(&mut WorkerState) -> T) -> Option<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.of_workers.get_mut(worker).map(change)
    }

    /// Waits for a free place.
    ///
    /// Fails if no worker has answered for long.
    pub(super) async fn place(&self) -> Result<Place<'_>> {
        loop {
            let freed = self.freed.notified();
            let opens_at = match self.try_place()? {
                Ok(worker) => return Ok(Place { places: self, worker }),
                Err(opens_at) => opens_at,
            };
            tokio::select! {
                () = freed => {}
                () = tokio::time::sleep_until(opens_at) => {}
            }
        }
    }

    /// Takes a place of the worker that has most, or returns when one may be open.
    fn try_place(&self) -> Result<std::result::Result<usize, Instant>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let count = state.of_workers.len();
        let order = (0..count).map(|place| (state.next + place) % count.max(1));
        let free = |worker: &WorkerState| worker.places.saturating_sub(worker.busy);
        let open = order.filter_map(|index| {
            let worker = state.of_workers.get(index)?;
            (worker.closed_until <= now && free(worker) > 0).then(|| (index, free(worker)))
        });
        let chosen = open.max_by_key(|&(index, free)| (free, std::cmp::Reverse((index + count - state.next) % count)));
        let Some((index, _)) = chosen else {
            let is_nobody_there = state.of_workers.iter().all(|worker| worker.failures > 0);
            if is_nobody_there && state.answered_at.elapsed() >= self.patience {
                return Err(nobody(&state));
            }
            let closed = state.of_workers.iter().map(|worker| worker.closed_until).filter(|until| *until > now);
            let opens_at = closed.min().unwrap_or(now + LONGEST_PAUSE);
            let ends_at = state.answered_at.checked_add(self.patience).filter(|_| is_nobody_there);
            return Ok(Err(ends_at.map_or(opens_at, |ends_at| opens_at.min(ends_at))));
        };
        state.next = (index + 1) % count;
        if let Some(worker) = state.of_workers.get_mut(index) {
            worker.busy += 1;
        }
        Ok(Ok(index))
    }

    /// Notes that a worker can be reached.
    pub(super) fn heard(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.answered_at, state.answered_when) = (Instant::now(), jiff::Timestamp::now());
    }

    /// Notes that a worker answered, and gets no items for `pause`.
    pub(super) fn answered(&self, worker: usize, pause: Duration) {
        self.heard();
        self.change(worker, |worker| {
            worker.failures = 0;
            worker.closed_until = Instant::now() + pause;
        });
    }

    /// Sets a worker that cannot be reached aside for a while.
    pub(super) fn unreachable(&self, worker: usize, why: &str) {
        let set_aside = self.change(worker, |worker| {
            let now = Instant::now();
            // Its other items say the same.
            if worker.closed_until > now {
                return None;
            }
            let pause = (FIRST_PAUSE * 2_u32.saturating_pow(worker.failures.min(10))).min(LONGEST_PAUSE);
            worker.failures += 1;
            worker.closed_until = now + pause;
            Some(pause)
        });
        self.state.lock().unwrap_or_else(PoisonError::into_inner).why = why.to_owned();
        if let Some(pause) = set_aside.flatten() {
            tracing::warn!(why, pause_s = pause.as_secs(), "a worker cannot be reached and is set aside");
        }
    }
}

/// Returns the error of a run whose workers cannot be reached.
fn nobody(state: &State) -> Error {
    let since = state.answered_when.strftime("%Y-%m-%dT%H:%M:%SZ");
    Error::network(format!("no worker can be reached since {since}: {}", state.why))
        .hint("start workers, and run the same command again: what is committed stays; --patience says how long they may be away")
}
