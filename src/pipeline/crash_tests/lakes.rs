//! Lakes that tests let fail, and what holds of them at any moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::commit::read_manifests;
use crate::error::Result;
use crate::event::EventsReader;
use crate::lake::{Layout, OriginInfo, OriginLayout, Partition, Pivots};
use crate::pipeline::{IngestOptions, IngestSummary, PartitionMode, Progress, ingest};
use crate::registry::{Credentials, Origin, Registry, RegistryConfig};
use crate::sample::SampleServer;
use crate::shard::{ShardReader, held_outcomes};
use crate::store::{MemoryBucket, Store, blocking};
use crate::table::TableKind;
use crate::table::events::events_of;
use crate::table::schema;

pub(in crate::pipeline) fn layout() -> OriginLayout {
    Layout::origin("sample")
}

pub(in crate::pipeline) async fn run(server: &SampleServer, store: &Store, pivots: &[&str]) -> Result<IngestSummary> {
    let mut origin = Origin::parse(server.url(), None).unwrap();
    layout().name().clone_into(&mut origin.name);
    let config = RegistryConfig::for_origin(&origin);
    let options = IngestOptions {
        pivots: Some(Pivots::new(pivots.iter().map(|&key| key.to_owned()).collect()).unwrap()),
        partitions: PartitionMode::Exact,
        ..IngestOptions::new(
            store.clone(),
            Registry::new(origin, config, Credentials::default()).unwrap(),
            OriginInfo { replicate_url: "sample".to_owned(), registry_url: "sample".to_owned() },
        )
    };
    ingest(options, Arc::new(Progress::default()), CancellationToken::new()).await
}

/// The backend of a lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pipeline) enum Backend {
    /// A bucket in memory.
    Memory,
    Disk,
}

/// A lake, and the folder that is deleted with it.
pub(in crate::pipeline) struct Lake {
    pub(in crate::pipeline) store: Store,
    bucket: Option<Arc<MemoryBucket>>,
    _folder: Option<tempfile::TempDir>,
}

impl Lake {
    /// Returns the store of the next process. It has the scratch folder of the one before only if `keeps_scratch`.
    pub(in crate::pipeline) fn next_store(&self, keeps_scratch: bool) -> Store {
        let bucket = self.bucket.as_ref().filter(|_| !keeps_scratch);
        bucket.map_or_else(|| self.store.clone(), Store::of_memory)
    }

    /// Asserts that no upload was begun and not ended.
    pub(in crate::pipeline) fn assert_no_uploads(&self, after: &str) {
        let uploads = self.bucket.as_ref().map_or(0, |bucket| bucket.open_uploads());
        assert_eq!(uploads, 0, "after a failure at {after}");
    }
}

impl Backend {
    pub(in crate::pipeline) async fn lake(self, objects: &BTreeMap<String, Bytes>) -> Lake {
        if self == Backend::Disk {
            let folder = tempfile::tempdir().unwrap();
            for (path, bytes) in objects {
                let path = folder.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
            let store = Store::open(folder.path().to_str().unwrap()).unwrap();
            return Lake { store, bucket: None, _folder: Some(folder) };
        }
        let bucket = Arc::new(MemoryBucket::new());
        let store = Store::of_memory(&bucket);
        for (path, bytes) in objects {
            store.put(path, bytes.clone()).await.unwrap();
        }
        store.take_reached();
        Lake { store, bucket: Some(bucket), _folder: None }
    }
}

/// Returns whether the bytes of an object contain times, attempts, or counts of requests.
fn carries_times(path: &str) -> bool {
    ["/manifest/", "/outcomes/", "/follow.json", Layout::INFO, Layout::REQUESTS].iter().any(|part| path.contains(part))
}

/// Returns the rows of `outcomes` without attempts and times.
async fn outcomes(store: &Store) -> Vec<RecordBatch> {
    let mut rows = Vec::new();
    for path in store.list(&layout().table(TableKind::Outcomes)).await.unwrap() {
        let file = store.open_shard(&path).await.unwrap().unwrap();
        let schema = schema(TableKind::Outcomes);
        let kept: Vec<usize> = (0..schema.fields().len())
            .filter(|&index| !["attempts", "fetched_at"].contains(&schema.field(index).name().as_str()))
            .collect();
        let reader = ShardReader::open(TableKind::Outcomes, file, &schema).unwrap();
        rows.extend(reader.map(|batch| batch.unwrap().project(&kept).unwrap()));
    }
    rows
}

pub(in crate::pipeline) async fn assert_same(store: &Store, quiet: &Store, after: &str) {
    let (ours, theirs) = (store.contents().await, quiet.contents().await);
    // Other processes may be writing, so the begun puts of a dead process are removed only after a minute.
    let is_left =
        |path: &String| Store::is_put_begun(path) && !path.contains("/staging/") && !path.contains("/manifest/");
    let names = |objects: &BTreeMap<String, Bytes>| {
        objects.keys().filter(|path| !is_left(path) && !is_of_events(path)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(names(&ours), names(&theirs), "after a failure at {after}");
    for (path, bytes) in &ours {
        assert!(
            is_left(path) || is_of_events(path) || carries_times(path) || *bytes == theirs[path],
            "{path} differs after a failure at {after}"
        );
    }
    assert_eq!(outcomes(store).await, outcomes(quiet).await, "after a failure at {after}");
}

/// Returns whether an object has events, which hold the time at which they were seen.
fn is_of_events(path: &str) -> bool {
    path.starts_with(&format!("{}/", layout().events())) || path.starts_with(&format!("{}/", layout().feed()))
}

/// Returns what happened by the files of days, each event as often as it is there.
pub(in crate::pipeline) async fn events(store: &Store) -> Vec<String> {
    events_in(store, &[layout().events()]).await
}

/// The same of these folders.
pub(in crate::pipeline) async fn events_in(store: &Store, folders: &[String]) -> Vec<String> {
    let mut told = Vec::new();
    let mut paths = Vec::new();
    for folder in folders {
        paths.extend(store.list(folder).await.unwrap());
    }
    for path in paths.into_iter().filter(|path| layout().is_of_events(path)) {
        let store = store.clone();
        let read = move || {
            let mut events = Vec::new();
            for batch in EventsReader::open(&store, &path, true)?.unwrap().batches(None)? {
                events.extend(events_of(&batch?)?);
            }
            Ok(events)
        };
        let events = blocking("a reader of events", read).await.unwrap();
        assert!(events.is_sorted_by_key(|event| event.seen_at_us));
        told.extend(
            events.into_iter().map(|event| format!("{} {} {} {}", event.name, event.event, event.rev, event.id)),
        );
    }
    told.sort();
    told
}

/// Asserts two rules that hold at any moment. A shard of a table is wholly that of one of two lakes. The shards match
/// their manifest, unless it is still the old one of a commit that must be rolled forward. A shard of `outcomes`, which
/// holds times, has each name once.
pub(in crate::pipeline) async fn assert_nothing_half(store: &Store, lakes: [&BTreeMap<String, Bytes>; 2], after: &str) {
    let now = store.contents().await;
    for (path, bytes) in now.iter().filter(|(path, _)| path.ends_with(".parquet") && !path.contains("/staging/")) {
        let is_whole =
            is_of_events(path) || lakes.iter().any(|lake| lake.get(path) == Some(bytes)) || carries_times(path);
        assert!(is_whole, "{path} is neither the old nor the new shard after a failure at {after}");
    }
    for path in store.list(&layout().table(TableKind::Outcomes)).await.unwrap() {
        let file = store.open_whole(&path).await.unwrap().unwrap();
        let reader = ShardReader::open(TableKind::Outcomes, file, &schema(TableKind::Outcomes)).unwrap();
        let names: Vec<_> =
            reader.flat_map(|batch| held_outcomes(&batch.unwrap()).unwrap()).map(|row| row.name).collect();
        assert!(names.is_sorted_by(|one, other| one < other), "{path} after a failure at {after}");
    }
    for manifest in read_manifests(store, &layout()).await.unwrap() {
        let path = layout().manifest(&manifest.partition);
        let is_old = lakes[0].get(&path) == now.get(&path);
        if is_old && now.contains_key(&layout().commit_intent(&manifest.partition)) {
            continue;
        }
        for (table, meta) in &manifest.shards {
            let path = layout().shard(TableKind::parse(table).unwrap(), &manifest.partition);
            let digest = format!("{:x}", Sha256::digest(&now[&path]));
            assert_eq!(digest, meta.sha256, "{path} is not as its manifest says after a failure at {after}");
        }
    }
}

/// Removes the records that show the process as alive. Another process would find it dead, but here both are one
/// process.
pub(in crate::pipeline) async fn forget_dead_process(store: &Store) {
    for path in store.list("").await.unwrap() {
        let target = Store::target_of_put(&path).unwrap_or_else(|| path.clone());
        let is_of_run = layout().parse_run_status(&target).is_some() || layout().parse_scan_spool(&target).is_some();
        if is_of_run || target.starts_with(&layout().leases()) {
            store.delete(&path).await.unwrap();
        }
    }
}

/// Returns the kind of the object at a path, the same for all tables, partitions and segments.
pub(in crate::pipeline) fn kind_of(path: &str) -> String {
    let parts = path.split('/').map(|part| {
        let (stem, suffix) = part.split_once('.').unwrap_or((part, ""));
        let is_partition = Partition::from_file_stem(stem).is_some();
        let stem = match stem {
            _ if TableKind::parse(stem).is_some() => "table",
            _ if is_partition => "partition",
            _ if stem.starts_with("answers-") => "answers",
            _ if stem.starts_with("events-") => "events",
            _ if suffix == "kept" => "table",
            _ if stem.parse::<jiff::civil::Date>().is_ok() => "day",
            // The file of a commit's events is named by its time.
            _ if suffix == "parquet" && stem.starts_with('0') && stem.len() > 30 => "commit",
            _ if stem.starts_with("run-") => "run",
            _ if stem.starts_with("scan-") => "scan",
            _ => stem,
        };
        if suffix.is_empty() { stem.to_owned() } else { format!("{stem}.{suffix}") }
    });
    parts.collect::<Vec<_>>().join("/")
}
