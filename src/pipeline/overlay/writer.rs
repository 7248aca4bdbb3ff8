//! The writer of the overlay: commits changes as deltas, merges these, and folds what is due. One process at a time is the
//! writer of an origin, under its lease. Not here: where the changes come from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::due::{FoldPolicy, due_partitions, rows_of_base};
use super::fold::Fold;
use super::known::Known;
use super::merge::{self, Merging};
use super::record::{Recording, WRITER, trim};
use super::under_lease::fold_under_lease;
use super::view::OverlayView;
use crate::diff::Selection;
use crate::error::{Doing, Error, Result};
use crate::lake::{Delta, HeldOutcome, OriginLayout, Partition, PartitionSet};
use crate::npm::{Change, ChangeKind, DocRow, Outcome, PackageName, Representation};
use crate::pipeline::doubt::Sample;
use crate::pipeline::judge::Judge;
use crate::pipeline::lease::LeaseWatch;
use crate::pipeline::progress::Progress;
use crate::pipeline::report::{Ended, PartitionReport};
use crate::pipeline::work::{Announced, Wanted, WorkItem};
use crate::pipeline::worker::{Worker, refuse_more_than_bearable};
use crate::registry::Registry;
use crate::shard::{find_rows, held_outcomes};
use crate::store::{Store, blocking};
use crate::table::TableKind;

/// A commit merges deltas first if there are more than these.
const MOST_DELTAS: usize = 48;
/// How often a name that is not found is asked for again at once.
const MOST_NOT_FOUND: u32 = 4;

/// The result of [`ChangeWriter::apply`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::pipeline) struct Applied {
    /// Names whose rows are committed, those that are gone included.
    pub(in crate::pipeline) committed: u64,
    /// The changes whose documents the registry does not serve as announced yet, or that failed.
    pub(in crate::pipeline) lagging: Vec<Change>,
}

/// The result of [`ChangeWriter::tend`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::pipeline) struct Tended {
    /// Merges of deltas.
    pub(in crate::pipeline) merges: u64,
    /// Partitions that were folded.
    pub(in crate::pipeline) folds: u64,
    /// Names whose rows were folded.
    pub(in crate::pipeline) names_folded: u64,
}

/// The rows that the lake holds of one partition, by its base and the overlay.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct Held {
    /// The rows of `docs`, ascending.
    pub(in crate::pipeline) rows: Vec<DocRow>,
    /// The outcomes, ascending.
    pub(in crate::pipeline) outcomes: Vec<HeldOutcome>,
}

/// The settings of a writer.
#[derive(Clone)]
pub(in crate::pipeline) struct WriterOptions {
    /// The lake. The origin has partitions.
    pub(in crate::pipeline) store: Store,
    pub(in crate::pipeline) registry: Registry,
    pub(in crate::pipeline) layout: OriginLayout,
    pub(in crate::pipeline) set: PartitionSet,
    /// The form of documents to ask for.
    pub(in crate::pipeline) representation: Representation,
    pub(in crate::pipeline) progress: Arc<Progress>,
    /// Ends a commit early and cleanly.
    pub(in crate::pipeline) stop: CancellationToken,
    /// The lease of the writer: no other process holds it.
    pub(in crate::pipeline) lease: LeaseWatch,
    /// When partitions are folded.
    pub(in crate::pipeline) fold: FoldPolicy,
}

/// Writes the overlay of an origin.
pub(in crate::pipeline) struct ChangeWriter {
    pub(in crate::pipeline) options: WriterOptions,
    set: Arc<PartitionSet>,
    /// Names whose documents the lake holds, to ask for if the registry seems to serve none any more.
    sample: Sample,
    pub(super) fold: Fold,
    /// Whether a dead process, or a failed commit, may have left something to be ended.
    is_unsettled: AtomicBool,
    /// The rows of each partition of the base, by file stem, as far as they are known.
    base_rows: Mutex<Option<BTreeMap<String, u64>>>,
}

impl ChangeWriter {
    pub(in crate::pipeline) fn new(options: WriterOptions) -> ChangeWriter {
        ChangeWriter {
            set: Arc::new(options.set.clone()),
            sample: Sample::default(),
            fold: Fold::new(&options.store, &options.layout, options.stop.clone()),
            is_unsettled: AtomicBool::new(true),
            base_rows: Mutex::default(),
            options,
        }
    }

    /// Draws the sample of names from a partition amid the others.
    pub(in crate::pipeline) async fn draw_sample(&mut self) -> Result<()> {
        let held = self.held(&self.set.get(self.set.count() / 2)).await?;
        let with_document = held.outcomes.iter().filter(|outcome| outcome.outcome.is_whole());
        with_document.for_each(|outcome| self.sample.add(&outcome.name));
        Ok(())
    }

    /// Asks for the documents of changed names, and commits them as one delta. Of several changes of one name the last one
    /// counts.
    ///
    /// Fails as an ingest of these names does. Documents that were received until then are staged, and are not requested again.
    pub(in crate::pipeline) async fn apply(&self, changes: Vec<Change>) -> Result<Applied> {
        let mut by_name: BTreeMap<PackageName, Change> = BTreeMap::new();
        by_name.extend(changes.into_iter().map(|change| (change.name.clone(), change)));
        if by_name.is_empty() {
            return Ok(Applied::default());
        }
        self.settle_once().await?;
        self.is_unsettled.store(true, Ordering::Relaxed);
        let view = self.fold.overlay.view().await?;
        if view.deltas.len() > MOST_DELTAS {
            // A listing may give many commits before the next round.
            self.merge_due().await?;
        }
        let number = view.record.newest + 1;
        let own = self.options.layout.delta(number, number);
        let names: Vec<PackageName> = by_name.keys().cloned().collect();
        let mut builds = 0;
        let recorded = loop {
            builds += 1;
            refuse_more_than_bearable(builds, &self.options.layout)?;
            let worked = self.fold.overlay.with_view(|view| {
                let known = self.known(view);
                // Names that another process has requested in vain meanwhile are requested again.
                let item = WorkItem {
                    partition: Delta::PARTITION,
                    announced: Announced::Changes(Arc::new(by_name.values().cloned().collect())),
                    wanted: Arc::new(self.wanted(&by_name)),
                };
                let own = own.clone();
                async move { Ok((self.work(own, Arc::clone(&known), item).await?, known)) }
            });
            let (report, known) = worked.await?;
            if report.ended != Ended::Committed {
                break None;
            }
            match self.put_on_record(number, &known, &names).await? {
                Recording::Outdated => {}
                Recording::Done(manifest) => {
                    Progress::add(&self.options.progress.events_recorded, report.events);
                    break Some(Recording::Done(manifest));
                }
                recorded => break Some(recorded),
            }
            tracing::debug!(
                origin = self.options.layout.name(),
                number,
                "an ingest has changed the same names meanwhile"
            );
        };
        let mut applied = Applied::default();
        match recorded {
            Some(Recording::Done(manifest)) => {
                applied.lagging = self.lagging(own, by_name).await?;
                let names = manifest.rows(TableKind::Docs) + manifest.removed.len() as u64;
                applied.committed = names.saturating_sub(applied.lagging.len() as u64);
            }
            // The other process ends its commit first.
            Some(_) => applied.lagging = by_name.into_values().collect(),
            // The other process has it all: what is staged is out of date.
            None if builds > 1 => self.options.store.delete_folder(&own.staging()).await?,
            None => {}
        }
        self.is_unsettled.store(false, Ordering::Relaxed);
        Ok(applied)
    }

    /// Ends what a dead process, or a failed commit, may have left, unless that is done.
    async fn settle_once(&self) -> Result<()> {
        if self.is_unsettled.load(Ordering::Relaxed) {
            self.settle()
                .await
                .doing(|| format!("ending what was begun in the overlay of {}", self.options.layout.name()))?;
            self.is_unsettled.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Works on a delta, whose names are compared with `known`.
    async fn work(&self, own: OriginLayout, known: Arc<Known>, item: WorkItem) -> Result<PartitionReport> {
        let judge = Arc::new(Judge::new(false));
        judge.set_sample(self.sample.clone());
        let worker = Worker::new(
            self.options.store.clone(),
            own,
            self.options.registry.clone(),
            Arc::clone(&self.options.progress),
            Arc::clone(&judge),
            WRITER,
            false,
        );
        let worker = Arc::new(worker.of_delta(known));
        let worked = tokio::select! {
            biased;
            () = self.options.stop.cancelled() => Err(Error::interrupted()),
            worked = Box::pin(Arc::clone(&worker).work_under_lease(item, &self.options.lease)) => worked,
        };
        if worked.is_err() {
            worker.stop();
        }
        let ended = worker.end().await;
        let report = worked?;
        ended?;
        judge.ending.outcome()?;
        Ok(report)
    }

    /// Merges deltas, and folds partitions, as far as that is due.
    pub(in crate::pipeline) async fn tend(&self) -> Result<Tended> {
        if self.fold.overlay.view().await?.deltas.is_empty() {
            return Ok(Tended::default());
        }
        self.settle_once().await?;
        let mut tended = Tended { merges: self.merge_due().await?, ..Tended::default() };
        let view = self.fold.overlay.view().await?;
        let base_rows = self.base_rows().await?;
        let now_us = jiff::Timestamp::now().as_microsecond();
        let due = due_partitions(&view, &self.set, &base_rows, self.options.fold, now_us);
        for partition in due {
            if self.options.stop.is_cancelled() {
                return Err(Error::interrupted());
            }
            if let Some(names) = self.fold_under_lease(&partition).await? {
                tended.folds += 1;
                tended.names_folded += names;
            }
        }
        // Other processes fold partitions too.
        trim(&self.options.store, &self.options.layout, &self.set, &self.fold.overlay.view().await?).await?;
        Ok(tended)
    }

    pub(super) fn merging(&self) -> Merging<'_> {
        let WriterOptions { store, layout, lease, stop, .. } = &self.options;
        Merging { store, layout, set: &self.set, lease, stop }
    }

    /// Merges deltas as far as that is due. Returns how many merges there were.
    async fn merge_due(&self) -> Result<u64> {
        let mut merges = 0;
        loop {
            let view = self.fold.overlay.view().await?;
            let Some(places) = merge::due(&view.record.deltas) else { break };
            let last = view.deltas.get(places.end.saturating_sub(1)).map_or(0, |held| held.delta.last);
            let merged = self.merging().merge(&view, places, last).await;
            match merged.doing(|| format!("merging deltas of {}", self.options.layout.name()))? {
                Some(_) => merges += 1,
                // Another process has folded a partition: the next round sees it.
                None => break,
            }
        }
        Ok(merges)
    }

    /// Folds a partition, unless another process works on it.
    async fn fold_under_lease(&self, partition: &Partition) -> Result<Option<u64>> {
        fold_under_lease(&self.options.store, &self.options.layout, &self.fold, partition, WRITER, &self.options.stop)
            .await
    }

    async fn base_rows(&self) -> Result<BTreeMap<String, u64>> {
        let mut known = self.base_rows.lock().await;
        if let Some(rows) = &*known {
            return Ok(rows.clone());
        }
        let rows = rows_of_base(&self.options.store, &self.options.layout).await?;
        *known = Some(rows.clone());
        Ok(rows)
    }

    pub(super) fn known(&self, view: OverlayView) -> Arc<Known> {
        Arc::new(Known::new(&self.options.store, &self.options.layout, &self.set, view))
    }

    fn wanted(&self, changes: &BTreeMap<PackageName, Change>) -> Wanted {
        // A name that is asked for by name is asked for again at the same revision too.
        let names = changes.values().filter(|change| change.kind != ChangeKind::Removed);
        Wanted {
            representation: self.options.representation,
            selection: Selection::Names(names.map(|change| change.name.clone()).collect()),
            refresh: false,
            began_at_us: jiff::Timestamp::now().as_microsecond(),
            max_document_bytes: self.options.registry.max_document_bytes(),
            accepts_removals: false,
        }
    }

    /// Returns the changes whose documents are still to come, by the outcomes of their delta.
    async fn lagging(&self, own: OriginLayout, mut changes: BTreeMap<PackageName, Change>) -> Result<Vec<Change>> {
        let store = self.options.store.clone();
        let read = move || {
            let path = own.shard(TableKind::Outcomes, &Delta::PARTITION);
            let names: Vec<PackageName> = changes.keys().cloned().collect();
            let mut lagging = Vec::new();
            let Some(file) = store.blocking().open(&path)? else { return Ok(lagging) };
            find_rows(TableKind::Outcomes, file, &names, &super::view::OUTCOME_COLUMNS, |batch| {
                for held in held_outcomes(&batch)? {
                    lagging.extend(changes.remove(&held.name).filter(|change| is_behind(&held, change)));
                }
                Ok(())
            })?;
            Ok(lagging)
        };
        blocking("reading the outcomes of a delta", read).await
    }
}

/// Returns whether the document of a change is still to come.
fn is_behind(held: &HeldOutcome, change: &Change) -> bool {
    match held.outcome {
        Outcome::Stale | Outcome::Failed => true,
        // A server that lags behind its feed does not know a new package yet. The outcome has times of its own after that.
        Outcome::NotFound => change.kind != ChangeKind::Deleted && held.repetitions <= MOST_NOT_FOUND,
        Outcome::Present | Outcome::Tombstone | Outcome::Blocked | Outcome::Oversize | Outcome::Malformed => false,
    }
}
