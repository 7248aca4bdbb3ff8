//! Looks whether a partition needs work, for a run whose work others do; and the worker of such others.

use std::sync::Arc;

use futures::future::try_join;
use tokio::sync::Semaphore;

use super::{Bounds, Worker, permit};
use crate::error::Result;
use crate::pipeline::report::{Ended, PartitionReport};
use crate::pipeline::work::WorkItem;

impl Worker {
    /// Makes this a worker that works on one partition at a time.
    pub(in crate::pipeline) fn of_one_partition(self) -> Worker {
        let bounds = Bounds::of_one_partition();
        Worker { places: Arc::new(Semaphore::new(bounds.partitions)), bounds, ..self }
    }

    /// Returns the report of a partition that needs no work; `None` if it needs some.
    pub(in crate::pipeline) async fn unless_work(self: &Arc<Self>, item: WorkItem) -> Result<Option<PartitionReport>> {
        let _place = permit(&self.places).await?;
        let partition = item.partition.clone();
        let (before, is_staged) = try_join(self.manifest(&partition), self.is_staged(&partition)).await?;
        let job = self.prepare_over(item, before).await?;
        if !job.plan.is_unchanged() || is_staged {
            return Ok(None);
        }
        self.refuse_lost(job.previous.as_ref()).await?;
        Ok(Some(self.report(&job, Ended::Unchanged)))
    }
}
