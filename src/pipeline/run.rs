//! Runs: the status that each process writes of its own run while it works on an origin, and the removal of the files
//! of dead runs. The status is a small file in staging that is removed at the end.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::try_join;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::lease::sweep_leases;
use super::process::{has_died, host_name, own_identity};
use super::progress::{Progress, ProgressSnapshot};
use crate::error::Result;
use crate::lake::{OriginLayout, ProcessIdentity, Record};
use crate::registry::Registry;
use crate::store::Store;

/// How often the file is replaced: often enough that `status` looks alive, and rarely enough that a disk hardly
/// notices.
const UPDATE_INTERVAL: Duration = Duration::from_secs(1);
/// Other runs are counted once in this many updates.
const UPDATES_BETWEEN_LOOKS: u32 = 10;
/// And at these: machines that begin together learn of each other before they have sent much more than their shares.
const FIRST_LOOKS: [u32; 2] = [1, 3];
/// A run with a file this old has died, or stands still, on whatever machine it is.
const SILENT_SECONDS: i64 = 60;

/// The status of one run of one process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStatus {
    /// Drawn at random for each run.
    pub run: String,
    /// Its command; `ingest` where an earlier version wrote the status.
    #[serde(default = "ingest")]
    pub purpose: String,
    /// Whether it sends requests to the registry.
    #[serde(default = "always")]
    pub asks_registry: bool,
    /// The name of its machine.
    pub host: String,
    /// The process's id on its machine.
    pub process_id: u32,
    /// The scope in which that id is valid, as far as the system tells.
    pub process_identity: Option<ProcessIdentity>,
    /// The time at which it began, in seconds since 1970.
    pub started_at_s: i64,
    /// The time at which this was written, in seconds since 1970.
    pub updated_at_s: i64,
    /// Its counters.
    pub counts: ProgressSnapshot,
}

impl Record for RunStatus {
    const NOUN: &'static str = "the status of a run";
    const DAMAGED_HINT: &'static str = "delete it";
}

fn ingest() -> String {
    "ingest".to_owned()
}

fn always() -> bool {
    true
}

impl RunStatus {
    fn begin(purpose: &str, asks_registry: bool, progress: &Progress) -> RunStatus {
        let now_s = jiff::Timestamp::now().as_second();
        RunStatus {
            run: format!("{:016x}", fastrand::u64(..)),
            purpose: purpose.to_owned(),
            asks_registry,
            host: host_name(),
            process_id: std::process::id(),
            process_identity: own_identity(),
            started_at_s: now_s,
            updated_at_s: now_s,
            counts: progress.snapshot(),
        }
    }

    /// Returns whether a text can be the name of a run.
    pub(super) fn is_name(text: &str) -> bool {
        text.len() == 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit())
    }

    /// Reads the status of every run of an origin, those of dead processes included. A damaged status counts as none:
    /// it is only informative.
    pub async fn all(store: &Store, layout: &OriginLayout) -> Result<Vec<RunStatus>> {
        RunStatus::among(store, layout, &store.list(&layout.staging()).await?).await
    }

    /// Reads the same among these paths in staging.
    pub(super) async fn among(store: &Store, layout: &OriginLayout, staged: &[String]) -> Result<Vec<RunStatus>> {
        let mut runs: Vec<RunStatus> = Vec::new();
        for path in staged {
            if layout.parse_run_status(path).is_some()
                && let Some(text) = store.get(path).await?
            {
                runs.extend(RunStatus::from_json(path, &text));
            }
        }
        runs.sort_by_key(|run| run.started_at_s);
        Ok(runs)
    }

    /// Returns whether its process is known to be alive, or wrote its status not long ago.
    pub fn is_alive(&self) -> bool {
        let is_silent = self.updated_at_s + SILENT_SECONDS < jiff::Timestamp::now().as_second();
        let has_died = || self.process_identity.as_ref().is_some_and(|place| has_died(self.process_id, place));
        !is_silent && !has_died()
    }
}

/// Returns from how many machines the live ones of these runs send requests. Two users of one machine, and two
/// containers, count as two: they share nothing.
fn machines(runs: &[RunStatus]) -> usize {
    let place = |run: &RunStatus| match &run.process_identity {
        Some(place) => place.system.clone(),
        None => format!("{} process {}", run.host, run.process_id),
    };
    runs.iter().filter(|run| run.asks_registry && run.is_alive()).map(place).collect::<BTreeSet<String>>().len()
}

/// Tells `registry` how many machines send requests to it for this origin.
async fn share(store: &Store, layout: &OriginLayout, registry: Option<&Registry>) -> Result<()> {
    let Some(registry) = registry else { return Ok(()) };
    let machines = u32::try_from(machines(&RunStatus::all(store, layout).await?)).unwrap_or(u32::MAX);
    registry.set_share(NonZeroU32::new(machines).unwrap_or(NonZeroU32::MIN));
    Ok(())
}

/// Returns whether other runs are counted at this update.
fn is_look(update: u32) -> bool {
    update.is_multiple_of(UPDATES_BETWEEN_LOOKS) || FIRST_LOOKS.contains(&update)
}

/// Removes what dead processes left: the status and the listed rows of their runs, those of a version that kept one
/// run per origin, and leases.
pub(super) async fn sweep_dead(store: &Store, layout: &OriginLayout) -> Result<()> {
    try_join(sweep_runs(store, layout), sweep_leases(store, layout)).await.map(drop)
}

async fn sweep_runs(store: &Store, layout: &OriginLayout) -> Result<()> {
    // A run puts its status before its rows, and removes its rows before its status. So the files are listed first:
    // the status of each living run among them is read then.
    let paths = store.list(&layout.staging()).await?;
    let (living, dead): (Vec<RunStatus>, _) =
        RunStatus::all(store, layout).await?.into_iter().partition(RunStatus::is_alive);
    let is_among = |runs: &[RunStatus], run: &str| runs.iter().any(|each| each.run == run);
    let run_of =
        |path: &str| layout.parse_scan_spool(path).or_else(|| layout.parse_run_status(path)).map(str::to_owned);
    let of_format_1 = ["run.json", "scan.parquet"].map(|file| format!("{}/{file}", layout.staging()));
    for path in paths {
        let is_left = match Store::target_of_put(&path) {
            // A run that begins has no status yet.
            Some(target) => run_of(&target).is_some_and(|run| is_among(&dead, &run)),
            None => run_of(&path).is_some_and(|run| !is_among(&living, &run)),
        };
        if is_left || of_format_1.contains(&path) {
            tracing::debug!(path, "a file of a dead run is swept");
            store.delete(&path).await?;
        }
    }
    Ok(())
}

/// Writes the status until it is dropped; [`RunReporter::end`] also removes it.
pub(super) struct RunReporter {
    store: Store,
    path: String,
    run: String,
    ended: CancellationToken,
    /// Whether it still sends requests to the registry.
    asks_registry: Arc<AtomicBool>,
    task: AbortOnDropHandle<()>,
}

impl RunReporter {
    /// Writes the status of a run of `purpose` once, then repeatedly, and tells `registry` how many machines send
    /// requests to it; a run that asks no registry has none. Fails as the store does.
    pub(super) async fn start(
        store: Store,
        layout: &OriginLayout,
        purpose: &str,
        progress: Arc<Progress>,
        registry: Option<Registry>,
    ) -> Result<RunReporter> {
        let mut status = RunStatus::begin(purpose, registry.is_some(), &progress);
        let (run, path) = (status.run.clone(), layout.run_status(&status.run));
        store.put_record(&path, &status).await?;
        share(&store, layout, registry.as_ref()).await?;
        let (task_store, task_path, task_layout) = (store.clone(), path.clone(), layout.clone());
        let ended = CancellationToken::new();
        let task_ended = ended.clone();
        let asks_registry = Arc::new(AtomicBool::new(registry.is_some()));
        let task_asks = Arc::clone(&asks_registry);
        let task = tokio::spawn(async move {
            let mut updates = 0_u32;
            while task_ended.run_until_cancelled(tokio::time::sleep(UPDATE_INTERVAL)).await.is_some() {
                status.updated_at_s = jiff::Timestamp::now().as_second();
                status.counts = progress.snapshot();
                status.asks_registry = task_asks.load(Ordering::Relaxed);
                // The status is only informative: a full disk stops the run at a write that matters.
                let _ = task_store.put_record(&task_path, &status).await;
                updates = updates.wrapping_add(1);
                if is_look(updates) {
                    // If the runs cannot be read now, the last count stays.
                    let _ = share(&task_store, &task_layout, registry.as_ref()).await;
                }
            }
        });
        Ok(RunReporter { store, path, run, ended, asks_registry, task: AbortOnDropHandle::new(task) })
    }

    /// Returns the name of this run among those of its origin.
    pub(super) fn run(&self) -> &str {
        &self.run
    }

    /// Returns whether the run sends requests to the registry. It may be set to false, so that the run leaves its share of
    /// the pace to others.
    pub(super) fn asks_registry(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.asks_registry)
    }

    /// Stops the writing and removes the status.
    pub(super) async fn end(self) -> Result<()> {
        self.ended.cancel();
        // The task may be inside a put. The put goes on if the task is only aborted, and its file must not come back
        // after the delete.
        let _ = self.task.await;
        self.store.delete(&self.path).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::lake::Layout;
    use crate::registry::{Credentials, Origin, RegistryConfig};
    use crate::store::Failure;

    fn registry() -> Registry {
        let origin = Origin::parse("http://127.0.0.1:9", None).unwrap();
        let config = RegistryConfig::for_origin(&origin);
        Registry::new(origin, config, Credentials::default()).unwrap()
    }

    fn begun() -> RunStatus {
        RunStatus::begin("ingest", true, &Progress::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_status_put_in_progress_does_not_outlive_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let (store, layout) = (Store::open(folder.path().to_str().unwrap()).unwrap(), Layout::origin("npm"));
        store.put(&format!("{}/before", layout.staging()), "").await.unwrap();
        // Each put has five steps; the fourth of the second one gives it its name.
        let held = store.failing_at(9, Failure::Held);
        let reporter =
            RunReporter::start(held.clone(), &layout, "ingest", Arc::default(), Some(registry())).await.unwrap();
        let path = layout.run_status(reporter.run());
        tokio::task::yield_now().await;
        tokio::time::advance(UPDATE_INTERVAL).await;
        while held.failed_at().is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(held.failed_at().unwrap().path, path);
        let ending = tokio::spawn(reporter.end());
        // A call that does not wait for the put has ended by then.
        for _ in 0..300_000 {
            tokio::task::yield_now().await;
        }
        held.let_go();
        ending.await.unwrap().unwrap();
        while store.list("").await.unwrap().iter().any(|path| Store::is_put_begun(path)) {
            tokio::task::yield_now().await;
        }
        assert_eq!(store.get(&path).await.unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn machines_that_begin_together_share_the_pace_from_the_second_second() {
        let (store, layout, registry) = (Store::memory(), Layout::origin("npm"), registry());
        let reporter =
            RunReporter::start(store.clone(), &layout, "ingest", Arc::default(), Some(registry.clone())).await.unwrap();
        assert_eq!(registry.share().get(), 1);
        let other = RunStatus { host: "another".to_owned(), process_identity: None, ..begun() };
        store.put_record(&layout.run_status(&other.run), &other).await.unwrap();
        tokio::task::yield_now().await;
        tokio::time::advance(UPDATE_INTERVAL).await;
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(registry.share().get(), 2);
        reporter.end().await.unwrap();
    }

    #[tokio::test]
    async fn dead_runs_leave_nothing_and_living_ones_keep_their_files() {
        let (store, layout) = (Store::memory(), Layout::origin("npm"));
        let living = RunReporter::start(store.clone(), &layout, "rebuild", Arc::default(), None).await.unwrap();
        store.put(&layout.scan_spool(living.run()), "rows").await.unwrap();
        let silent = RunStatus { updated_at_s: 0, process_identity: None, ..begun() };
        store.put_record(&layout.run_status(&silent.run), &silent).await.unwrap();
        for path in [layout.scan_spool(&silent.run), layout.scan_spool("unknown"), "npm/staging/run.json".to_owned()] {
            store.put(&path, "rows").await.unwrap();
        }
        let begun = |run: &str| format!("{}/.put-run-{run}.json-x", layout.staging());
        store.put(&begun(&silent.run), "half").await.unwrap();
        let foreign = layout.staging() + "/61-62/answers-000000-000000.zst";
        for path in [&foreign, &begun("one-that-begins")] {
            store.put(path, "kept").await.unwrap();
        }
        sweep_dead(&store, &layout).await.unwrap();
        let of_living = [layout.run_status(living.run()), layout.scan_spool(living.run())];
        let mut kept = [vec![foreign, begun("one-that-begins")], of_living.to_vec()].concat();
        kept.sort();
        assert_eq!(store.list("").await.unwrap(), kept);
        living.end().await.unwrap();
    }

    #[test]
    fn processes_of_one_system_are_one_machine() {
        let own = begun();
        let other = |system: &str| RunStatus {
            process_identity: Some(ProcessIdentity { system: system.to_owned(), started_ticks: 1 }),
            ..own.clone()
        };
        assert_eq!(machines(&[own.clone(), own.clone()]), 1);
        assert_eq!(machines(&[other("a"), other("a"), other("b")]), 2);
        assert_eq!(machines(&[RunStatus { updated_at_s: 0, ..other("a") }]), 0);
        assert_eq!(machines(&[RunStatus { asks_registry: false, ..other("a") }]), 0);
    }
}
