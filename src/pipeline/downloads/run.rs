//! One run in progress: passes over the blocks of rows, and the record of what the responses say.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt, future, stream};
use jiff::civil::Date;
use tokio_util::sync::CancellationToken;

use super::landed::Landed;
use super::plan::{Kind, Task, Wish};
use super::requests::{Asked, ask};
use super::summary::{DownloadsSummary, NameResults};
use super::tiers::{Standing, Tiers};
use super::{Choice, DownloadsOptions, PURPOSE};
use crate::array::{self, Block, BlockWriter, Counts, Downloads, PackageAxis, RowState};
use crate::commit::Right as _;
use crate::error::{Error, ErrorKind, Result};
use crate::lake::OriginLayout;
use crate::npm::{PackageName, day_after};
use crate::pipeline::arrays::lease_block;
use crate::pipeline::lease::{Attempt, Lease};
use crate::pipeline::progress::Progress;
use crate::registry::Registry;
use crate::store::Store;

/// The days whose downloads decide the tier of a package: four weeks, in which weekends do not matter.
const RANKING_DAYS: i64 = 28;

/// The most tasks in progress. The limiter of the host decides how many requests are in flight; on this machine there may
/// be 64. A task holds at most some megabytes.
const TASKS_AT_ONCE: usize = 64;

/// How long a response waits before it is durable.
const FLUSH_INTERVAL: Duration = Duration::from_secs(10);

/// So many tasks in a row without any success end the run: then the host fails, and not the requests for some names.
const FAILURES_OF_HOST: u32 = 20;

/// The state of a run.
pub(super) struct Run {
    store: Store,
    registry: Registry,
    layout: OriginLayout,
    axis: Arc<PackageAxis>,
    array: Downloads,
    landed: Landed,
    wish: Wish,
    tiers: Tiers,
    /// The tier of each row.
    tier_of_row: Vec<Option<u8>>,
    progress: Arc<Progress>,
    unaskable: u64,
    /// The first day that the run asks for.
    first_day: Date,
}

/// The results so far.
#[derive(Default)]
struct Tally {
    names: NameResults,
    failures_in_a_row: u32,
    blocks_left: u64,
    others: Vec<String>,
}

impl Run {
    /// Decides the tier of each row, counts the requests, and asks which of their days have landed.
    pub(super) async fn new(
        options: &DownloadsOptions,
        layout: OriginLayout,
        axis: Arc<PackageAxis>,
        array: Downloads,
        landed: Landed,
        wish: Wish,
        progress: Arc<Progress>,
    ) -> Result<Run> {
        let tiers = match &options.choice {
            Choice::Tiers(tiers) => tiers.clone(),
            Choice::Top(packages) => Tiers::every_run(Some(*packages)),
            Choice::Names(_) => Tiers::every_run(None),
        };
        let (store, registry) = (options.store.clone(), options.registry.clone());
        let (tier_of_row, unaskable, first_day) = (Vec::new(), 0, wish.last);
        let mut run = Run {
            store,
            registry,
            layout,
            axis,
            array,
            landed,
            wish,
            tiers,
            tier_of_row,
            progress,
            unaskable,
            first_day,
        };
        run.rank(&options.choice).await?;
        run.plan().await?;
        Ok(run)
    }

    /// Sets the tier of each row.
    async fn rank(&mut self, choice: &Choice) -> Result<()> {
        let mut standings: Vec<Option<Standing>> = vec![None; self.axis.rows() as usize];
        if let Choice::Names(names) = choice {
            for name in names {
                let row = self.axis.row(name.as_str());
                match row.and_then(|row| standings.get_mut(row as usize)) {
                    Some(standing) => *standing = Some(Standing::New),
                    // Names that cannot be asked for get no row.
                    None => self.unaskable += 1,
                }
            }
        } else {
            let recent = self.array.recent(day_after(self.wish.last, 1 - RANKING_DAYS)..=self.wish.last).await?;
            for block in self.array.blocks() {
                for (row, state) in block.rows.clone().zip(self.array.states(&block).await?) {
                    let Some(standing) = standings.get_mut(row as usize) else { continue };
                    let downloads = recent.get(row as usize).map_or(0, |recent| recent.sum);
                    let is_there = !self.axis.is_gone(row);
                    *standing = is_there.then(|| Standing::of(downloads, state.requested.is_some()));
                }
            }
        }
        for (row, standing) in (0..).zip(&mut standings) {
            if standing.is_some() && Kind::of(self.axis.name(row)).is_none() {
                *standing = None;
                self.unaskable += 1;
            }
        }
        self.tier_of_row = self.tiers.of_rows(&standings);
        Ok(())
    }

    /// Counts the requests of the run.
    async fn plan(&mut self) -> Result<()> {
        for block in self.array.blocks() {
            let states = self.array.states(&block).await?;
            for (tier, kind) in self.passes() {
                for task in self.tasks(&block, &states, tier, kind) {
                    self.first_day = self.first_day.min(task.days.first());
                    Progress::add(&self.progress.count_requests_planned, task.requests());
                }
            }
        }
        self.landed.extend(&self.registry, self.first_day).await
    }

    /// Returns the passes over all blocks, in their order.
    fn passes(&self) -> Vec<(usize, Kind)> {
        (0..self.tiers.count()).flat_map(|tier| [(tier, Kind::Bulk), (tier, Kind::Single)]).collect()
    }

    fn tasks(&self, block: &Block, states: &[RowState], tier: usize, kind: Kind) -> Vec<Task> {
        let period_days = |row: u32| {
            let is_of_tier = self.tier_of_row.get(row as usize).copied().flatten().map(usize::from) == Some(tier);
            if is_of_tier { self.tiers.period_days(tier) } else { None }
        };
        self.wish.tasks(&self.axis, block.rows.start, states, kind, period_days)
    }

    /// Runs to the end, or until it is stopped.
    pub(super) async fn complete(self, stop: &CancellationToken, started: Instant) -> Result<DownloadsSummary> {
        let mut tally = Tally::default();
        let result = self.all_passes(&mut tally, stop).await;
        // Counts of a run that failed are there too. The first error is the one to report.
        result.and(self.array.finish().await)?;
        Ok(DownloadsSummary {
            origin: self.layout.name().to_owned(),
            lake: self.store.location(),
            interrupted: stop.is_cancelled(),
            last_day: self.wish.last,
            missing_days: self.landed.missing_since(self.first_day),
            names: tally.names,
            unaskable: self.unaskable,
            blocks_left: tally.blocks_left,
            others: tally.others,
            requests: self.registry.statistics().requests,
            elapsed: started.elapsed(),
        })
    }

    async fn all_passes(&self, tally: &mut Tally, stop: &CancellationToken) -> Result<()> {
        for (tier, kind) in self.passes() {
            for block in self.array.blocks() {
                if stop.is_cancelled() {
                    return Ok(());
                }
                self.pass(&block, tier, kind, tally, stop).await?;
            }
        }
        Ok(())
    }

    /// Works on one block, unless nothing is missing there or another process works on it.
    async fn pass(
        &self,
        block: &Block,
        tier: usize,
        kind: Kind,
        tally: &mut Tally,
        stop: &CancellationToken,
    ) -> Result<()> {
        if self.tasks(block, &self.array.states(block).await?, tier, kind).is_empty() {
            return Ok(());
        }
        let lease = match lease_block(&self.store, &self.layout, block.number, PURPOSE).await? {
            Attempt::Taken(lease) => lease,
            Attempt::HeldBy(holder) => {
                tally.blocks_left += 1;
                let other = format!("process {} on {}", holder.process_id, holder.host);
                if !tally.others.contains(&other) {
                    tally.others.push(other);
                }
                return Ok(());
            }
        };
        let result = self.work(block, tier, kind, &lease, tally, stop).await;
        lease.end_after(result).await
    }

    /// Asks for what is missing in a block, and records it. Counts that were received before a failure are recorded too.
    async fn work(
        &self,
        block: &Block,
        tier: usize,
        kind: Kind,
        lease: &Lease,
        tally: &mut Tally,
        stop: &CancellationToken,
    ) -> Result<()> {
        let watch = lease.watch();
        let held = watch.clone();
        let right: array::Right = Arc::new(move || held.check());
        let mut writer = self.array.writer(block, &right).await?;
        let is_ending = AtomicBool::new(false);
        let tasks = stream::iter(self.tasks(block, &writer.states(), tier, kind));
        let tasks = tasks.take_while(|_| future::ready(!is_ending.load(Ordering::Relaxed)));
        let requests = tasks.map(|task| self.ask(task)).buffer_unordered(TASKS_AT_ONCE);
        let mut requests = std::pin::pin!(requests);
        let mut flush = tokio::time::interval(FLUSH_INTERVAL);
        let mut outcome = Ok(());
        loop {
            let received = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = watch.lost() => return Err(watch.lost_error()),
                received = requests.next() => received,
                _ = flush.tick() => {
                    writer.flush().await?;
                    continue;
                }
            };
            let error = match received {
                None => break,
                Some(Ok((task, results))) => match self.record(&mut writer, &task, results, tally).await {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Some(Err(error)) => error,
            };
            // Requests in flight are paid for: their responses are recorded. The first error is the one to report.
            is_ending.store(true, Ordering::Relaxed);
            outcome = outcome.and(Err(error));
        }
        outcome.and(writer.finish().await)
    }

    async fn ask(&self, task: Task) -> Result<(Task, Vec<Asked>)> {
        let names: Vec<PackageName> = task.rows.iter().map(|&row| self.axis.name(row).into()).collect();
        let results = ask(&self.registry, &names, task.days, task.longest_days()).await?;
        Progress::add(&self.progress.count_requests_done, task.requests());
        Ok((task, results))
    }

    /// Records the results of a task.
    async fn record(
        &self,
        writer: &mut BlockWriter,
        task: &Task,
        mut results: Vec<Asked>,
        tally: &mut Tally,
    ) -> Result<()> {
        let is_lost = |result: &Asked| matches!(result, Asked::Failed(_));
        let all_failed = results.iter().all(is_lost);
        tally.failures_in_a_row = if all_failed { tally.failures_in_a_row + 1 } else { 0 };
        if let (FAILURES_OF_HOST.., Some(Asked::Failed(why))) = (tally.failures_in_a_row, results.first()) {
            return Err(Error::network(format!(
                "{FAILURES_OF_HOST} requests for download counts failed in a row, at last: {why}"
            ))
            .hint("run the same command again later: it asks only for what is missing"));
        }
        // A host that has refused every name of a run so far may refuse everything: that tells nothing of a name.
        let is_served = |result: &Asked| matches!(result, Asked::Counts(_) | Asked::Unknown);
        if tally.names.counted + tally.names.unknown == 0 && !results.iter().any(is_served) {
            for result in &mut results {
                if let Asked::Refused(said) = result {
                    *result = Asked::Failed(std::mem::take(said));
                }
            }
        }
        let not_landed: Vec<usize> = self.landed.missing().filter_map(|day| task.days.place(day)).collect();
        for (&row, mut result) in task.rows.iter().zip(results) {
            let counts = match &mut result {
                Asked::Counts(counts) => {
                    for &place in &not_landed {
                        counts.iter_mut().skip(place).take(1).for_each(|count| *count = None);
                    }
                    std::mem::take(counts)
                }
                Asked::Unknown | Asked::Refused(_) => vec![None; task.days.count()],
                Asked::Failed(_) => Vec::new(),
            };
            if !counts.is_empty() {
                let recorded = writer.record(Counts { row, since: task.days.first(), counts }).await;
                match recorded {
                    // A count that does not fit is the server's mistake about this name.
                    Err(error) if error.kind() == ErrorKind::Network => result = Asked::Failed(error.to_string()),
                    recorded => recorded?,
                }
            }
            tally.names.note(self.axis.name(row), &result);
        }
        Progress::add(&self.progress.names_counted, task.rows.len() as u64);
        Ok(())
    }
}
