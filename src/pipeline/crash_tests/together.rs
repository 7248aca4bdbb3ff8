//! Tests three runs that work on one lake at the same time, while one of them dies at each kind of step. The other two
//! end in the bytes of an undisturbed run, and ask again only for documents that the dead one had not made durable.
//!
//! All three are one process here. So the test knows the files of the dead run by their bytes, and changes its leases
//! and its status into those of a process that has died. The other runs must do the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::{FutureExt, Shared, join_all};
use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::durable::{asked, staged_names};
use super::{
    Backend, INTENT, LEASE, Lake, LetGo, MANIFEST, SEGMENT, SHARD, STAGED_SHARD, assert_same, change,
    forget_dead_process, kind_of, layout, put_of, run,
};
use crate::lake::{Layout, LockRecord, Partition, Record};
use crate::pipeline::run::{RunStatus, sweep_dead};
use crate::pipeline::worker::Bounds;
use crate::pipeline::{IngestSummary, LakeState, read_partition_set, verify};
use crate::registry::BudgetSnapshot;
use crate::sample::{Options, SampleServer, World};
use crate::store::{Failure, Reached, Step, Store};

/// Lakes that are tried at the same time.
const AT_ONCE: usize = 6;
/// Four partitions. Most names are in the first one.
const PIVOTS: [&str; 3] = ["b", "c", "d"];

/// A lake, and the registry that three runs bring it up to date with.
struct Scene {
    /// Names in the first partition.
    names: usize,
    is_update: bool,
    before: BTreeMap<String, Bytes>,
}

/// The result of one run that nothing disturbed.
struct Quiet {
    lake: Lake,
    steps: Vec<Reached>,
    state: LakeState,
    partitions: Vec<Partition>,
    /// How often each document was asked for.
    asked: BTreeMap<String, usize>,
}

/// A death, and what it cost the others.
struct Died {
    at: Reached,
    /// Documents that the others took from its segments.
    resumed: u64,
    /// Documents that they asked for again.
    repeated: usize,
    /// Whether the others worked on their own partitions before it died.
    is_amid: bool,
}

type Ingest = Shared<futures::future::BoxFuture<'static, Result<IngestSummary, String>>>;

/// Begins a run as a task of its own.
fn begin(server: &Arc<SampleServer>, store: &Store) -> Ingest {
    let (server, store) = (Arc::clone(server), store.clone());
    let task = tokio::spawn(async move { run(&server, &store, &PIVOTS).await.map_err(|error| error.report()) });
    task.map(Result::unwrap).boxed().shared()
}

impl Quiet {
    /// Returns how many steps of each kind there were.
    fn kinds(&self) -> BTreeMap<(Step, String), u64> {
        let mut kinds = BTreeMap::new();
        for reached in &self.steps {
            *kinds.entry((reached.step, kind_of(&reached.path))).or_default() += 1;
        }
        kinds
    }
}

impl Scene {
    fn first_ingest(names: usize) -> Scene {
        Scene { names, is_update: false, before: BTreeMap::new() }
    }

    async fn update(names: usize) -> Scene {
        let first = Scene::first_ingest(names);
        let store = Store::memory();
        run(&first.server(), &store, &PIVOTS).await.unwrap();
        Scene { is_update: true, before: store.contents().await, ..first }
    }

    fn server(&self) -> SampleServer {
        let mut world = World::seeded(31, 3);
        let few = ["b", "c"].into_iter().flat_map(|start| (0..3).map(move |number| format!("{start}-{number}")));
        world.add_names((0..self.names).map(|number| format!("a-{number:03}")).chain(few));
        if self.is_update {
            change(&mut world);
        }
        SampleServer::start(world, Options::default()).unwrap()
    }

    async fn in_peace(&self) -> Quiet {
        let (server, lake) = (self.server(), Backend::Disk.lake(&self.before).await);
        let summary = run(&server, &lake.store, &PIVOTS).await.unwrap();
        let set = read_partition_set(&lake.store, &layout()).await.unwrap().unwrap();
        let state = summary.state;
        assert_eq!((state.partitions_committed, state.partitions_total), (4, 4));
        let steps = lake.store.take_reached();
        Quiet { lake, steps, state, partitions: set.iter().collect(), asked: asked(&server) }
    }

    /// Lets one of three runs die slowly at the middle one of the steps of each kind. In an update these are the steps
    /// that the others see: an unfinished file has no name that they read, and a first ingest dies at it too.
    async fn kill_at_each_kind_of_step(&self) -> Vec<Died> {
        let quiet = self.in_peace().await;
        let is_unseen = |step: Step| matches!(step, Step::CreateFile | Step::Write | Step::SyncFile);
        let kinds = quiet.kinds().into_iter().filter(|((step, _), _)| !self.is_update || !is_unseen(*step));
        self.kill_at(kinds.map(|(kind, count)| (kind, count / 2)), &quiet, Failure::SlowDeath).await
    }

    /// Lets one of three runs die at each of these steps: its kind, and its number among those of the kind.
    async fn kill_at(
        &self,
        steps: impl Iterator<Item = ((Step, String), u64)>,
        quiet: &Quiet,
        failure: Failure,
    ) -> Vec<Died> {
        let tries = steps.map(async |((step, kind), number)| {
            let is_such = move |reached: &Reached| reached.step == step && kind_of(&reached.path) == kind;
            match self.kill(quiet, is_such.clone(), number, failure).await {
                // How often requests are counted depends on the time; they are counted once at least.
                None if number > 0 => self.kill(quiet, is_such, 0, failure).await,
                died => died,
            }
        });
        stream::iter(tries).buffered(AT_ONCE).filter_map(std::future::ready).collect().await
    }

    /// Lets three runs work on one lake, and one of them die. If its death is slow, the others begin when it stands
    /// still, and it dies when they have done all that it does not hold; if not, all three begin at once. Returns
    /// nothing if the step was not reached: some depend on the time, and others on which run takes which partition.
    async fn kill(
        &self,
        quiet: &Quiet,
        is_such: impl Fn(&Reached) -> bool + Send + Sync + 'static,
        number: u64,
        failure: Failure,
    ) -> Option<Died> {
        let (server, lake) = (Arc::new(self.server()), Backend::Disk.lake(&self.before).await);
        let dying = lake.store.failing_at_such(is_such, number, failure);
        let _end = LetGo(dying.clone());
        let first = begin(&server, &dying);
        if failure == Failure::SlowDeath {
            tokio::select! {
                () = dying.until(|| dying.failed_at().is_some()) => {}
                _ = first.clone() => {}
            }
        }
        let others = [begin(&server, &lake.store), begin(&server, &lake.store)];
        let is_amid =
            failure == Failure::SlowDeath && dying.failed_at().is_some_and(|at| !is_in_lock(&lake.store, &at));
        if is_amid {
            let leases = quiet.partitions.iter().map(|partition| layout().lease(partition));
            let free: Vec<String> = leases.filter(|lease| !dying.has_passed(Step::Rename, lease)).collect();
            tokio::select! {
                () = lake.store.until(|| free.iter().all(|lease| lake.store.has_passed(Step::Delete, lease))) => {}
                _ = join_all(others.clone()) => {}
            }
        }
        dying.let_go();
        let ended = first.await;
        let died_at = dying.failed_at();
        let lost = match &died_at {
            Some(at) => {
                assert!(ended.is_err(), "a run cannot end well after its death before {at}");
                let lost = self.lost(&dying, &lake.store, quiet, &server).await;
                show_as_dead(&dying, &lake.store).await;
                lost
            }
            None => {
                ended.unwrap();
                BTreeSet::new()
            }
        };
        let after = died_at.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        let mut resumed = 0;
        for other in others {
            let summary = other.await.unwrap_or_else(|error| panic!("after a death before {after}: {error}"));
            assert_eq!(summary.state, quiet.state, "after a death before {after}");
            resumed += summary.counts.packuments_resumed;
        }
        assert_sound(&lake.store, &quiet.lake.store, &after).await;
        let repeated = self.repeated(&server, quiet, &lost, &after);
        self.assert_counted(&server, &lake.store).await;
        died_at.map(|at| Died { at, resumed, repeated, is_amid })
    }

    /// Returns the names of the partitions that the dead run held without having begun their commit, except those whose
    /// documents it had made durable.
    async fn lost(&self, dead: &Store, store: &Store, quiet: &Quiet, server: &SampleServer) -> BTreeSet<String> {
        let mut lost = BTreeSet::new();
        for partition in &quiet.partitions {
            let lease = store.get(&layout().lease(partition)).await.unwrap();
            let manifest = layout().manifest(partition);
            let is_held = lease.is_some_and(|lease| dead.has_written(&lease));
            let is_committed = store.get(&manifest).await.unwrap() != self.before.get(&manifest).cloned()
                || store.get(&layout().commit_intent(partition)).await.unwrap().is_some();
            if !is_held || is_committed {
                continue;
            }
            let staged = staged_names(store, server, partition).await;
            let world = server.world();
            let names = world.names().filter(|name| partition.contains(name) && !staged.contains(*name));
            lost.extend(names.map(str::to_owned));
        }
        lost
    }

    /// Returns how many documents were asked for twice. They are all among the lost ones, and in no partition more than
    /// a run may have in flight.
    fn repeated(&self, server: &SampleServer, quiet: &Quiet, lost: &BTreeSet<String>, after: &str) -> usize {
        let mut repeated = Vec::new();
        for (name, times) in asked(server) {
            let once = quiet.asked[&name];
            let is_lost = lost.contains(&name);
            assert!(times <= once * (1 + usize::from(is_lost)), "{name}: {times} times after a death before {after}");
            if times > once {
                repeated.push(name);
            }
        }
        let most = Bounds::of_this_machine().unstaged_per_partition();
        for partition in &quiet.partitions {
            let here = repeated.iter().filter(|name| partition.contains(name)).count();
            assert!(here <= most, "{here} of {partition} were repeated after a death before {after}");
        }
        repeated.len()
    }

    /// Asserts that the lake counted every request, those of the dead run too.
    async fn assert_counted(&self, server: &SampleServer, store: &Store) {
        if self.before.is_empty() {
            // Requests before there is a lake die with their run.
            return;
        }
        let counts: BudgetSnapshot = store.read_record(Layout::REQUESTS).await.unwrap().unwrap();
        let host = server.url().strip_prefix("http://").unwrap();
        assert!(counts.hosts[host].requests >= server.request_count());
    }
}

/// Returns whether a step is done while its folder is locked against all other runs.
fn is_in_lock(store: &Store, at: &Reached) -> bool {
    let path = Path::new(&store.location()).join(&at.path);
    let is_locked = |folder: &Path| {
        let tried = std::fs::File::open(folder).map(|folder| folder.try_lock());
        matches!(tried, Ok(Err(std::fs::TryLockError::WouldBlock)))
    };
    is_locked(path.parent().unwrap()) || (path.is_dir() && is_locked(&path))
}

/// Changes the leases and the status that a dead run left into those of a process that has died.
async fn show_as_dead(dead: &Store, store: &Store) {
    for path in store.list(layout().root()).await.unwrap() {
        let Some(text) = store.get(&path).await.unwrap().filter(|text| dead.has_written(text)) else { continue };
        if Store::is_put_begun(&path) {
            continue;
        }
        if path.starts_with(&layout().leases()) {
            let mut lease = LockRecord::from_json(&path, &text).unwrap();
            match &mut lease.process_identity {
                Some(identity) => identity.started_ticks += 1,
                None => lease.expires_at_s = 0,
            }
            store.put_record(&path, &lease).await.unwrap();
        } else if layout().parse_run_status(&path).is_some() {
            let mut status = RunStatus::from_json(&path, &text).unwrap();
            match &mut status.process_identity {
                Some(identity) => identity.started_ticks += 1,
                None => status.updated_at_s = 0,
            }
            store.put_record(&path, &status).await.unwrap();
        }
    }
}

/// Asserts that a lake is sound and has the bytes of an undisturbed one, once the next run has swept it.
async fn assert_sound(store: &Store, quiet: &Store, after: &str) {
    sweep_dead(store, &layout()).await.unwrap();
    let is_of_run = |path: &&String| path.starts_with(&layout().leases()) || layout().parse_run_status(path).is_some();
    let left = store.list(layout().root()).await.unwrap();
    let left: Vec<_> = left.iter().filter(is_of_run).filter(|path| !Store::is_put_begun(path)).collect();
    assert!(left.is_empty(), "{left:?} are left after a death before {after}");
    // The begun puts of a dead run are left for a minute.
    forget_dead_process(store).await;
    assert_same(store, quiet, after).await;
    let proof = verify(store, None, Arc::default(), CancellationToken::new()).await.unwrap();
    assert!(proof.is_sound(), "after a death before {after}: {proof:?}");
}

/// Asserts that at least `least` runs died, at all of these steps among them, and that the others used their answers.
fn assert_died(deaths: &[Died], least: usize, expected: &[(Step, &str)]) {
    assert!(deaths.len() >= least, "only {} runs died", deaths.len());
    for (step, kind) in expected {
        let is_expected = |died: &Died| died.at.step == *step && kind_of(&died.at.path) == *kind;
        assert!(deaths.iter().any(is_expected), "no run died before {step:?} of {kind}");
    }
    assert!(deaths.iter().any(|died| died.resumed > 0), "nobody found a segment");
}

/// More names than a segment holds.
fn a_segment_and_more() -> usize {
    Bounds::of_this_machine().segment.answers + 1
}

fn steps_of_a_partition() -> Vec<(Step, &'static str)> {
    let moved = [(Step::Rename, SHARD), (Step::SyncFolder, "sample/table"), (Step::Delete, LEASE)];
    let staged = [Step::CreateFile, Step::Write, Step::SyncFile].map(|step| (step, STAGED_SHARD));
    let puts = [SEGMENT, INTENT, MANIFEST, LEASE, Layout::REQUESTS].map(put_of).concat();
    [&moved[..], &staged, &puts].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_of_three_runs_dies_at_any_kind_of_step_of_a_first_ingest_the_others_end_in_the_same_bytes() {
    let scene = Scene::first_ingest(a_segment_and_more());
    let deaths = scene.kill_at_each_kind_of_step().await;
    assert_died(&deaths, 40, &[&steps_of_a_partition()[..], &put_of(Layout::INFO)].concat());
    assert!(deaths.iter().any(|died| died.is_amid && died.repeated > 0), "no death cost anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_of_three_runs_dies_at_any_kind_of_step_of_an_update_the_others_end_in_the_same_bytes() {
    let scene = Scene::update(a_segment_and_more()).await;
    let deaths = scene.kill_at_each_kind_of_step().await;
    let mut expected = steps_of_a_partition();
    expected.retain(|(step, _)| matches!(step, Step::Rename | Step::SyncFolder | Step::Delete));
    assert_died(&deaths, 15, &expected);
    assert!(deaths.iter().any(|died| died.is_amid && died.repeated > 0), "no death cost anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_of_three_runs_that_begin_at_once_dies_the_others_end_in_the_same_bytes() {
    let scene = Scene::first_ingest(a_segment_and_more());
    let quiet = scene.in_peace().await;
    let mut kinds = quiet.kinds();
    kinds.retain(|(step, _), _| matches!(step, Step::CreateFolder | Step::Rename | Step::Delete));
    // Which run comes to which step is open, so nothing is said about how many deaths there are.
    scene.kill_at(kinds.into_keys().map(|kind| (kind, 0)), &quiet, Failure::Death).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_run_costs_the_others_no_more_than_the_bound() {
    let bounds = Bounds::of_this_machine();
    let scene = Scene::first_ingest(bounds.unstaged_per_partition() + bounds.segment.answers + 1);
    let quiet = scene.in_peace().await;
    let segment = layout().staged_answers(&quiet.partitions[0], 0, 2);
    let is_third = move |reached: &Reached| reached.step == Step::Rename && reached.path == segment;
    let died = scene.kill(&quiet, is_third, 0, Failure::SlowDeath).await.unwrap();
    assert!(died.resumed >= 2 * bounds.segment.answers as u64, "only {} were resumed", died.resumed);
    assert!(died.repeated > 0 && died.is_amid);
}
