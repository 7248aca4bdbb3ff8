//! The check, just before a commit, that the lake still holds what the build compared with. An ingest and a follower change
//! the same names, one in the base and the other beside it: each must compare with what the other has committed, or one
//! change is told twice, and an older document may hide a newer one.
//!
//! A base partition is checked just before its intent, and a delta also just before it is put on record. What the other
//! process commits between this check and the end of the commit is not seen: then events of a name that both have asked for
//! may be there twice, and its rows may be those of the older document until its next change.

use std::sync::Arc;

use super::Worker;
use super::job::PartitionJob;
use crate::error::{Error, Result};
use crate::fetch::StagedAnswers;
use crate::lake::{OriginLayout, Partition};
use crate::npm::PackageName;
use crate::pipeline::lease::LeaseWatch;
use crate::pipeline::overlay::{Known, OverlayView};
use crate::pipeline::work::{Announced, WorkItem};
use crate::store::blocking;
use crate::table::TableKind;

/// How often one partition is built because the other process has changed it meanwhile.
const MOST_BUILDS: u32 = 20;

/// The state that a build compares with.
pub(super) enum Basis {
    /// Nothing: the partition has no documents yet, and no follower works on such a lake.
    Nothing,
    /// The base shards of a partition, which have taken over all rows of the overlay.
    Base(Partition),
    /// The rows of these names, wherever they are.
    Lake(Arc<Known>, Vec<PackageName>),
}

impl Worker {
    pub(super) fn basis(&self, job: &PartitionJob) -> Basis {
        match (&job.known, &job.item.announced) {
            (Some(known), Announced::Changes(changes)) => {
                Basis::Lake(Arc::clone(known), changes.iter().map(|change| change.name.clone()).collect())
            }
            _ if job.previous_names(TableKind::Outcomes).is_some() => Basis::Base(job.partition().clone()),
            _ => Basis::Nothing,
        }
    }

    /// Returns whether the lake still holds what a build compared with.
    pub(super) async fn is_current(&self, basis: &Basis) -> Result<bool> {
        match basis {
            Basis::Nothing => Ok(true),
            Basis::Base(partition) => Ok(self.fold.view().await?.has_none_of(partition)),
            Basis::Lake(known, names) => known.is_current(names).await,
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
