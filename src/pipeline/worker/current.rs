//! The check, amid a commit, that the lake still holds what the build compared with. An ingest and a follower change the same
//! names, one in the base and the other beside it: each must compare with what the other has committed, or one change is told
//! twice, and an older document may hide a newer one.
//!
//! A base partition is checked when its intent is durable and the record of the overlay has noted that; a delta just before it
//! is put on record. Both write before they look, so the later one sees the earlier one, builds again, and gives its commit up
//! until then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Worker;
use super::job::PartitionJob;
use crate::commit::{Change, Right, clear_staging, commit_with_events};
use crate::error::{Error, Result};
use crate::fetch::StagedAnswers;
use crate::lake::{EventsFile, OriginLayout, Partition};
use crate::pipeline::lease::LeaseWatch;
use crate::pipeline::overlay::{OverlayView, note_base_commit};
use crate::pipeline::work::WorkItem;
use crate::store::blocking;
use crate::table::TableKind;

/// How often one partition is built because the other process has changed it meanwhile.
const MOST_BUILDS: u32 = 20;

/// The right to commit a build, as long as the lake holds what it was compared with.
struct Guard {
    worker: Arc<Worker>,
    lease: LeaseWatch,
    /// The partition, if it is one of the base in which a follower may work.
    compared: Option<Partition>,
    is_outdated: AtomicBool,
}

impl Right for Guard {
    async fn confirm(&self) -> Result<()> {
        self.lease.confirm().await
    }

    async fn confirm_begun(&self) -> Result<()> {
        self.lease.confirm().await?;
        let Some(partition) = &self.compared else { return Ok(()) };
        let (store, layout) = (&self.worker.store, &self.worker.layout);
        // The base shards have taken over all rows of the overlay that the build knew.
        if !note_base_commit(store, layout, &partition.file_stem()).await?
            || self.worker.fold.overlay.view().await?.has_none_of(partition)
        {
            return Ok(());
        }
        self.is_outdated.store(true, Ordering::Relaxed);
        Err(Error::lake("a follower has changed the same names meanwhile"))
    }

    fn check(&self) -> Result<()> {
        self.lease.check()
    }
}

impl Worker {
    /// Returns the partition of a job in which a follower may work meanwhile: none of a delta, whose writer checks it, and none
    /// without documents, which no follower changes.
    pub(super) fn compared(&self, job: &PartitionJob) -> Option<Partition> {
        let has_documents = self.known.is_none() && job.previous_names(TableKind::Outcomes).is_some();
        has_documents.then(|| job.partition().clone())
    }

    /// Commits a build. Returns false, and changes nothing, if another process has changed meanwhile what it was compared with.
    pub(super) async fn commit(
        self: Arc<Self>,
        lease: LeaseWatch,
        compared: Option<Partition>,
        change: Change,
        events: Option<EventsFile>,
    ) -> Result<bool> {
        let guard = Guard { worker: Arc::clone(&self), lease, compared, is_outdated: AtomicBool::new(false) };
        match commit_with_events(&self.store, &self.layout, &guard, &change, events).await {
            Err(_) if guard.is_outdated.load(Ordering::Relaxed) => {
                clear_staging(&self.store, &self.layout, &change.manifest.partition).await.map(|()| false)
            }
            committed => committed.map(|()| true),
        }
    }

    /// Plans a partition again whose rows another process has changed in the overlay since the last build. The answers that
    /// were received for that are staged.
    pub(super) async fn prepare_again(self: &Arc<Self>, item: WorkItem, lease: &LeaseWatch) -> Result<PartitionJob> {
        let partition = item.partition.clone();
        tracing::debug!(partition = partition.file_stem(), "changed by a follower meanwhile: it is built again");
        let (fold, part, lease) = (self.fold.clone(), partition.clone(), lease.clone());
        self.unbroken(async move { fold.partition(&part, &lease).await }).await?;
        let job = self.prepare(item, self.manifest(&partition).await?, OverlayView::empty()).await?;
        self.open_staged(job).await
    }

    /// Opens the answers that are staged for a job that needs some. Only the holder of the lease may read them: another
    /// process may stage more until then.
    pub(super) async fn open_staged(&self, mut job: PartitionJob) -> Result<PartitionJob> {
        if job.plan.writes_documents() {
            let (store, layout, part) = (self.store.clone(), self.layout.clone(), job.partition().clone());
            let open = move || StagedAnswers::open(&store, &layout, &part);
            job.staged = blocking("reading staged answers", open).await?;
        }
        Ok(job)
    }
}

/// Fails if a partition was built more often than is useful.
pub(in crate::pipeline) fn refuse_more_than_bearable(builds: u32, layout: &OriginLayout) -> Result<()> {
    if builds <= MOST_BUILDS {
        return Ok(());
    }
    Err(Error::lake(format!("another process changed the same names of {} again and again", layout.name()))
        .hint("run the same command again: staged answers are not requested again"))
}
