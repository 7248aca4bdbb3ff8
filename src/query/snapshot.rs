//! The shards that one statement reads: each of them at one version, however often the statement names its table.
//!
//! An ingest may replace a shard at any time. So a statement lists a table's folder once, opens the shards that it needs
//! when it is planned, and keeps them open until it ends. On a disk an open file stays what it is. A store that opens
//! nothing is asked for the version that was listed, by its ETag (`ranged_shard`). If no more files may be kept open, a
//! shard is opened when it is first read; a later read of it expects that version. A statement that meets another version
//! is planned again (`session`). Not here: decoding (`shard_reader`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use datafusion::catalog::Session;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::error::Result;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetResultPayload, ObjectMeta, ObjectStore};
use tokio::sync::OnceCell;

use super::failure::ShardFault;
use super::lake_location::LakeLocation;
use super::ranged_shard::RangedShard;
use crate::store::KeptFile;

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
    /// The open shard, and the right to keep it.
    kept: Option<(Arc<OpenShard>, KeptFile)>,
}

/// An open file, which is one version of a shard.
#[derive(Debug)]
pub(super) struct OpenShard {
    /// Its path, size and ETag.
    pub(super) meta: ObjectMeta,
    file: Arc<File>,
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
            Some(Known { kept: Some((shard, _)), .. }) => return Ok(Arc::clone(shard)),
            Some(known) => known.e_tag.clone(),
            None => planned,
        };
        let shard = Arc::new(OpenShard::open(store, location, expected).await?);
        let e_tag = shard.meta.e_tag.clone();
        match lock(&self.shards).entry(place) {
            Entry::Vacant(vacant) => {
                vacant.insert(Known { e_tag, kept: right.map(|right| (Arc::clone(&shard), right)) });
                Ok(shard)
            }
            // Another reader of the statement was faster.
            Entry::Occupied(known) => match &known.get().kept {
                Some((kept, _)) => Ok(Arc::clone(kept)),
                None if known.get().e_tag == e_tag => Ok(shard),
                None => Err(ShardFault::of_replaced(location)),
            },
        }
    }
}

impl OpenShard {
    /// Opens the shard, and fails if it is not the version `expected`.
    async fn open(
        store: &Arc<dyn ObjectStore>,
        location: &ObjectPath,
        expected: Option<String>,
    ) -> Result<OpenShard, ShardFault> {
        let head = GetOptions::new().with_head(true).with_if_match(expected);
        let found = store.get_opts(location, head).await.map_err(|error| ShardFault::of_store(location, error))?;
        match found.payload {
            GetResultPayload::File(file, _) => Ok(OpenShard { meta: found.meta, file: Arc::new(file) }),
            GetResultPayload::Stream(_) => Err(ShardFault::of_no_file(location)),
        }
    }

    /// Reads some bytes.
    pub(super) async fn read(&self, range: Range<u64>) -> Result<Bytes, ShardFault> {
        let file = Arc::clone(&self.file);
        let read = tokio::task::spawn_blocking(move || read_range(&file, range)).await;
        let read = read.unwrap_or_else(|died| Err(std::io::Error::other(died)));
        read.map_err(|error| ShardFault::of_file(&self.meta.location, error))
    }
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
