//! The writer of the overlay: commits changes as deltas, merges these, and folds what is due. One process at a time is the
//! writer of an origin, under its lease. Not here: where the changes come from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::due::{FoldPolicy, due_partitions, rows_of_base};
use super::fold::Fold;
use super::known::Known;
use super::record::{add, delta_of, trim};
use super::view::OverlayView;
use super::{merge, sweep};
use crate::commit::read_manifest;
use crate::diff::Selection;
use crate::error::{Doing, Error, Result};
use crate::lake::{Delta, Manifest, OriginLayout, Overlay, Partition, PartitionSet};
use crate::npm::{Change, ChangeKind, Outcome, PackageName, Representation};
use crate::pipeline::judge::Judge;
use crate::pipeline::lease::{Attempt, Lease, LeaseWatch};
use crate::pipeline::progress::Progress;
use crate::pipeline::rebuild::{self, rebuild_partition};
use crate::pipeline::recovery::Recovery;
use crate::pipeline::report::Ended;
use crate::pipeline::status::read_partition_set;
use crate::pipeline::work::{Announced, Wanted, WorkItem};
use crate::pipeline::worker::Worker;
use crate::registry::Registry;
use crate::shard::{find_rows, held_outcomes};
use crate::store::{Store, blocking};
use crate::table::TableKind;

/// The command for which leases of partitions are taken.
const PURPOSE: &str = "follow";

/// The settings of a writer.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// The lake. The origin has partitions.
    pub store: Store,
    /// The registry.
    pub registry: Registry,
    /// The form of documents to fetch.
    pub representation: Representation,
    /// When partitions are folded.
    pub fold: FoldPolicy,
}

/// The result of [`ChangeWriter::apply`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// Names whose rows are committed, those that are gone included.
    pub committed: u64,
    /// The changes whose documents the registry does not serve as announced yet, or that failed.
    pub lagging: Vec<Change>,
    /// The events that were recorded.
    pub events: u64,
}

/// The result of [`ChangeWriter::tend`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tended {
    /// Merges of deltas.
    pub merges: u64,
    /// Partitions that were folded.
    pub folds: u64,
    /// Names whose rows were folded.
    pub names_folded: u64,
}

/// Writes the overlay of an origin.
pub struct ChangeWriter {
    options: WriterOptions,
    layout: OriginLayout,
    set: Arc<PartitionSet>,
    progress: Arc<Progress>,
    lease: LeaseWatch,
    stop: CancellationToken,
    fold: Fold,
    /// Whether a dead process, or a failed commit, may have left something to be ended.
    is_unsettled: AtomicBool,
    /// The rows of each partition of the base, by file stem, as far as they are known.
    base_rows: Mutex<Option<BTreeMap<String, u64>>>,
}

impl ChangeWriter {
    /// Opens the writer of the registry's origin. `lease` is that of the writer: no other process holds it.
    ///
    /// Fails with [`crate::error::ErrorKind::Lake`] if the lake holds nothing of the origin yet.
    pub async fn open(
        options: WriterOptions,
        lease: &LeaseWatch,
        progress: &Arc<Progress>,
        stop: &CancellationToken,
    ) -> Result<ChangeWriter> {
        let (store, layout) = (&options.store, crate::lake::Layout::origin(&options.registry.origin().name));
        let set = read_partition_set(store, &layout).await?.ok_or_else(|| {
            Error::lake(format!("the lake {} holds nothing of {} yet", store.location(), layout.name()))
                .hint("fill it: all-docs ingest")
        })?;
        Ok(ChangeWriter {
            fold: Fold::new(store, &layout, stop.clone()),
            layout,
            set: Arc::new(set),
            progress: Arc::clone(progress),
            lease: lease.clone(),
            stop: stop.clone(),
            is_unsettled: AtomicBool::new(true),
            base_rows: Mutex::default(),
            options,
        })
    }

    /// Returns those changes that the lake does not hold yet: those whose announced revision it has not asked for, or asked
    /// for in vain, and of deletions those of names that it holds.
    pub async fn news(&self, changes: Vec<Change>) -> Result<Vec<Change>> {
        let known = self.known(self.fold.view().await?);
        let filter = move || {
            let names: BTreeSet<PackageName> = changes.iter().map(|change| change.name.clone()).collect();
            let names: Vec<PackageName> = names.into_iter().collect();
            let outcomes = known.outcomes(&names)?;
            let rows = known.doc_rows(&names)?;
            let is_news = |change: &Change| {
                let outcome = outcomes.binary_search_by(|held| held.name.cmp(&change.name)).ok();
                let outcome = outcome.and_then(|at| outcomes.get(at));
                match change.kind {
                    ChangeKind::Added | ChangeKind::Changed => {
                        outcome.is_none_or(|held| held.rev != change.rev || held.outcome.is_open())
                    }
                    ChangeKind::Removed | ChangeKind::Deleted => {
                        outcome.is_some() || rows.binary_search_by(|row| row.name.cmp(&change.name)).is_ok()
                    }
                }
            };
            Ok(changes.into_iter().filter(is_news).collect())
        };
        blocking("looking up changed names", filter).await
    }

    /// Asks for the documents of changed names, and commits them as one delta. Of several changes of one name the last one
    /// counts.
    ///
    /// Fails as an ingest of these names does. What was received until then is staged, and is not requested again.
    pub async fn apply(&self, changes: Vec<Change>) -> Result<Applied> {
        let mut by_name: BTreeMap<PackageName, Change> = BTreeMap::new();
        by_name.extend(changes.into_iter().map(|change| (change.name.clone(), change)));
        if by_name.is_empty() {
            return Ok(Applied::default());
        }
        if self.is_unsettled.swap(true, Ordering::Relaxed) {
            self.settle().await.doing(|| format!("ending what was begun in the overlay of {}", self.layout.name()))?;
        }
        let view = self.fold.view().await?;
        let number = view.record.newest + 1;
        let own = self.layout.delta(number, number);
        let judge = Arc::new(Judge::new(false));
        let worker = Worker::new(
            self.options.store.clone(),
            own.clone(),
            self.options.registry.clone(),
            Arc::clone(&self.progress),
            Arc::clone(&judge),
            PURPOSE,
            false,
        );
        let worker = Arc::new(worker.of_delta(self.known(view)));
        let item = WorkItem {
            partition: Delta::PARTITION,
            announced: Announced::Changes(Arc::new(by_name.values().cloned().collect())),
            wanted: Arc::new(self.wanted()),
        };
        let worked = tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Error::interrupted()),
            worked = Box::pin(Arc::clone(&worker).work_under_lease(item, &self.lease)) => worked,
        };
        if worked.is_err() {
            worker.stop();
        }
        let ended = worker.end().await;
        let report = worked?;
        ended?;
        judge.ending.outcome()?;
        let mut applied = Applied::default();
        if report.ended == Ended::Committed {
            let manifest = self.put_on_record(number).await?;
            applied.committed = manifest.rows(TableKind::Docs) + manifest.removed.len() as u64;
            applied.lagging = self.lagging(own, by_name).await?;
        }
        self.is_unsettled.store(false, Ordering::Relaxed);
        Ok(applied)
    }

    /// Merges deltas, and folds partitions, as far as that is due.
    pub async fn tend(&self) -> Result<Tended> {
        let mut tended = Tended::default();
        loop {
            let view = self.fold.view().await?;
            let Some(places) = merge::due(&view.record.deltas) else { break };
            let (store, set) = (&self.options.store, &self.set);
            let merged = merge::merge(store, &self.layout, set, &view, places, &self.lease, &self.stop).await;
            match merged.doing(|| format!("merging deltas of {}", self.layout.name()))? {
                Some(_) => tended.merges += 1,
                // Another process has folded a partition: the next round sees it.
                None => break,
            }
        }
        let view = self.fold.view().await?;
        if view.deltas.is_empty() {
            return Ok(tended);
        }
        let base_rows = self.base_rows().await?;
        let now_us = jiff::Timestamp::now().as_microsecond();
        let due = due_partitions(&view, &self.set, &base_rows, self.options.fold, now_us);
        for partition in due {
            if self.stop.is_cancelled() {
                return Err(Error::interrupted());
            }
            if let Some(names) = self.fold_under_lease(&partition).await? {
                tended.folds += 1;
                tended.names_folded += names;
            }
        }
        if tended.folds > 0 {
            trim(&self.options.store, &self.layout, &self.set, &self.fold.view().await?).await?;
        }
        Ok(tended)
    }

    /// Folds a partition, unless another process works on it.
    async fn fold_under_lease(&self, partition: &Partition) -> Result<Option<u64>> {
        fold_under_lease(&self.options.store, &self.layout, &self.fold, partition, PURPOSE, &self.stop).await
    }

    async fn base_rows(&self) -> Result<BTreeMap<String, u64>> {
        let mut known = self.base_rows.lock().await;
        if let Some(rows) = &*known {
            return Ok(rows.clone());
        }
        let rows = rows_of_base(&self.options.store, &self.layout).await?;
        *known = Some(rows.clone());
        Ok(rows)
    }

    fn known(&self, view: OverlayView) -> Arc<Known> {
        Arc::new(Known::new(&self.options.store, &self.layout, &self.set, view))
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            representation: self.options.representation,
            selection: Selection::All,
            refresh: false,
            began_at_us: jiff::Timestamp::now().as_microsecond(),
            max_document_bytes: self.options.registry.max_document_bytes(),
            accepts_removals: false,
        }
    }

    /// Puts the committed delta with a number on record, and returns its manifest.
    async fn put_on_record(&self, number: u64) -> Result<Manifest> {
        let (store, own) = (&self.options.store, self.layout.delta(number, number));
        let manifest = read_manifest(store, &own, &Delta::PARTITION).await?;
        let manifest = manifest.ok_or_else(|| Error::lake(format!("{} vanished", own.manifest(&Delta::PARTITION))))?;
        let now_us = jiff::Timestamp::now().as_microsecond();
        add(store, &self.layout, &delta_of(&manifest, (number, number), now_us)?).await?;
        Ok(manifest)
    }

    /// Ends a commit that was begun, puts a committed delta on record that is not there, and deletes the folders of deltas
    /// that are not on record.
    async fn settle(&self) -> Result<()> {
        let (store, layout) = (&self.options.store, &self.layout);
        let newest = async || -> Result<u64> {
            let record = store.read_record::<Overlay>(&layout.overlay()).await?;
            Ok(record.map_or(0, |record| record.newest))
        };
        let number = newest().await? + 1;
        let own = layout.delta(number, number);
        Recovery::of(store, &own).settle(&Delta::PARTITION, &self.lease).await?;
        if read_manifest(store, &own, &Delta::PARTITION).await?.is_some() {
            tracing::info!(origin = layout.name(), number, "a delta that a dead process committed is put on record");
            self.put_on_record(number).await?;
            store.delete_folder(&own.staging()).await?;
        }
        sweep::sweep(store, layout).await
    }

    /// Returns the changes of names whose outcome in a delta is open.
    async fn lagging(&self, own: OriginLayout, mut changes: BTreeMap<PackageName, Change>) -> Result<Vec<Change>> {
        let store = self.options.store.clone();
        let read = move || {
            let path = own.shard(TableKind::Outcomes, &Delta::PARTITION);
            let names: Vec<PackageName> = changes.keys().cloned().collect();
            let mut lagging = Vec::new();
            let Some(file) = store.blocking().open(&path)? else { return Ok(lagging) };
            find_rows(TableKind::Outcomes, file, &names, &super::view::OUTCOME_COLUMNS, |batch| {
                let open = held_outcomes(&batch)?.into_iter().filter(|held| Outcome::is_open(held.outcome));
                lagging.extend(open.filter_map(|held| changes.remove(&held.name)));
                Ok(())
            })?;
            Ok(lagging)
        };
        blocking("reading the outcomes of a delta", read).await
    }
}

/// Folds a partition under its lease, for a command. Returns of how many names; `None` if another process works on it.
pub(in crate::pipeline) async fn fold_under_lease(
    store: &Store,
    layout: &OriginLayout,
    fold: &Fold,
    partition: &Partition,
    purpose: &str,
    stop: &CancellationToken,
) -> Result<Option<u64>> {
    let lease = match Lease::of_partition(store, layout, partition, purpose).await? {
        Attempt::Taken(lease) => lease,
        Attempt::HeldBy(_) => return Ok(None),
    };
    let watch = lease.watch();
    let folded = async {
        Recovery::of(store, layout).settle(partition, &watch).await?;
        if read_manifest(store, layout, partition).await?.is_some_and(|manifest| manifest.is_old()) {
            // One partition never has shards of two versions beside each other.
            let run = rebuild::Run {
                store: store.clone(),
                layout: layout.clone(),
                wanted: rebuild::Wanted::default(),
                progress: Arc::default(),
                stop: stop.clone(),
                large_documents: Arc::default(),
            };
            rebuild_partition(&run, partition, &watch).await?;
        }
        fold.partition(partition, &watch).await
    };
    let folded = Box::pin(folded).await;
    lease.end_after(folded).await.map(Some)
}
