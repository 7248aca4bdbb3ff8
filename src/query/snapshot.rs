//! The shards that one statement reads: each of them at one version, however often the statement names its table.
//!
//! An ingest may replace a shard at any time. So a statement lists a table's folder once, opens the shards that it needs
//! when it is planned, and keeps them open until it ends. On a disk an open file stays what it is. A store that opens
//! nothing is asked for the version that was listed, by its ETag (`ranged_shard`). If no more files may be kept open, a
//! shard is opened when it is first read, and for each read; a later read of it expects that version. A statement that
//! meets another version is planned again (`session`). Not here: decoding (`shard_reader`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use datafusion::catalog::Session;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::error::Result;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::sync::{OnceCell, Semaphore};

use super::failure::ShardFault;
use super::lake_location::LakeLocation;
use super::ranged_shard::RangedShard;
use crate::store::{KeptFile, brief_files};

/// Shards that are opened at once.
const OPENED_AT_ONCE: usize = 16;

/// A store, by its address in memory, and a path in it.
type Place = (usize, ObjectPath);

/// The shards of one statement.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    listings: Mutex<HashMap<Place, Arc<OnceCell<Vec<ObjectMeta>>>>>,
    shards: Mutex<HashMap<Place, Known>>,
    /// The shards of stores that open no files, as long as somebody reads them.
    ranged: Mutex<HashMap<Place, Weak<RangedShard>>>,
}

/// A shard that was opened.
#[derive(Debug)]
struct Known {
    e_tag: Option<String>,
    /// The shard, if its file is kept open.
    kept: Option<Arc<OpenShard>>,
}

/// One version of a shard on a disk.
#[derive(Debug)]
pub(super) struct OpenShard {
    /// Its path, size and ETag.
    pub(super) meta: ObjectMeta,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// An open file, and the right to keep it.
    File { file: Arc<File>, _right: KeptFile },
    /// A file that is opened for each read. The read asks for the version.
    Closed(Arc<dyn ObjectStore>),
}

impl Snapshot {
    /// Returns the snapshot of the statement that is planned with `state`.
    pub(super) fn of(state: &dyn Session) -> Arc<Snapshot> {
        state.config().get_extension::<Snapshot>().unwrap_or_default()
    }

    /// Returns the files in a table's folder, at any depth. Lists them once.
    pub(super) async fn list(&self, location: &LakeLocation, folder: &ObjectPath) -> Result<Vec<ObjectMeta>> {
        let place = place(&location.store, folder);
        let listing = Arc::clone(lock(&self.listings).entry(place).or_default());
        let list = || async { location.store.list(Some(folder)).try_collect::<Vec<ObjectMeta>>().await };
        Ok(listing.get_or_try_init(list).await?.clone())
    }

    /// Returns the file at a path; `None` if there is none. Looks for it once.
    pub(super) async fn find(&self, location: &LakeLocation, path: &ObjectPath) -> Result<Option<ObjectMeta>> {
        let place = place(&location.store, path);
        let found = Arc::clone(lock(&self.listings).entry(place).or_default());
        let find = || async {
            match location.store.head(path).await {
                Ok(found) => Ok(vec![found]),
                Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
                Err(error) => Err(error),
            }
        };
        Ok(found.get_or_try_init(find).await?.first().cloned())
    }

    /// Opens the shards that a scan needs, as long as they may be kept open, and gives each the size of its version. Of a
    /// store that opens no files, the versions are those that were listed.
    pub(super) async fn keep(
        &self,
        location: &LakeLocation,
        shards: Vec<PartitionedFile>,
    ) -> Result<Vec<PartitionedFile>, ShardFault> {
        if !location.opens_files {
            return Ok(shards);
        }
        let store = &location.store;
        let keep = |mut shard: PartitionedFile| async {
            if let Some(right) = KeptFile::take() {
                shard.object_meta =
                    self.open_with(store, &shard.object_meta.location, None, Some(right)).await?.meta.clone();
            }
            Ok(shard)
        };
        stream::iter(shards).map(keep).buffered(OPENED_AT_ONCE).try_collect().await
    }

    /// Returns a shard of a store that opens no files, in the version that was listed. All readers of it share one.
    pub(super) fn ranged(&self, location: &LakeLocation, listed: &ObjectMeta) -> Arc<RangedShard> {
        let mut ranged = lock(&self.ranged);
        let known = ranged.entry(place(&location.store, &listed.location)).or_default();
        known.upgrade().unwrap_or_else(|| {
            let shard = Arc::new(RangedShard::new(location.clone(), listed.clone()));
            *known = Arc::downgrade(&shard);
            shard
        })
    }

    /// Opens a shard for a read. `planned` is the version that the plan depends on, if it does.
    pub(super) async fn open(
        &self,
        store: &Arc<dyn ObjectStore>,
        location: &ObjectPath,
        planned: Option<&ObjectMeta>,
    ) -> Result<Arc<OpenShard>, ShardFault> {
        self.open_with(store, location, planned.and_then(|planned| planned.e_tag.clone()), None).await
    }

    async fn open_with(
        &self,
        store: &Arc<dyn ObjectStore>,
        location: &ObjectPath,
        planned: Option<String>,
        right: Option<KeptFile>,
    ) -> Result<Arc<OpenShard>, ShardFault> {
        let place = place(store, location);
        let expected = match lock(&self.shards).get(&place) {
            Some(Known { kept: Some(shard), .. }) => return Ok(Arc::clone(shard)),
            Some(known) => known.e_tag.clone(),
            None => planned,
        };
        let shard = Arc::new(OpenShard::open(store, location, expected, right).await?);
        let e_tag = shard.meta.e_tag.clone();
        match lock(&self.shards).entry(place) {
            Entry::Vacant(vacant) => {
                let is_kept = matches!(shard.source, Source::File { .. });
                vacant.insert(Known { e_tag, kept: is_kept.then(|| Arc::clone(&shard)) });
                Ok(shard)
            }
            // Another reader of the statement was faster.
            Entry::Occupied(known) => match &known.get().kept {
                Some(kept) => Ok(Arc::clone(kept)),
                None if known.get().e_tag == e_tag => Ok(shard),
                None => Err(ShardFault::of_replaced(location)),
            },
        }
    }
}

impl OpenShard {
    /// Opens the shard, and fails if it is not the version `expected`. A file stays open if there is a `right` to that.
    async fn open(
        store: &Arc<dyn ObjectStore>,
        location: &ObjectPath,
        expected: Option<String>,
        right: Option<KeptFile>,
    ) -> Result<OpenShard, ShardFault> {
        let (from, path) = (Arc::clone(store), location.clone());
        let open = async move {
            // A disk opens the file for this as well.
            let found = from.get_opts(&path, GetOptions::new().with_head(true).with_if_match(expected)).await?;
            let source = match (found.payload, right) {
                (GetResultPayload::File(file, _), Some(right)) => Source::File { file: Arc::new(file), _right: right },
                _ => Source::Closed(from),
            };
            Ok(OpenShard { meta: found.meta, source })
        };
        briefly(open).await.map_err(|error| ShardFault::of_store(location, error))
    }

    /// Reads some bytes.
    pub(super) async fn read(&self, range: Range<u64>) -> Result<Bytes, ShardFault> {
        let location = &self.meta.location;
        match &self.source {
            Source::File { file, .. } => {
                let file = Arc::clone(file);
                let read = tokio::task::spawn_blocking(move || read_range(&file, range)).await;
                let read = read.unwrap_or_else(|died| Err(std::io::Error::other(died)));
                read.map_err(|error| ShardFault::of_file(location, error))
            }
            Source::Closed(store) => {
                let options = GetOptions::new()
                    .with_range(Some(GetRange::Bounded(range)))
                    .with_if_match(self.meta.e_tag.clone())
                    .with_version(self.meta.version.clone());
                let (store, path) = (Arc::clone(store), location.clone());
                let read = async move { store.get_opts(&path, options).await?.bytes().await };
                briefly(read).await.map_err(|error| ShardFault::of_store(location, error))
            }
        }
    }
}

/// Runs an access that opens a file and closes it, when few others are in progress. It has its own task: otherwise an
/// access that is not polled could hold its file, while the operator that polls it waits for another one.
async fn briefly<T: Send + 'static>(
    access: impl Future<Output = object_store::Result<T>> + Send + 'static,
) -> object_store::Result<T> {
    static IN_PROGRESS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(brief_files()));
    let task = tokio::spawn(async {
        // The semaphore is never closed.
        let _permit = IN_PROGRESS.acquire().await;
        access.await
    });
    task.await.unwrap_or_else(|died| Err(object_store::Error::Generic { store: "disk", source: Box::new(died) }))
}

fn read_range(file: &File, range: Range<u64>) -> std::io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX)];
    crate::store::read_exact_at(file, &mut bytes, range.start)?;
    Ok(bytes.into())
}

fn place(store: &Arc<dyn ObjectStore>, path: &ObjectPath) -> Place {
    (Arc::as_ptr(store).cast::<()>() as usize, path.clone())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
