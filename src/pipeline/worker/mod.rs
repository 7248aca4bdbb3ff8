//! The worker: takes one item of work, and plans, fetches, builds and commits one partition under that partition's
//! lease. Not here: where the work comes from (`source`), and the judge of the whole run (`judge`).

mod bounds;
mod build;
mod current;
mod decided;
mod document_shards;
mod events;
mod job;
mod leases;
mod look;
mod plan;
mod prepare;
mod previous;
mod served;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::try_join;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(super) use self::bounds::Bounds;
use self::build::build;
use self::job::PartitionJob;
use self::leases::Leases;
use super::judge::Judge;
use super::lease::{Attempt, Lease, LeaseWatch};
use super::lost::{lost_error, lost_shards, shards_there};
use super::overlay::{Fold, Known, OverlayView};
use super::progress::Progress;
use super::recovery::Recovered;
use super::report::{Ended, PartitionReport};
use super::work::WorkItem;
use crate::commit::Change;
use crate::diff::Selection;
use crate::error::{Context, ErrorKind, Result};
use crate::event::GoneNames;
use crate::fetch::{Fetched, OrderedByteBudget, StagingWriter, fetch, staging_tap};
use crate::lake::{EventsFile, LockRecord, Manifest, OriginLayout, Partition};
use crate::registry::Registry;
use crate::store::Store;

pub(super) use self::bounds::{FLUSH_BYTES, FLUSH_DOCUMENTS, FLUSH_RAW_BYTES, LARGE_DOCUMENT_BYTES};
pub(super) use self::current::refuse_more_than_bearable;
pub(super) use self::plan::PartitionPlan;
pub(super) use self::previous::PartitionBefore;

/// Works on partitions, several at a time.
pub(super) struct Worker {
    store: Store,
    layout: OriginLayout,
    registry: Registry,
    progress: Arc<Progress>,
    judge: Arc<Judge>,
    /// The command for which the leases are taken.
    purpose: &'static str,
    /// Whether it only plans.
    is_dry: bool,
    bounds: Bounds,
    /// One permit for each partition that is planned, fetched or built. A partition gives it back before its commit, which
    /// only waits for the store.
    places: Arc<Semaphore>,
    /// One permit for each commit: the parts of its uploads are in memory.
    commits: Arc<Semaphore>,
    budget: OrderedByteBudget,
    large_documents: Arc<Mutex<()>>,
    gone_names: Arc<GoneNames>,
    builders: TaskTracker,
    stop_builds: CancellationToken,
    /// Tasks that run to their end even if the run ends early.
    unbroken_tasks: TaskTracker,
    leases: Leases,
    /// The lake below, if this is the worker of a delta.
    known: Option<Arc<Known>>,
    /// Takes the rows of partitions out of the overlay before they are changed.
    fold: Fold,
    /// The shards that were there when the run first met an unchanged partition.
    shards_there: OnceCell<BTreeSet<String>>,
}

impl Worker {
    pub(super) fn new(
        store: Store,
        layout: OriginLayout,
        registry: Registry,
        progress: Arc<Progress>,
        judge: Arc<Judge>,
        purpose: &'static str,
        is_dry: bool,
    ) -> Worker {
        let bounds = Bounds::of_this_machine();
        let stop_builds = CancellationToken::new();
        Worker {
            known: None,
            fold: Fold::new(&store, &layout, stop_builds.clone()),
            gone_names: Arc::new(GoneNames::of(&store, &layout.whole_origin())),
            store,
            layout,
            registry,
            progress,
            judge,
            purpose,
            is_dry,
            bounds,
            places: Arc::new(Semaphore::new(bounds.partitions)),
            commits: Arc::new(Semaphore::new(bounds.commits.max(1))),
            budget: OrderedByteBudget::new(bounds.document_bytes_in_flight),
            large_documents: Arc::default(),
            builders: TaskTracker::new(),
            stop_builds,
            unbroken_tasks: TaskTracker::new(),
            leases: Leases::default(),
            shards_there: OnceCell::new(),
        }
    }

    /// Makes this the worker of one delta, whose names are compared with those of the lake below. Its origin is the delta.
    pub(super) fn of_delta(self, known: Arc<Known>) -> Worker {
        Worker { known: Some(known), ..self.of_one_partition() }
    }

    /// Returns how many items it works on at once.
    pub(super) fn items_at_once(&self) -> usize {
        self.bounds.partitions + self.bounds.commits
    }

    /// Ends the builds in progress at their next document or batch.
    pub(super) fn stop(&self) {
        self.stop_builds.cancel();
    }

    /// Waits for work that must not be cut short: received documents are staged, and a commit that has begun runs to
    /// its end. Then gives back the leases of partitions whose work was dropped.
    pub(super) async fn end(&self) -> Result<()> {
        for tasks in [&self.builders, &self.unbroken_tasks] {
            tasks.close();
            tasks.wait().await;
        }
        self.leases.end_all().await
    }

    /// Brings one partition up to date with the names announced in it.
    pub(super) async fn work(self: Arc<Self>, item: WorkItem) -> Result<PartitionReport> {
        let place = permit(&self.places).await?;
        let partition = item.partition.clone();
        let (before, is_staged) = try_join(self.manifest(&partition), self.is_staged(&partition)).await?;
        let job = self.prepare_over(item, before.clone()).await?;
        // Nothing is changed, so no lease is needed.
        if self.is_dry || (job.plan.is_unchanged() && !is_staged) {
            self.refuse_lost(job.previous.as_ref()).await?;
            return Ok(self.report(&job, if self.is_dry { Ended::Planned } else { Ended::Unchanged }));
        }
        let lease = match self.take_lease(&partition).await? {
            Attempted::HeldBy(holder) => return Ok(PartitionReport::held_by(&partition, holder)),
            Attempted::Taken(watch) => watch,
        };
        let result = tokio::select! {
            biased;
            () = lease.lost() => Err(lease.lost_error()),
            result = self.work_under(&lease, place, job, before) => result,
        };
        let (worker, part) = (Arc::clone(&self), partition.clone());
        let ended = self.unbroken(async move { worker.leases.end(&part).await }).await;
        result.and_then(|report| ended.map(|()| report))
    }

    /// Works on a delta under a lease that its caller holds.
    pub(super) async fn work_under_lease(
        self: Arc<Self>,
        item: WorkItem,
        lease: &LeaseWatch,
    ) -> Result<PartitionReport> {
        let place = permit(&self.places).await?;
        let (before, is_staged) = try_join(self.manifest(&item.partition), self.is_staged(&item.partition)).await?;
        let job = self.prepare(item, before.clone(), OverlayView::empty()).await?;
        if job.plan.is_unchanged() && !is_staged {
            return Ok(self.report(&job, Ended::Unchanged));
        }
        tokio::select! {
            biased;
            () = lease.lost() => Err(lease.lost_error()),
            result = self.work_under(lease, place, job, before) => result,
        }
    }

    /// Fails if a shard of an unchanged partition is lost. The shards of a changed partition are opened anyway.
    async fn refuse_lost(&self, manifest: Option<&Manifest>) -> Result<()> {
        let there = self.shards_there.get_or_try_init(|| shards_there(&self.store, &self.layout)).await?;
        match lost_shards(&self.store, &self.layout, manifest, there).await?.first() {
            Some(lost) => Err(lost_error(lost)),
            None => Ok(()),
        }
    }

    /// Tries to take the lease of a partition, and keeps it until it is ended.
    async fn take_lease(self: &Arc<Self>, partition: &Partition) -> Result<Attempted> {
        let (worker, part) = (Arc::clone(self), partition.clone());
        let take = async move {
            let attempt = Lease::of_partition(&worker.store, &worker.layout, &part, worker.purpose).await?;
            Ok(match attempt {
                Attempt::HeldBy(holder) => Attempted::HeldBy(holder),
                Attempt::Taken(lease) => Attempted::Taken(worker.leases.keep(&part, lease)),
            })
        };
        self.unbroken(take).await
    }

    /// Runs `work` to its end, even if this future is dropped: otherwise its puts and deletions could remain
    /// incomplete.
    async fn unbroken<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let task = self.unbroken_tasks.spawn(work);
        task.await.or_error(ErrorKind::Internal, || "a task of a partition died".to_owned())?
    }

    /// Works on a partition under a lease that is held. `before` is the manifest by which `job` was planned.
    async fn work_under(
        self: &Arc<Self>,
        lease: &LeaseWatch,
        place: OwnedSemaphorePermit,
        mut job: PartitionJob,
        before: Option<Bytes>,
    ) -> Result<PartitionReport> {
        let partition = job.partition().clone();
        let (recovery, part, watch) = (self.as_recovery(), partition.clone(), lease.clone());
        let recovered = self.unbroken(async move { recovery.settle(&part, &watch).await }).await?;
        let now = self.manifest(&partition).await?;
        if now != before {
            job = match self.known {
                Some(_) => self.prepare(job.item, now, OverlayView::empty()).await?,
                None => self.prepare_over(job.item, now).await?,
            };
        }
        if self.known.is_none() && !job.plan.is_unchanged() {
            job = self.bring_base_up(job, lease).await?;
        }
        job = self.open_staged(job).await?;
        let ended = if job.plan.is_unchanged() { Ended::Unchanged } else { Ended::Committed };
        let mut report = self.report(&job, ended);
        report.is_recovered = recovered == Recovered::Completed;
        // If this run wanted every document, unused staged answers are out of date. A run that wanted less leaves them
        // to the next that wants more. The staged answers are known only if documents are written.
        let uses_all_staged = job.item.wanted.selection == Selection::All
            || (job.plan.writes_documents() && job.staged.is_covered_by(&job.plan.fetch));
        if report.ended == Ended::Unchanged {
            drop(job);
            self.clear_staged(&partition, uses_all_staged).await?;
            return Ok(report);
        }
        let (mut place, mut builds) = (place, 1);
        loop {
            let (compared, item) = (self.compared(&job), job.item.clone());
            let (change, events) = match self.fetch_and_build(job).await {
                // Received documents are staged.
                Err(error) if error.kind() == ErrorKind::Interrupted && self.judge.ending.has_begun() => {
                    report.ended = Ended::LeftOut;
                    return Ok(report);
                }
                built => built?,
            };
            drop(place);
            self.judge.examine(&self.registry, true).await?;
            let turn = permit(&self.commits).await?;
            let (worker, right) = (Arc::clone(self), lease.clone());
            // Runs to its end and is counted, even if this future is dropped meanwhile.
            let recorded = events.as_ref().map_or(0, |file| file.events);
            report.events = recorded;
            let commit = async move {
                let is_committed = Arc::clone(&worker).commit(right, compared, change, events).await?;
                drop(turn);
                Progress::add(&worker.progress.partitions_done, u64::from(is_committed));
                // Those of a delta are told when it is on record.
                if is_committed && worker.known.is_none() {
                    Progress::add(&worker.progress.events_recorded, recorded);
                }
                Ok(is_committed)
            };
            if self.unbroken(commit).await? {
                break;
            }
            builds += 1;
            refuse_more_than_bearable(builds, &self.layout)?;
            place = permit(&self.places).await?;
            job = Box::pin(self.prepare_again(item, lease)).await?;
            if job.plan.is_unchanged() {
                report.ended = Ended::Unchanged;
                drop(job);
                Progress::add(&self.progress.partitions_unchanged, 1);
                Progress::add(&self.progress.partitions_done, 1);
                break;
            }
        }
        // The staged answers of a delta are needed until it is on record.
        self.clear_staged(&partition, uses_all_staged && self.known.is_none()).await?;
        Ok(report)
    }

    async fn manifest(&self, partition: &Partition) -> Result<Option<Bytes>> {
        self.store.get(&self.layout.manifest(partition)).await
    }

    /// Returns whether an earlier run left files of the partition in staging.
    async fn is_staged(&self, partition: &Partition) -> Result<bool> {
        Ok(!self.store.list(&self.layout.partition_staging(partition)).await?.is_empty())
    }

    /// Removes the staged files of a partition if all of them are used or out of date.
    async fn clear_staged(&self, partition: &Partition, is_used_up: bool) -> Result<()> {
        match is_used_up {
            true => self.store.delete_folder(&self.layout.partition_staging(partition)).await,
            false => Ok(()),
        }
    }

    /// Runs the requests and the builder of one partition concurrently, until both have ended.
    async fn fetch_and_build(self: &Arc<Self>, job: PartitionJob) -> Result<(Change, Option<EventsFile>)> {
        let representation = job.representation();
        let judge = Arc::clone(&self.judge);
        let items = job.items_to_ask_for().into_iter().take_while(move |_| !judge.ending.has_begun());
        let (sender, receiver) = mpsc::channel(self.bounds.fetched_per_partition);
        let (tap, feed) = staging_tap();
        let (store, layout, bound) = (&self.store, &self.layout, self.bounds.segment);
        let writer = StagingWriter::new(store, layout, job.partition(), representation, &job.staged, bound)?;
        // Tracked, because they continue when this future is dropped: the run must not end before they have ended.
        let stager = self.builders.spawn(feed.write_to(writer));
        let builder = self.builders.spawn_blocking(move || build(job, receiver));
        let lane = self.budget.lane();
        let concurrency = self.bounds.requests_per_partition;
        let (alarm, mut alarms) = mpsc::unbounded_channel();
        let judge = Arc::clone(&self.judge);
        let witness = move |fetched: &Fetched| judge.witness(fetched);
        let (registry, staged) = (self.registry.clone(), tap.clone());
        let mut answers = fetch(registry, representation, items, lane, staged, alarm, witness, concurrency);
        loop {
            let fetched = tokio::select! {
                biased;
                Some(fetched) = alarms.recv() => Some(fetched),
                () = self.judge.doubts() => {
                    self.judge.examine(&self.registry, false).await?;
                    continue;
                }
                fetched = answers.try_next() => fetched?,
                // Nothing can be made durable any more; the cause is the error to report.
                () = tap.closed() => None,
            };
            let Some(fetched) = fetched else { break };
            let Some(fetched) = self.judge.response(fetched)? else { continue };
            if sender.send(fetched).await.is_err() {
                // The builder has ended early; its error is the one to report.
                break;
            }
        }
        // The stager ends with the last tap, the builder with the sender.
        drop((answers, tap, sender));
        stager.await.or_error(ErrorKind::Internal, || "a partition's stager died".to_owned())??;
        builder.await.or_error(ErrorKind::Internal, || "a partition's builder died".to_owned())?
    }

    /// Returns the report of a planned partition. Counts the partition as done, unless a commit will.
    fn report(&self, job: &PartitionJob, ended: Ended) -> PartitionReport {
        let (plan, progress) = (&job.plan, &self.progress);
        Progress::add(&progress.names_added, plan.counts.added);
        Progress::add(&progress.names_changed, plan.counts.changed);
        Progress::add(&progress.names_removed, plan.counts.removed);
        Progress::add(&progress.names_without_document, plan.without_document);
        Progress::add(&progress.packuments_planned, plan.fetch.len() as u64);
        Progress::add(&progress.rows_planned, job.rows.len() as u64);
        Progress::add(&progress.partitions_unchanged, u64::from(ended == Ended::Unchanged));
        Progress::add(&progress.partitions_done, u64::from(ended != Ended::Committed));
        PartitionReport::of(job.partition(), &job.rows, plan, job.previous.as_ref(), ended)
    }
}

async fn permit(of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit> {
    Arc::clone(of).acquire_owned().await.or_error(ErrorKind::Internal, || "no partition may go on".to_owned())
}

/// The result of an attempt to take the lease of a partition that the worker keeps.
#[allow(clippy::large_enum_variant)]
enum Attempted {
    Taken(LeaseWatch),
    HeldBy(LockRecord),
}
