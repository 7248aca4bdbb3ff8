//! Does work items against a lake, for whatever service receives them. Not here: receiving them (`worker`).
//!
//! An item is done under a lease of its own, so that one that arrives twice at once is done once; and its result is kept
//! in the lake, so that any worker of a fleet finds it. An item that is stopped, or whose worker dies, loses nothing that
//! was received: the next attempt takes it from staging.

mod kept;
mod outcome;
mod work;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::kept::KeptResults;
#[cfg(feature = "queue")]
pub(super) use self::kept::LAKE_MARK;
pub use self::outcome::{AFTER_HELD, ItemOutcome};
use self::outcome::{Ended, outcome_of};
use super::events::keep_events;
use super::lease::{Attempt, Lease, live_holder};
use super::new_origin::Before;
use super::open::{check_moves, open_lake, sweep};
use super::options::IngestOptions;
use super::progress::{Progress, ProgressSnapshot};
use super::requests::count_in_lake;
use super::run::sweep_dead;
use crate::error::{Error, Result};
use crate::lake::{Item, Layout, LockRecord, OriginLayout};
use crate::registry::Registry;
use crate::store::Store;

/// The command for which the leases of items are taken, and whose runs do them.
const PURPOSE: &str = "worker";

/// How items are done.
#[derive(Debug, Clone)]
pub struct RunnerOptions {
    /// The lake, the registry and the documents to fetch. Pivots, names and scope are those of each item.
    pub ingest: IngestOptions,
    /// How long the result of an item is kept. That of an item of a run is kept until the run ends, if that is later.
    pub keep_results: Duration,
}

/// Does items. Clones do them for the same lake, and count together.
#[derive(Clone)]
pub struct ItemRunner {
    inner: Arc<Inner>,
}

struct Inner {
    options: IngestOptions,
    layout: OriginLayout,
    kept: KeptResults,
    opened: OnceCell<()>,
    /// The requests that results have told of.
    requests_told: AtomicU64,
    /// The counters of all items that ended.
    total: Progress,
    counts: LiveCounts,
    tasks: TaskTracker,
}

/// How many items ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ItemCounts {
    /// Done, with success.
    pub succeeded: u64,
    /// Done, without success: they would fail again.
    pub failed: u64,
    /// Done before: the kept result was returned.
    pub kept: u64,
    /// They may be tried again.
    pub again: u64,
    /// Another process held their partition.
    pub held: u64,
    /// No items.
    pub refused: u64,
}

#[derive(Default)]
struct LiveCounts {
    succeeded: AtomicU64,
    failed: AtomicU64,
    kept: AtomicU64,
    again: AtomicU64,
    held: AtomicU64,
    refused: AtomicU64,
}

impl ItemRunner {
    /// Makes a runner. Sends nothing and writes nothing: the lake is opened, or made, for the first item.
    pub fn new(options: RunnerOptions) -> ItemRunner {
        let layout = Layout::origin(&options.ingest.registry.origin().name);
        let store = options.ingest.store.clone();
        let inner = Inner {
            kept: KeptResults::new(store, layout.clone(), options.keep_results),
            options: options.ingest,
            layout,
            opened: OnceCell::new(),
            requests_told: AtomicU64::new(0),
            total: Progress::default(),
            counts: LiveCounts::default(),
            tasks: TaskTracker::new(),
        };
        ItemRunner { inner: Arc::new(inner) }
    }

    /// Returns the name of the origin in the lake, which is a part of the ids of items.
    pub fn origin(&self) -> &str {
        self.inner.layout.name()
    }

    /// Returns which documents partition items fetch: `full`, `abbreviated` or `none`.
    pub fn documents(&self) -> &'static str {
        self.inner.options.documents()
    }

    /// Returns the lake.
    pub fn store(&self) -> &Store {
        &self.inner.options.store
    }

    /// Returns the registry.
    pub fn registry(&self) -> &Registry {
        &self.inner.options.registry
    }

    /// Returns how many items ended in which way.
    pub fn counts(&self) -> ItemCounts {
        let counts = &self.inner.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ItemCounts {
            succeeded: read(&counts.succeeded),
            failed: read(&counts.failed),
            kept: read(&counts.kept),
            again: read(&counts.again),
            held: read(&counts.held),
            refused: read(&counts.refused),
        }
    }

    /// Returns the counters of all items that ended.
    pub fn total(&self) -> ProgressSnapshot {
        self.inner.total.snapshot()
    }

    /// Returns the settings of its ingests.
    #[cfg(feature = "queue")]
    pub(super) fn options(&self) -> &IngestOptions {
        &self.inner.options
    }

    /// Prepares the lake for items. The first item does it otherwise.
    #[cfg(feature = "queue")]
    pub(super) async fn prepare(&self) -> Result<()> {
        self.inner.opened.get_or_try_init(|| self.inner.open()).await.map(drop)
    }

    /// Returns whether a run of this name works on the lake now.
    pub async fn knows_run(&self, run: &str) -> Result<bool> {
        self.inner.kept.is_alive(run).await
    }

    /// Does one item, or returns the kept result of the same item. Never panics, whatever the item. `stop` ends it early
    /// and cleanly, and so does dropping the future: the work ends by itself then.
    pub async fn run(&self, item: &Item, stop: CancellationToken) -> ItemOutcome {
        let stop = stop.child_token();
        let _guard = stop.clone().drop_guard();
        let (inner, owned) = (Arc::clone(&self.inner), item.clone());
        // A task of its own: it ends in order even if the caller is gone, and a panic in it is a result.
        let task = self.inner.tasks.spawn(async move { inner.outcome(&owned, &stop).await });
        let outcome = match task.await {
            Ok(outcome) => outcome,
            Err(died) => {
                let error = Error::internal("the work on the item died").source(died);
                outcome_of(item, Err(error), Duration::ZERO, self.registry())
            }
        };
        let counts = &self.inner.counts;
        let counter = match &outcome {
            ItemOutcome::Done { is_kept: true, .. } => &counts.kept,
            ItemOutcome::Done { result, .. } if result.success => &counts.succeeded,
            ItemOutcome::Done { .. } => &counts.failed,
            ItemOutcome::Again { .. } => &counts.again,
            ItemOutcome::Held { .. } => &counts.held,
            ItemOutcome::Refused(_) => &counts.refused,
        };
        Progress::add(counter, 1);
        outcome
    }

    /// Waits for items in progress, gives back requests that were counted and not sent, and puts the events of commits into
    /// the files of their days.
    pub async fn end(&self) -> Result<()> {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        if !self.inner.opened.initialized() {
            return Ok(());
        }
        let (store, layout) = (self.store(), &self.inner.layout);
        let kept = keep_events(store, layout, self.inner.options.keep_events_from).await.map(drop);
        let settled = self.registry().settle_budget().await;
        // The first error is the one to report.
        let swept = sweep_dead(store, layout).await;
        kept.and(settled).and(swept)
    }
}

impl Inner {
    async fn outcome(&self, item: &Item, stop: &CancellationToken) -> ItemOutcome {
        let began = Instant::now();
        if self.id_of(item).is_ok_and(|id| id != item.id()) {
            let (id, origin) = (item.id(), self.layout.name());
            return ItemOutcome::Refused(Error::input(format!("the item {id} is not one of the origin {origin}")));
        }
        match Box::pin(self.attempt(item, stop, began)).await {
            Ok(outcome) => outcome,
            Err(error) => self.outcome_of(item, Err(error), began),
        }
    }

    fn outcome_of(&self, item: &Item, ended: Result<Ended>, began: Instant) -> ItemOutcome {
        outcome_of(item, ended, began.elapsed(), &self.options.registry)
    }

    /// Does the item under its lease, unless a result of it is kept.
    async fn attempt(&self, item: &Item, stop: &CancellationToken, began: Instant) -> Result<ItemOutcome> {
        match stop.run_until_cancelled(self.opened.get_or_try_init(|| self.open())).await {
            Some(opened) => opened?,
            None => return Err(Error::interrupted()),
        };
        let digest = item.digest();
        if let Some(result) = self.kept.find(&digest).await? {
            return Ok(ItemOutcome::Done { result, is_kept: true });
        }
        let store = &self.options.store;
        if let Some(holder) = live_holder(store, &self.layout.lock()).await? {
            return Ok(ItemOutcome::Held { by: words_of(&holder) });
        }
        let stem = Layout::item_lease(&digest);
        let lease = match Lease::of_stem(store, &self.layout, &stem, PURPOSE).await? {
            Attempt::HeldBy(holder) => return Ok(ItemOutcome::Held { by: words_of(&holder) }),
            Attempt::Taken(lease) => lease,
        };
        let worked = async {
            // Another process may have done it before the lease was taken.
            if let Some(result) = self.kept.find(&digest).await? {
                return Ok(ItemOutcome::Done { result, is_kept: true });
            }
            let outcome = self.outcome_of(item, Ok(self.work(item, stop).await?), began);
            if let ItemOutcome::Done { result, .. } = &outcome {
                self.kept.keep(&digest, item.run(), result.clone()).await?;
            }
            Ok(outcome)
        };
        lease.end_after(worked.await).await
    }

    /// Returns the id that the payload of an item has here.
    fn id_of(&self, item: &Item) -> Result<String> {
        Item::new(self.layout.name(), item.payload().clone()).map(|own| own.id().to_owned())
    }

    /// Prepares the lake for items, as an ingest does before it lists names.
    async fn open(&self) -> Result<()> {
        let IngestOptions { store, registry, origin_info, .. } = &self.options;
        if Before::of(store).await?.has_listed(store, &self.options).await? {
            registry.has_listed_before();
        }
        check_moves(store, &self.layout).await?;
        registry.info().await?;
        open_lake(store, self.layout.name(), origin_info).await?;
        count_in_lake(store, registry).await?;
        sweep(store).await?;
        sweep_dead(store, &self.layout).await?;
        self.kept.sweep().await
    }

    /// Returns how many requests were sent since this was called last.
    fn untold_requests(&self) -> u64 {
        let sent = self.options.registry.statistics().requests;
        sent.saturating_sub(self.requests_told.swap(sent, Ordering::Relaxed))
    }
}

/// Returns who holds a lock, in words.
fn words_of(holder: &LockRecord) -> String {
    format!("process {} on {}", holder.process_id, holder.host)
}
