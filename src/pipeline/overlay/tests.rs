//! Tests that a lake with an overlay is the lake that a fresh ingest of the same registry has: name by name at any moment,
//! and byte by byte after a fold of everything.
#![allow(clippy::unwrap_used)]

mod beside;
mod clock;
mod cut;
mod lake;
mod old;
mod recorded;
mod sequences;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use tokio_util::sync::CancellationToken;

use super::view::Said;
use super::writer::{Applied, Tended};
use super::{ChangeWriter, FoldPolicy, OverlayReader, OverlayView, WriterOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::lake::{Delta, Layout, Overlay};
use crate::npm::{Change, ChangeKind, PackageName, Representation, Revision};
use crate::pipeline::crash_tests::{Backend, Lake, assert_same, forget_dead_process, layout, run};
use crate::pipeline::lease::{Attempt, Lease};
use crate::pipeline::{FoldOptions, fold, read_partition_set};
use crate::registry::{Credentials, Origin, Registry, RegistryConfig};
use crate::sample::{Kind, Options, SampleServer, World};
use crate::shard::ShardReader;
use crate::store::{Failure, Reached, Store};
use crate::table::{TableKind, schema};

const PIVOTS: [&str; 2] = ["g", "p"];

/// The folds of a writer that tests fold by hand.
const NEVER: FoldPolicy = FoldPolicy { rows: 2.0, age: std::time::Duration::MAX };

fn server(names: usize) -> SampleServer {
    SampleServer::start(World::seeded(71, names), Options::default()).unwrap()
}

fn registry(server: &SampleServer) -> Registry {
    let mut origin = Origin::parse(server.url(), None).unwrap();
    layout().name().clone_into(&mut origin.name);
    Registry::new(origin.clone(), RegistryConfig::for_origin(&origin), Credentials::default()).unwrap()
}

/// Does some work as the writer of the overlay.
async fn as_writer<T>(
    server: &SampleServer,
    store: &Store,
    fold: FoldPolicy,
    work: impl AsyncFnOnce(&ChangeWriter) -> Result<T>,
) -> Result<T> {
    let Attempt::Taken(lease) = Lease::of_stem(store, &layout(), "follow", "follow").await? else {
        panic!("another process is the writer");
    };
    let set = read_partition_set(store, &layout()).await?.expect("a lake");
    let writer = ChangeWriter::new(WriterOptions {
        store: store.clone(),
        registry: registry(server),
        layout: layout(),
        set,
        representation: Representation::Full,
        progress: Arc::default(),
        stop: CancellationToken::new(),
        lease: lease.watch(),
        fold,
    });
    let done = work(&writer).await;
    lease.end_after(done).await
}

/// Applies what the registry has changed of some names.
async fn apply(server: &SampleServer, store: &Store, names: &BTreeSet<String>) -> Result<Applied> {
    let changes: Vec<Change> = names.iter().map(|name| change(server, name)).collect();
    as_writer(server, store, NEVER, async |writer| {
        let news = writer.news(changes).await?;
        writer.apply(news).await
    })
    .await
}

async fn tend(server: &SampleServer, store: &Store, fold: FoldPolicy) -> Result<Tended> {
    as_writer(server, store, fold, async |writer| writer.tend().await).await
}

/// Returns the last change of a name, as the feed says it.
fn change(server: &SampleServer, name: &str) -> Change {
    let rev = server.world().revision(name).map(|rev| rev.to_string());
    let kind = if rev.is_some() { ChangeKind::Changed } else { ChangeKind::Deleted };
    let rev = Revision::new(rev.unwrap_or_else(|| "99-deleted".to_owned()));
    Change { name: PackageName::new(name), rev, kind, seq: None }
}

/// Returns the rows of each name in a table: those of the newest delta that counts, or of the base.
async fn rows(store: &Store, table: TableKind) -> BTreeMap<String, RecordBatch> {
    let view = OverlayView::read(store, &layout(), &OverlayView::empty()).await.unwrap();
    let (mut rows, mut of_deltas) = (BTreeMap::new(), BTreeMap::new());
    for held in &view.deltas {
        let path = held.layout.shard(table, &Delta::PARTITION);
        of_deltas.insert(held.delta.last, shard_rows(store, &path, table).await);
    }
    for partition in read_partition_set(store, &layout()).await.unwrap().unwrap().iter() {
        let mut of_partition = shard_rows(store, &layout().shard(table, &partition), table).await;
        for (name, held) in view.names_of(&partition) {
            of_partition.remove(name);
            if let Some(Said::Has(_)) = held.says(name) {
                let rows = of_deltas.get(&held.delta.last).and_then(|rows| rows.get(name));
                of_partition.extend(rows.map(|rows| (name.to_owned(), rows.clone())));
            }
        }
        rows.extend(of_partition);
    }
    rows
}

async fn shard_rows(store: &Store, path: &str, table: TableKind) -> BTreeMap<String, RecordBatch> {
    let Some(file) = store.open_whole(path).await.unwrap() else { return BTreeMap::new() };
    let schema = schema(table);
    let batches: Vec<RecordBatch> = ShardReader::open(table, file, &schema).unwrap().map(Result::unwrap).collect();
    let all = concat_batches(&schema, &batches).unwrap();
    let names = all.column_by_name("name").unwrap().as_string::<i32>().clone();
    // Times and attempts differ between two ingests, and 304 says the same as 200.
    let is_kept = |index: &usize| {
        let left_out = ["attempts", "fetched_at", "http_status", "next_request_at", "repetitions"];
        !left_out.contains(&schema.field(*index).name().as_str())
    };
    let kept: Vec<usize> = (0..schema.fields().len()).filter(is_kept).collect();
    let (mut rows, mut start) = (BTreeMap::new(), 0);
    for row in 1..=all.num_rows() {
        if row == all.num_rows() || names.value(row) != names.value(start) {
            let of_name = all.slice(start, row - start).project(&kept).unwrap();
            assert!(rows.insert(names.value(start).to_owned(), of_name).is_none(), "{path} has a name in two places");
            start = row;
        }
    }
    rows
}

async fn record(store: &Store) -> Overlay {
    store.read_record(&layout().overlay()).await.unwrap().unwrap()
}

/// Folds everything, as another process beside the writer.
async fn fold_everything(store: &Store) {
    let options = FoldOptions { policy: FoldPolicy::EVERYTHING, origin: None };
    Box::pin(fold(store, &options, Arc::default(), CancellationToken::new())).await.unwrap();
}

/// Ingests the registry into a new lake.
async fn fresh(server: &SampleServer) -> Lake {
    ingested(server, Backend::Memory).await
}

async fn ingested(server: &SampleServer, backend: Backend) -> Lake {
    let lake = backend.lake(&BTreeMap::new()).await;
    run(server, &lake.store, &PIVOTS).await.unwrap();
    lake
}

/// Starts a registry of so many names, and ingests it into a new lake.
async fn filled(backend: Backend, names: usize) -> (SampleServer, Lake) {
    let server = server(names);
    let lake = ingested(&server, backend).await;
    (server, lake)
}

async fn assert_same_rows(store: &Store, fresh: &Store, after: &str) {
    for table in TableKind::ALL {
        let (ours, theirs) = (rows(store, table).await, rows(fresh, table).await);
        let names = |rows: &BTreeMap<String, RecordBatch>| rows.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&ours), names(&theirs), "the names of {table} {after}");
        for (name, ours) in ours {
            assert_eq!(ours, theirs[&name], "{name} in {table} {after}");
        }
    }
}

/// Folds everything, and asserts that the base has the bytes of a fresh ingest and the overlay has nothing.
async fn assert_folds_into(server: &SampleServer, store: &Store, fresh: &Store, after: &str) {
    tend(server, store, FoldPolicy::EVERYTHING).await.unwrap();
    let record: Option<Overlay> = store.read_record(&layout().overlay()).await.unwrap();
    assert!(record.is_none_or(|record| record.deltas.is_empty() && record.folded.is_empty()), "{after}");
    let left = store.list(&layout().overlay_folder()).await.unwrap();
    let may_stay = |path: &String| *path == layout().overlay() || Store::is_put_begun(path);
    assert!(left.iter().all(may_stay), "{left:?} is left {after}");
    store.delete(&layout().overlay()).await.unwrap();
    assert_same(store, fresh, after).await;
}

/// A change of the registry, of one of its names.
fn edit(server: &SampleServer, kind: u8, name: &str) {
    let mut world = server.world();
    let version = format!("{}.0.0", 80 + u64::from(kind) + world.counts().update_seq);
    match kind {
        0..=3 => world.publish(name, &version),
        4 => world.unpublish(name),
        5 => world.delete(name),
        6 => world.delete_leaving_tombstone(name),
        _ => world.publish(&format!("{name}-new"), &version),
    }
}

fn names(server: &SampleServer) -> Vec<String> {
    server.world().names().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_committed_beside_the_base_and_fold_into_the_bytes_of_a_fresh_ingest() {
    for backend in [Backend::Memory, Backend::Disk] {
        let (server, lake) = filled(backend, 30).await;
        let base = lake.store.contents().await;
        let all = names(&server);
        let mut changed = BTreeSet::new();
        for (kind, name) in [(0, &all[0]), (4, &all[5]), (5, &all[12]), (6, &all[20]), (7, &all[29])] {
            edit(&server, kind, name);
            changed.extend([name.clone(), format!("{name}-new")]);
        }
        server.clear_requests();
        let applied = apply(&server, &lake.store, &changed).await.unwrap();
        assert_eq!((applied.committed, applied.lagging), (5, Vec::new()));
        let asked = server.requests().iter().filter(|request| request.kind == Kind::Packument).count();
        assert_eq!(asked, 5);
        for (path, bytes) in &base {
            let is_of_tables = TableKind::ALL.iter().any(|table| path.starts_with(&layout().table(*table)));
            assert!(!is_of_tables || lake.store.get(path).await.unwrap().as_ref() == Some(bytes), "{path} has changed");
        }
        let quiet = fresh(&server).await;
        assert_same_rows(&lake.store, &quiet.store, "after a commit").await;
        // A known document is no news.
        assert_eq!(apply(&server, &lake.store, &changed).await.unwrap(), Applied::default());
        edit(&server, 0, &all[0]);
        apply(&server, &lake.store, &BTreeSet::from([all[0].clone()])).await.unwrap();
        let quiet = fresh(&server).await;
        assert_same_rows(&lake.store, &quiet.store, "after two commits").await;
        assert_folds_into(&server, &lake.store, &quiet.store, "after a fold").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_compares_with_the_overlay_and_folds_what_it_changes() {
    let (server, lake) = filled(Backend::Memory, 30).await;
    let all = names(&server);
    let changed: BTreeSet<String> = [&all[0], &all[1], &all[29]].into_iter().cloned().collect();
    changed.iter().for_each(|name| edit(&server, 0, name));
    apply(&server, &lake.store, &changed).await.unwrap();
    // Nothing is new to a listing, and nothing is folded for it.
    server.clear_requests();
    let summary = run(&server, &lake.store, &PIVOTS).await.unwrap();
    assert_eq!((summary.counts.packuments_planned, summary.counts.partitions_unchanged), (0, 3));
    // Another name of the first partition changes: only that partition is folded.
    edit(&server, 0, &all[2]);
    let summary = run(&server, &lake.store, &PIVOTS).await.unwrap();
    assert_eq!((summary.counts.packuments_planned, summary.counts.partitions_unchanged), (1, 2));
    let record: Overlay = lake.store.read_record(&layout().overlay()).await.unwrap().unwrap();
    assert_eq!(record.folded.values().copied().collect::<Vec<_>>(), [1]);
    let quiet = fresh(&server).await;
    assert_same_rows(&lake.store, &quiet.store, "after an ingest").await;
    assert_folds_into(&server, &lake.store, &quiet.store, "after an ingest and a fold").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deltas_stay_few_and_the_newest_rows_of_each_name_count() {
    let (server, lake) = filled(Backend::Memory, 20).await;
    let all = names(&server);
    let mut merges = 0;
    for round in 0..24 {
        let name = all[round * 7 % all.len()].clone();
        edit(&server, (round % 7) as u8, &name);
        apply(&server, &lake.store, &BTreeSet::from([name])).await.unwrap();
        merges += tend(&server, &lake.store, NEVER).await.unwrap().merges;
        let record: Overlay = lake.store.read_record(&layout().overlay()).await.unwrap().unwrap();
        assert!(record.deltas.len() <= 10, "{record:?}");
    }
    assert!(merges > 6, "{merges}");
    let quiet = fresh(&server).await;
    assert_same_rows(&lake.store, &quiet.store, "after merges").await;
    assert_folds_into(&server, &lake.store, &quiet.store, "after merges and a fold").await;
}

/// Does some work in a process that dies before one of its steps, and after it again in another one.
async fn dies_and_goes_on<T>(
    lake: &Lake,
    step: &Reached,
    keeps_scratch: bool,
    work: impl AsyncFn(Store) -> Result<T>,
) -> Option<Store> {
    let failing = lake.store.failing_before(step, Failure::Death);
    let worked = work(failing.clone()).await;
    failing.failed_at()?;
    if let Err(error) = worked {
        assert!([ErrorKind::Lake, ErrorKind::Interrupted].contains(&error.kind()), "{step}: {error:?}");
    }
    let store = lake.next_store(keeps_scratch);
    forget_dead_process(&store).await;
    work(store.clone()).await.unwrap();
    Some(store)
}

/// Lets a process die before every step of some work, and asserts that the next one ends in the lake of a fresh ingest.
async fn dies_everywhere(
    backend: Backend,
    keeps_scratch: bool,
    every: usize,
    work: impl AsyncFn(&SampleServer, Store, &[String]) -> Result<()>,
) -> usize {
    let (server, before) = filled(Backend::Memory, 12).await;
    let all = names(&server);
    for (round, kind) in [0, 5, 0, 6].into_iter().enumerate() {
        edit(&server, kind, &all[round]);
        apply(&server, &before.store, &BTreeSet::from([all[round].clone()])).await.unwrap();
    }
    edit(&server, 0, &all[7]);
    edit(&server, 5, &all[8]);
    let before = before.store.contents().await;
    let quiet = backend.lake(&before).await;
    work(&server, quiet.store.clone(), &all).await.unwrap();
    let steps = quiet.store.take_reached();
    let fresh = fresh(&server).await;
    let mut tried = 0;
    for step in steps.iter().step_by(every) {
        let lake = backend.lake(&before).await;
        let Some(store) = dies_and_goes_on(&lake, step, keeps_scratch, |store| work(&server, store, &all)).await else {
            continue;
        };
        let changed = [7, 8].map(|at| all[at].clone()).into();
        apply(&server, &store, &changed).await.unwrap();
        assert_same_rows(&store, &fresh.store, &format!("after a death at {step}")).await;
        assert_folds_into(&server, &store, &fresh.store, &format!("after a death at {step}")).await;
        lake.assert_no_uploads(&step.to_string());
        tried += 1;
    }
    tried
}

async fn applies(server: &SampleServer, store: Store, all: &[String]) -> Result<()> {
    apply(server, &store, &all.iter().cloned().collect()).await.map(drop)
}

async fn merges(server: &SampleServer, store: Store, _: &[String]) -> Result<()> {
    tend(server, &store, NEVER).await.map(drop)
}

async fn folds(server: &SampleServer, store: Store, _: &[String]) -> Result<()> {
    tend(server, &store, FoldPolicy { rows: 0.0, ..NEVER }).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_death_at_any_step_of_a_commit_no_change_is_lost() {
    for keeps_scratch in [true, false] {
        let tried = dies_everywhere(Backend::Memory, keeps_scratch, 7, applies).await;
        assert!(tried >= 10, "{tried}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_death_at_any_step_of_a_merge_no_change_is_lost() {
    let tried = dies_everywhere(Backend::Memory, false, 7, merges).await;
    assert!(tried >= 10, "{tried}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_death_at_any_step_of_a_fold_no_change_is_lost() {
    let tried = dies_everywhere(Backend::Memory, false, 13, folds).await;
    assert!(tried >= 10, "{tried}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_death_on_a_disk_no_change_is_lost() {
    assert!(dies_everywhere(Backend::Disk, true, 17, applies).await > 4);
    assert!(dies_everywhere(Backend::Disk, true, 17, merges).await > 4);
    assert!(dies_everywhere(Backend::Disk, true, 53, folds).await > 4);
}

#[test]
fn the_stem_of_the_writers_lease_is_no_partition() {
    assert!(crate::lake::Partition::from_file_stem("follow").is_none());
    assert_eq!(
        Layout::origin("npm").delta_at("npm/overlay/0000000001-0000000002/docs/0-z.parquet").unwrap().root(),
        "npm/overlay/0000000001-0000000002"
    );
    assert!(Layout::origin("npm").delta_at("npm/overlay/overlay.json").is_none());
    assert!(Layout::origin("npm").delta_at("npm/overlay/1-2/docs/0-z.parquet").is_none());
}
