//! Tests a run that fails, or whose process dies, before each single step that changes the store. Readers never see
//! half a shard, and a rerun ends in the bytes of an undisturbed run. A bucket in memory is tried at each of its steps and
//! at the first and last step of each kind in the scratch folder; the rerun has that folder or has not. On a disk the
//! first step of each kind is tried in a first ingest, and the last one in an update.
#![allow(clippy::unwrap_used)]

mod durable;
mod lakes;
pub(super) mod steps;
mod together;
mod zombies;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use self::durable::{asked, durable_names};
pub(super) use self::lakes::{
    Backend, Lake, assert_nothing_half, assert_same, events, events_in, forget_dead_process, kind_of, layout, run,
};
use self::steps::{last_of_each_kind, telling};
use super::worker::Bounds;
use super::{IngestSummary, verify};
use crate::error::{ErrorKind, Result};
use crate::lake::Layout;
use crate::sample::{Options, SampleServer, World};
use crate::store::{Failure, Reached, Step, Store};

/// Runs that are tried at the same time.
const AT_ONCE: usize = 3;
/// The boundary between the first partition of an update, with nearly all names, and the second.
const PIVOT: &str = "t";

/// Changes every document, makes a new one, and deletes one.
fn change(world: &mut World) {
    let names: Vec<String> = world.names().map(str::to_owned).collect();
    for name in &names {
        world.publish(name, "77.0.0");
    }
    world.delete(names.last().unwrap());
    world.publish("zz-new", "1.0.0");
}

/// Lets a step that stands still go on, also if the test fails: a runtime ends only after its blocked threads.
struct LetGo(Store);

impl Drop for LetGo {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

/// Returns whether a path is named by the time or the digest of events.
fn is_named_by_events(path: &str) -> bool {
    ["/feed/", "/events/", "/events-"].iter().any(|part| path.contains(part))
}

/// Returns the same store, but a step like that of an earlier run meets `failure`.
fn failing_before_events(store: &Store, step: Reached, failure: Failure) -> Store {
    let is_such = move |reached: &Reached| {
        (reached.step, reached.before) == (step.step, step.before) && kind_of(&reached.path) == kind_of(&step.path)
    };
    store.failing_at_such(is_such, 0, failure)
}

/// A run whose steps are made to fail.
struct Scene {
    is_update: bool,
    before: BTreeMap<String, Bytes>,
    backend: Backend,
    failure: Failure,
    /// Whether the rerun has the scratch folder of the run that died.
    keeps_scratch: bool,
}

/// The steps that failed, and how many documents each rerun took from segments.
type Tried = Vec<(Reached, u64)>;

impl Scene {
    fn first_ingest(backend: Backend, failure: Failure) -> Scene {
        Scene { is_update: false, before: BTreeMap::new(), backend, failure, keeps_scratch: true }
    }

    /// Returns a scene whose registry has changed: nearly every document has changed, one is new and one is gone.
    async fn update(backend: Backend, failure: Failure) -> Scene {
        let first = Scene::first_ingest(backend, failure);
        let lake = Backend::Memory.lake(&BTreeMap::new()).await;
        run(&first.server(), &lake.store, &[PIVOT]).await.unwrap();
        Scene { is_update: true, before: lake.store.contents().await, ..first }
    }

    fn without_scratch(self) -> Scene {
        Scene { keeps_scratch: false, ..self }
    }

    fn server(&self) -> SampleServer {
        let mut world = World::seeded(31, 3);
        // There are more names than a segment holds: each run puts one segment before its builder ends.
        world.add_names((0..=Bounds::of_this_machine().segment.answers).map(|number| format!("small-{number:02}")));
        if self.is_update {
            change(&mut world);
        }
        SampleServer::start(world, Options::default()).unwrap()
    }

    async fn run(&self, server: &SampleServer, store: &Store) -> Result<IngestSummary> {
        run(server, store, if self.is_update { &[PIVOT] } else { &[] }).await
    }

    /// Runs without a failure. Returns the lake and the steps on the way.
    async fn in_peace(&self) -> (Lake, Vec<Reached>) {
        let quiet = self.backend.lake(&self.before).await;
        self.run(&self.server(), &quiet.store).await.unwrap();
        let steps = quiet.store.take_reached();
        (quiet, steps)
    }

    /// Fails the run at every step that shows something new to the rerun.
    async fn fail_everywhere(&self) -> Tried {
        let (quiet, steps) = self.in_peace().await;
        self.fail_at(telling(&steps, self.keeps_scratch).iter(), &quiet).await
    }

    /// Fails an update at the last step of each kind, and a first ingest at the first one.
    async fn fail_at_each_kind_of_step(&self) -> Tried {
        let (quiet, mut steps) = self.in_peace().await;
        steps.retain(|reached| self.failure != Failure::FullDisk || reached.step.needs_room());
        if !self.is_update {
            steps.reverse();
        }
        self.fail_at(last_of_each_kind(&steps).iter(), &quiet).await
    }

    /// Fails a run at each of `steps`, each in a separate lake. Skips a step that the run does not reach: some depend
    /// on the time.
    async fn fail_at<'a>(&self, steps: impl Iterator<Item = &'a Reached>, quiet: &Lake) -> Tried {
        let tries = steps.map(async |step| {
            let lake = self.backend.lake(&self.before).await;
            let failing = match is_named_by_events(&step.path) {
                true => failing_before_events(&lake.store, step.clone(), self.failure),
                false => lake.store.failing_before(step, self.failure),
            };
            self.fail_once(&lake, failing, &quiet.store).await
        });
        stream::iter(tries).buffered(AT_ONCE).filter_map(std::future::ready).collect().await
    }

    /// Runs on a store that fails, and then on one that does not. Returns the step at which it failed, and how many
    /// documents the second run took from segments.
    async fn fail_once(&self, lake: &Lake, failing: Store, quiet: &Store) -> Option<(Reached, u64)> {
        let server = self.server();
        let first = self.run(&server, &failing).await;
        let reached = failing.failed_at()?;
        let after = reached.to_string();
        match first {
            Ok(_) => assert!(self.failure != Failure::Death, "a run cannot end well after its death before {after}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Lake, "{error:?}");
                let hint = error.hint_text().unwrap_or_default();
                let is_clear = self.failure != Failure::FullDisk || hint.contains("free some space");
                assert!(is_clear, "before {after}: {}", error.report());
            }
        }
        let store = lake.next_store(self.keeps_scratch);
        let undisturbed = quiet.contents().await;
        assert_nothing_half(&store, [&self.before, &undisturbed], &after).await;
        forget_dead_process(&store).await;
        let durable = durable_names(&store, &server, &self.before).await;
        server.clear_requests();
        let rerun = self.run(&server, &store).await.unwrap();
        let repeated: Vec<String> = asked(&server).into_keys().filter(|name| durable.contains(name)).collect();
        assert!(repeated.is_empty(), "{repeated:?} were requested again after a failure at {after}");
        assert_nothing_half(&store, [&undisturbed, &undisturbed], &after).await;
        assert_same(&store, quiet, &after).await;
        assert_eq!(events(&store).await, events(quiet).await, "after a failure at {after}");
        assert_eq!(events(quiet).await.len() > 2, self.is_update);
        lake.assert_no_uploads(&after);
        let proof = verify(&store, None, Arc::default(), CancellationToken::new()).await.unwrap();
        assert!(proof.is_sound(), "after a failure at {after}: {proof:?}");
        Some((reached, rerun.counts.packuments_resumed))
    }
}

const SEGMENT: &str = "sample/staging/partition/answers.segment";
const STAGED_SHARD: &str = "sample/staging/partition/table.staged";
const KEPT_SHARD: &str = "sample/staging/partition/table.kept";
const SHARD: &str = "sample/table/partition.parquet";
const INTENT: &str = "sample/staging/partition/commit.json";
const LEASE: &str = "sample/leases/partition.json";
const MANIFEST: &str = "sample/manifest/partition.json";
/// The events of a commit, staged and in the feed, and those of a day.
const EVENTS: [&str; 3] =
    ["sample/staging/partition/events.staged", "sample/feed/commit.parquet", "sample/events/day.parquet"];

/// Asserts that at least `least` steps failed, all of these among them, and that reruns found staged answers.
fn assert_tried(tried: &Tried, least: usize, expected: &[(Step, &str)]) {
    steps::assert_tried(tried.iter().map(|(reached, _)| reached), least, expected);
    assert!(tried.iter().any(|(_, resumed)| *resumed > 0), "no rerun found a segment");
}

/// Returns the steps by which a file gets its name on a disk.
fn put_of(kind: &str) -> [(Step, &str); 4] {
    [Step::CreateFile, Step::Write, Step::SyncFile, Step::Rename].map(|step| (step, kind))
}

/// Returns the kinds of steps of a commit into a bucket.
fn steps_of_a_bucket() -> Vec<(Step, &'static str)> {
    let put = [SEGMENT, KEPT_SHARD, INTENT, SHARD, MANIFEST].map(|kind| (Step::Put, kind));
    let deleted = [KEPT_SHARD, INTENT, SEGMENT].map(|kind| (Step::Delete, kind));
    [&put[..], &deleted].concat()
}

/// Returns these and the kinds of steps in the scratch folder.
fn steps_of_a_bucket_and_its_scratch() -> Vec<(Step, &'static str)> {
    let scratch = [Step::CreateFile, Step::Write, Step::SyncFile, Step::Delete].map(|step| (step, STAGED_SHARD));
    [&steps_of_a_bucket()[..], &scratch].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_death_at_any_step_of_a_first_ingest_a_rerun_ends_in_the_same_bytes() {
    let tried = Scene::first_ingest(Backend::Memory, Failure::Death).fail_everywhere().await;
    assert_tried(&tried, 45, &steps_of_a_bucket_and_its_scratch());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_death_at_any_step_of_a_first_ingest_that_loses_its_scratch_a_rerun_ends_in_the_same_bytes() {
    let tried = Scene::first_ingest(Backend::Memory, Failure::Death).without_scratch().fail_everywhere().await;
    assert_tried(&tried, 30, &steps_of_a_bucket());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_death_at_any_step_of_an_update_a_rerun_ends_in_the_same_bytes() {
    let tried = Scene::update(Backend::Memory, Failure::Death).await.fail_everywhere().await;
    let of_events =
        [(Step::Write, EVENTS[0]), (Step::Put, EVENTS[1]), (Step::Put, EVENTS[2]), (Step::Delete, EVENTS[1])];
    assert_tried(&tried, 65, &[&steps_of_a_bucket_and_its_scratch()[..], &of_events].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_death_at_any_step_of_an_update_that_loses_its_scratch_a_rerun_ends_in_the_same_bytes() {
    let tried = Scene::update(Backend::Memory, Failure::Death).await.without_scratch().fail_everywhere().await;
    assert_tried(&tried, 48, &steps_of_a_bucket());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_death_between_any_two_kinds_of_steps_on_a_disk_a_rerun_ends_in_the_same_bytes() {
    let moved = [(Step::CreateFolder, "sample/table"), (Step::Rename, SHARD), (Step::SyncFolder, "sample/table")];
    let staged = [Step::CreateFile, Step::Write, Step::SyncFile].map(|step| (step, STAGED_SHARD));
    let puts = [SEGMENT, INTENT, MANIFEST, LEASE, Layout::INFO, Layout::REQUESTS].map(put_of).concat();
    let tried = Scene::first_ingest(Backend::Disk, Failure::Death).fail_at_each_kind_of_step().await;
    assert_tried(&tried, 36, &[&moved[..], &staged, &puts].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_death_between_steps_of_an_update_on_a_disk_a_rerun_ends_in_the_same_bytes() {
    let moved = [(Step::Rename, SHARD), (Step::SyncFolder, "sample/table"), (Step::SyncFolder, "sample/manifest")];
    let deleted = [(Step::Delete, SEGMENT), (Step::Delete, LEASE), (Step::Delete, EVENTS[1])];
    let moved = [&moved[..], &[(Step::Rename, EVENTS[1]), (Step::Rename, EVENTS[2])]].concat();
    let tried = Scene::update(Backend::Disk, Failure::Death).await.fail_at_each_kind_of_step().await;
    assert_tried(&tried, 36, &[&moved[..], &deleted, &put_of(SEGMENT), &put_of(INTENT), &put_of(MANIFEST)].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_once_at_any_kind_of_step_leaves_nothing_half_written() {
    let tried = Scene::update(Backend::Disk, Failure::Once).await.fail_at_each_kind_of_step().await;
    assert_tried(&tried, 36, &[put_of(SEGMENT), put_of(MANIFEST)].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_at_any_kind_of_step_gives_a_hint_and_leaves_nothing_half_written() {
    let tried = Scene::first_ingest(Backend::Disk, Failure::FullDisk).fail_at_each_kind_of_step().await;
    let shard = [Step::CreateFile, Step::Write, Step::SyncFile].map(|step| (step, STAGED_SHARD));
    assert_tried(&tried, 15, &shard);
}
