//! Prepares the work on a partition: reads what the lake holds of it, and brings its shards up to date with the tool and
//! with the overlay.

use std::sync::Arc;

use bytes::Bytes;

use super::Worker;
use super::job::PartitionJob;
use super::plan::{Planned, plan};
use super::previous::{PartitionBefore, Previous};
use crate::error::Result;
use crate::fetch::StagedAnswers;
use crate::lake::{Manifest, Record};
use crate::npm::PackageName;
use crate::pipeline::lease::LeaseWatch;
use crate::pipeline::overlay::OverlayView;
use crate::pipeline::rebuild::{self, rebuild_partition};
use crate::pipeline::recovery::Recovery;
use crate::pipeline::work::{Announced, WorkItem};
use crate::store::blocking;

impl Worker {
    /// Makes the shards of a partition that is to be changed those of this version, with all rows that the overlay has of it.
    pub(super) async fn bring_base_up(self: &Arc<Self>, job: PartitionJob, lease: &LeaseWatch) -> Result<PartitionJob> {
        let partition = job.partition().clone();
        let mut is_current = !job.is_over_overlay;
        if job.previous.as_ref().is_some_and(Manifest::is_old) {
            // One partition never has shards of two versions beside each other.
            let (run, part, lease) = (self.as_rebuild(), partition.clone(), lease.clone());
            self.unbroken(async move { rebuild_partition(&run, &part, &lease).await }).await?;
            is_current = false;
        }
        let (fold, part, lease) = (self.fold.clone(), partition.clone(), lease.clone());
        let folded = self.unbroken(async move { fold.partition(&part, &lease).await }).await?;
        if is_current && folded == 0 {
            return Ok(job);
        }
        let item = job.item;
        drop(job.previous);
        self.prepare(item, self.manifest(&partition).await?, OverlayView::empty()).await
    }

    /// Returns the rebuild of a partition that an earlier version wrote.
    fn as_rebuild(&self) -> rebuild::Run {
        rebuild::Run {
            store: self.store.clone(),
            layout: self.layout.clone(),
            wanted: rebuild::Wanted::default(),
            // The reads and writes of the rebuild do not count as those of the run.
            progress: Arc::default(),
            stop: self.stop_builds.clone(),
            large_documents: Arc::clone(&self.large_documents),
        }
    }

    pub(super) fn as_recovery(&self) -> Recovery {
        Recovery {
            store: self.store.clone(),
            layout: self.layout.clone(),
            stop: self.stop_builds.clone(),
            large_documents: Arc::clone(&self.large_documents),
        }
    }

    /// Plans a partition of the base, whose manifest has the text `base`, with what the overlay holds of it now.
    pub(super) async fn prepare_over(self: &Arc<Self>, item: WorkItem, base: Option<Bytes>) -> Result<PartitionJob> {
        self.fold.overlay.with_view(|overlay| self.prepare(item.clone(), base.clone(), overlay)).await
    }

    /// Plans a partition whose manifest has the text `base`, and which has newer rows in `overlay`.
    pub(super) async fn prepare(
        self: &Arc<Self>,
        item: WorkItem,
        base: Option<Bytes>,
        overlay: OverlayView,
    ) -> Result<PartitionJob> {
        let worker = Arc::clone(self);
        blocking("a partition's plan", move || worker.prepare_blocking(item, base, &overlay)).await
    }

    fn prepare_blocking(&self, item: WorkItem, base: Option<Bytes>, overlay: &OverlayView) -> Result<PartitionJob> {
        let path = self.layout.manifest(&item.partition);
        let previous = base.as_ref().map(|text| Manifest::from_json(&path, text)).transpose()?;
        let (store, layout) = (self.store.clone(), self.layout.clone());
        let names = match (&self.known, &item.announced) {
            (Some(known), Announced::Changes(changes)) => {
                Some((known, changes.iter().map(|change| change.name.clone()).collect()))
            }
            _ => None,
        };
        let partition = &item.partition;
        let before = match names {
            Some((known, names)) => Previous::Lake { known, names },
            None => Previous::Partition(PartitionBefore {
                store: &store,
                layout: &layout,
                partition,
                manifest: previous.as_ref(),
                overlay,
            }),
        };
        let credentials = |name: &PackageName| self.registry.credentials_for(name);
        let Planned { rows, listed_at_us, plan } =
            plan(&before, partition, &item.announced, &item.wanted, &credentials)?;
        let is_over_overlay = !overlay.has_none_of(partition);
        Ok(PartitionJob {
            store,
            layout,
            item,
            rows,
            listed_at_us,
            plan,
            previous,
            is_over_overlay,
            known: self.known.clone(),
            base,
            staged: StagedAnswers::default(),
            progress: Arc::clone(&self.progress),
            stop: self.stop_builds.clone(),
            large_documents: Arc::clone(&self.large_documents),
            gone_names: Arc::clone(&self.gone_names),
        })
    }
}
