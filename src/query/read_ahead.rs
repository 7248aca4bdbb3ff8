//! Reads the footers of a scan's shards some way ahead of its readers, which read one shard after the other: in a far
//! store, the footer of each would cost them the time of a request. Not here: reading a footer (`ranged_shard`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::datasource::physical_plan::FileGroup;
use futures::{StreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path as ObjectPath;
use parquet::file::metadata::PageIndexPolicy;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;

use super::lake_location::LakeLocation;
use super::ranged_shard::RangedShard;
use super::snapshot::Snapshot;

/// Footers that are requested at once.
const AT_ONCE: usize = 32;
/// Footers that wait for their readers. The end of a shard has some 64 kB.
const MOST_WAITING: usize = 128;

/// Reads the footers of shards before the readers of a scan need them. Stops when it is dropped.
#[derive(Debug)]
pub(super) struct ReadAhead {
    /// In the order in which the readers, one for each group, come to them.
    shards: Vec<ObjectMeta>,
    waiting: Arc<Mutex<Waiting>>,
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// The footers that were read or are being read, by shard; `None` for a shard that is still to come.
type Waiting = HashMap<ObjectPath, Option<(Arc<RangedShard>, OwnedSemaphorePermit)>>;

impl ReadAhead {
    /// Prepares to read ahead in these groups; `None` if each has one shard only.
    pub(super) fn of(groups: &[FileGroup]) -> Option<ReadAhead> {
        let longest = groups.iter().map(FileGroup::len).max().unwrap_or_default();
        if longest < 2 {
            return None;
        }
        let place = |place: usize| groups.iter().filter_map(move |group| group.files().get(place));
        let shards: Vec<ObjectMeta> = (0..longest).flat_map(place).map(|shard| shard.object_meta.clone()).collect();
        let waiting = shards.iter().map(|shard| (shard.location.clone(), None)).collect();
        Some(ReadAhead { shards, waiting: Arc::new(Mutex::new(waiting)), task: Mutex::new(None) })
    }

    /// Returns a shard to its reader. The first call begins to read the footers of the others; `policy` says whether with
    /// their page indexes. Must be called within a runtime.
    pub(super) fn take(
        &self,
        location: &LakeLocation,
        snapshot: &Arc<Snapshot>,
        shard: &ObjectMeta,
        policy: PageIndexPolicy,
    ) -> Arc<RangedShard> {
        let known = lock(&self.waiting).remove(&shard.location).flatten();
        let taken = known.map_or_else(|| snapshot.ranged(location, shard), |(shard, _)| shard);
        lock(&self.task).get_or_insert_with(|| self.begin(location, snapshot, policy));
        taken
    }

    fn begin(
        &self,
        location: &LakeLocation,
        snapshot: &Arc<Snapshot>,
        policy: PageIndexPolicy,
    ) -> AbortOnDropHandle<()> {
        let (waiting, location, snapshot) = (Arc::clone(&self.waiting), location.clone(), Arc::clone(snapshot));
        let places = Arc::new(Semaphore::new(MOST_WAITING));
        let read = move |shard: ObjectMeta| {
            let (waiting, places) = (Arc::clone(&waiting), Arc::clone(&places));
            let (location, snapshot) = (location.clone(), Arc::clone(&snapshot));
            async move {
                let Ok(place) = places.acquire_owned().await else { return };
                let shard = match lock(&waiting).get_mut(&shard.location) {
                    Some(slot) => {
                        let shard = snapshot.ranged(&location, &shard);
                        *slot = Some((Arc::clone(&shard), place));
                        shard
                    }
                    // Its reader was faster.
                    None => return,
                };
                // The reader of the shard meets the same error.
                let _ = shard.footer(policy).await;
            }
        };
        let work = stream::iter(self.shards.clone()).for_each_concurrent(AT_ONCE, read);
        AbortOnDropHandle::new(tokio::spawn(work))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
