//! Failpoints: a store that fails, or whose process dies, at a chosen step. For tests only.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::step::Step;
use super::{Backend, MemoryBucket, ObjectClient, ObjectPath, Store, Url};

/// The event at the chosen step. The step is not done; a write is half done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The process dies: no later step is done either.
    Death,
    /// The same, but the step stands still until [`Store::let_go`]: the process seems alive until then. On a disk only.
    SlowDeath,
    /// The step fails, and later ones succeed.
    Once,
    /// The disk is full: this step fails, and so do all later ones that need space.
    FullDisk,
    /// The step waits for [`Store::let_go`], and is done then. On a disk only.
    Held,
}

/// An access to a file that is not a [`Step`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Opens a shard, or reads a small file as a whole.
    Open,
    /// Reads from an open shard.
    Read,
    /// Renames a file to this path.
    MoveTo,
}

/// Returns the number of the system's error for an access to a path, from the store's root; `None` lets it pass.
type Refusal = Arc<dyn Fn(Access, &str) -> Option<i32> + Send + Sync>;

/// A step that was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) step: Step,
    /// The path that it changes, from the store's root; the new name of a file to be renamed.
    pub(crate) path: String,
    /// How often the same step was reached before.
    pub(crate) before: u64,
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} ({} before)", self.step, self.path, self.before)
    }
}

#[derive(Clone)]
enum Chosen {
    /// Counted from 1.
    Number(u64),
    Step(Reached),
    /// One of the steps for which the function returns true, counted from 0.
    Such(Arc<dyn Fn(&Reached) -> bool + Send + Sync>, u64),
}

/// Records the steps of a store, and fails the chosen one.
#[derive(Clone, Default)]
pub(super) struct Failpoint {
    armed: Option<Arc<(Chosen, Failure)>>,
    state: Arc<Mutex<State>>,
    let_go: Arc<Condvar>,
    /// Sent to after each step.
    news: Arc<watch::Sender<()>>,
    refusal: Option<Refusal>,
    has_no_links: bool,
}

#[derive(Default)]
struct State {
    reached: Vec<Reached>,
    before: HashMap<(Step, String), u64>,
    such: u64,
    failed_at: Option<Reached>,
    is_let_go: bool,
    /// The bytes of each whole write into a file by the process that will die.
    written: HashSet<Vec<u8>>,
}

impl Failpoint {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pass(&self, step: Step, path: &str) -> io::Result<()> {
        let mut state = self.state();
        let death = || Err(io::Error::other("a scripted death"));
        if self.is_of_death() && state.failed_at.is_some() {
            return death();
        }
        let count = state.before.entry((step, path.to_owned())).or_default();
        let reached = Reached { step, path: path.to_owned(), before: *count };
        *count += 1;
        state.reached.push(reached.clone());
        self.news.send_replace(());
        let Some((chosen, failure)) = self.armed.as_deref() else { return Ok(()) };
        let is_chosen = match chosen {
            Chosen::Number(number) => state.reached.len() as u64 == *number,
            Chosen::Step(chosen) => reached == *chosen,
            Chosen::Such(is_such, number) => {
                let is_such = is_such(&reached);
                state.such += u64::from(is_such);
                is_such && state.such == number + 1
            }
        };
        if is_chosen {
            state.failed_at = Some(reached);
        }
        if is_chosen && matches!(failure, Failure::Held | Failure::SlowDeath) {
            let waited = self.let_go.wait_while(state, |state| !state.is_let_go);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        match failure {
            Failure::Death | Failure::SlowDeath if is_chosen => death(),
            Failure::FullDisk if state.failed_at.is_some() && step.needs_room() => {
                Err(io::ErrorKind::StorageFull.into())
            }
            Failure::Once if is_chosen => Err(io::Error::other("a scripted failure")),
            _ => Ok(()),
        }
    }

    pub(super) fn access(&self, access: Access, path: &str) -> io::Result<()> {
        let number = self.refusal.as_ref().and_then(|refusal| refusal(access, path));
        number.map_or(Ok(()), |number| Err(io::Error::from_raw_os_error(number)))
    }

    pub(super) fn has_no_links(&self) -> bool {
        self.has_no_links
    }

    /// Keeps what a process that is to die writes, so that its files can be told from those of others.
    pub(super) fn note_written(&self, bytes: &[u8]) {
        if self.is_of_death() {
            self.state().written.insert(bytes.to_vec());
        }
    }

    /// Returns whether the failure is the death of the process.
    pub(super) fn is_of_death(&self) -> bool {
        matches!(self.armed.as_deref(), Some((_, Failure::Death | Failure::SlowDeath)))
    }
}

impl Step {
    /// Returns whether the step fails on a full disk. A file's bytes may get their space only when they are synced.
    pub(crate) fn needs_room(self) -> bool {
        matches!(self, Step::CreateFolder | Step::CreateFile | Step::Write | Step::SyncFile | Step::Put)
    }
}

impl Store {
    /// Returns a store of a bucket in memory with a new scratch folder: that of another machine, or of a process whose
    /// scratch folder was lost.
    pub(crate) fn of_memory(bucket: &Arc<MemoryBucket>) -> Store {
        let root_url = Url::parse("memory:///").unwrap_or_else(|_| unreachable!("a constant URL"));
        let client = Arc::clone(bucket) as Arc<dyn ObjectClient>;
        Store::of_objects(client, root_url, ObjectPath::ROOT, None)
    }

    /// Returns the same store, but the step with this number, counted from 1, meets `failure`.
    pub(crate) fn failing_at(&self, number: u64, failure: Failure) -> Store {
        self.armed(Chosen::Number(number), failure)
    }

    /// Returns the same store, but a step that an earlier run of the same work reached meets `failure`.
    pub(crate) fn failing_before(&self, step: &Reached, failure: Failure) -> Store {
        self.armed(Chosen::Step(step.clone()), failure)
    }

    /// Returns the same store, but of the steps for which `is_such` returns true, the one with this number, counted from
    /// 0, meets `failure`.
    pub(crate) fn failing_at_such(
        &self,
        is_such: impl Fn(&Reached) -> bool + Send + Sync + 'static,
        number: u64,
        failure: Failure,
    ) -> Store {
        self.armed(Chosen::Such(Arc::new(is_such), number), failure)
    }

    /// Returns the same store, but the system refuses accesses with the error numbers that `refusal` returns. On a disk
    /// only.
    pub(crate) fn refusing(&self, refusal: impl Fn(Access, &str) -> Option<i32> + Send + Sync + 'static) -> Store {
        self.with(Failpoint { refusal: Some(Arc::new(refusal)), ..Failpoint::default() })
    }

    /// Returns the same store on a file system without hard links.
    pub(crate) fn without_links(&self) -> Store {
        self.with(Failpoint { has_no_links: true, ..Failpoint::default() })
    }

    fn armed(&self, chosen: Chosen, failure: Failure) -> Store {
        self.with(Failpoint { armed: Some(Arc::new((chosen, failure))), ..Failpoint::default() })
    }

    fn with(&self, failpoint: Failpoint) -> Store {
        let mut store = self.clone();
        match &mut store.backend {
            Backend::Disk(disk) => disk.failpoint = failpoint,
            Backend::Objects(objects) => {
                objects.scratch.disk.failpoint = failpoint.clone();
                objects.failpoint = failpoint;
            }
        }
        store
    }

    fn failpoint(&self) -> &Failpoint {
        match &self.backend {
            Backend::Disk(disk) => &disk.failpoint,
            Backend::Objects(objects) => &objects.failpoint,
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

    /// Waits until `holds` returns true. It is called again after each step that is reached through this handle.
    pub(crate) async fn until(&self, holds: impl Fn() -> bool) {
        let mut news = self.failpoint().news.subscribe();
        while !holds() {
            let _ = news.changed().await;
        }
    }

    /// Returns whether a step was reached through this handle, and did not fail there.
    pub(crate) fn has_passed(&self, step: Step, path: &str) -> bool {
        let state = self.failpoint().state();
        let failed = state.failed_at.as_ref().is_some_and(|failed| failed.step == step && failed.path == path);
        state.before.get(&(step, path.to_owned())).is_some_and(|count| *count > u64::from(failed))
    }

    /// Returns whether just these bytes were written into a file through this handle, whose process is to die.
    pub(crate) fn has_written(&self, bytes: &[u8]) -> bool {
        self.failpoint().state().written.contains(bytes)
    }

    /// Returns the steps since the last call, in their order, and resets their count.
    pub(crate) fn take_reached(&self) -> Vec<Reached> {
        std::mem::take(&mut *self.failpoint().state()).reached
    }
}
