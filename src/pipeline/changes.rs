//! Changes of some names, asked for and committed: what `follow` does with the rows of a feed, and with the differences
//! that a listing shows. Not here: where they come from (`follow`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::judge::Judge;
use super::progress::Progress;
use super::source::Changes;
use super::work::Wanted;
use super::work_off::work_off;
use super::worker::{Previous, Worker};
use crate::commit::read_manifest;
use crate::diff::Selection;
use crate::error::{Error, Result};
use crate::lake::{HeldOutcome, OriginLayout, Partition, PartitionSet};
use crate::npm::{Change, ChangeKind, DocRow, Outcome, PackageName, Representation};
use crate::registry::Registry;
use crate::store::{Store, blocking};

/// How often a name that is not found is asked for again at once.
const MOST_NOT_FOUND: u32 = 4;

/// Commits changes into the lake of one origin.
pub(in crate::pipeline) struct ChangeWriter {
    pub(super) store: Store,
    pub(super) registry: Registry,
    pub(super) layout: OriginLayout,
    pub(super) set: PartitionSet,
    /// The form of documents to ask for.
    pub(super) representation: Representation,
    pub(super) progress: Arc<Progress>,
    /// Ends a commit early and cleanly.
    pub(super) stop: CancellationToken,
    /// The command for which leases are taken.
    pub(super) purpose: &'static str,
}

/// The result of a commit of changes.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct Applied {
    /// Names that are up to date now.
    pub(in crate::pipeline) committed: u64,
    /// Changes whose document the registry does not serve as announced, or did not serve at all.
    pub(in crate::pipeline) lagging: Vec<Change>,
    /// Events that were written.
    pub(in crate::pipeline) events: u64,
}

/// Work on the lake that had become due.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::pipeline) struct Tended {
    /// Merges of deltas.
    pub(in crate::pipeline) merges: u64,
    /// Partitions that were folded.
    pub(in crate::pipeline) folds: u64,
}

/// The names that the lake holds in one partition.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct Held {
    /// The rows of `docs`, ascending.
    pub(in crate::pipeline) rows: Vec<DocRow>,
    /// The outcomes, ascending.
    pub(in crate::pipeline) outcomes: Vec<HeldOutcome>,
}

impl ChangeWriter {
    /// Drops the changes that the lake holds already: its last request was about the announced revision, or the name of
    /// a deletion is not in it.
    pub(in crate::pipeline) async fn news(&self, changes: Vec<Change>) -> Result<Vec<Change>> {
        let held = self.held_of(&changes).await?;
        let is_news = |change: &Change| {
            let known = held.get(&change.name);
            match change.kind {
                ChangeKind::Deleted | ChangeKind::Removed => known.is_some(),
                ChangeKind::Added | ChangeKind::Changed => {
                    known.is_none_or(|known| known.as_ref().is_none_or(|outcome| outcome.rev != change.rev))
                }
            }
        };
        Ok(changes.into_iter().filter(is_news).collect())
    }

    /// Asks for the documents of `changes`, and commits them. Of several changes of one name the last one counts. Ends
    /// early, as interrupted, when the writer is stopped.
    pub(in crate::pipeline) async fn apply(&self, changes: Vec<Change>) -> Result<Applied> {
        if changes.is_empty() {
            return Ok(Applied::default());
        }
        let names = changes.iter().filter(|change| change.kind != ChangeKind::Removed);
        let wanted = Arc::new(Wanted {
            representation: self.representation,
            selection: Selection::Names(names.map(|change| change.name.clone()).collect()),
            refresh: false,
            began_at_us: jiff::Timestamp::now().as_microsecond(),
            max_document_bytes: self.registry.max_document_bytes(),
            accepts_removals: false,
        });
        let source = Changes::new(&self.set, changes.clone(), &wanted);
        self.work(&source).await?;
        let held = self.held_of(&changes).await?;
        let last: BTreeMap<PackageName, Change> =
            changes.into_iter().map(|change| (change.name.clone(), change)).collect();
        let names = last.len() as u64;
        let is_behind = |change: &Change| match held.get(&change.name) {
            Some(Some(outcome)) => is_behind(outcome, change),
            Some(None) => change.kind != ChangeKind::Removed,
            None => false,
        };
        let lagging: Vec<Change> = last.into_values().filter(is_behind).collect();
        Ok(Applied { committed: names - lagging.len() as u64, lagging, events: 0 })
    }

    async fn work(&self, source: &Changes) -> Result<()> {
        let judge = Arc::new(Judge::new(false));
        let (store, layout, registry) = (self.store.clone(), self.layout.clone(), self.registry.clone());
        let progress = Arc::clone(&self.progress);
        let worker = Arc::new(Worker::new(store, layout, registry, progress, Arc::clone(&judge), self.purpose, false));
        let place = (&self.store, &self.layout);
        let worked = tokio::select! {
            // A stop counts before a failure that it may have caused.
            biased;
            () = self.stop.cancelled() => Err(Error::interrupted()),
            worked = Box::pin(work_off(&worker, source, place, &judge, |_| {})) => worked,
        };
        if worked.is_err() {
            worker.stop();
        }
        let ended = worker.end().await;
        worked?;
        judge.ending.outcome()?;
        ended
    }

    /// Does the work on the lake that is due: none, as long as changes are committed into its base.
    pub(in crate::pipeline) async fn tend(&self) -> Result<Tended> {
        Ok(Tended::default())
    }

    /// Returns what the lake holds of a partition.
    pub(in crate::pipeline) async fn held(&self, partition: &Partition) -> Result<Held> {
        let manifest = read_manifest(&self.store, &self.layout, partition).await?;
        let (store, layout, partition) = (self.store.clone(), self.layout.clone(), partition.clone());
        let read = move || {
            let manifest = manifest.as_ref();
            let previous = Previous { store: &store, layout: &layout, partition: &partition, manifest };
            Ok(Held { rows: previous.doc_rows()?, outcomes: previous.outcomes()? })
        };
        blocking("reading what the lake holds", read).await
    }

    /// Returns the names of `changes` that the lake holds, each with its outcome if it has one.
    async fn held_of(&self, changes: &[Change]) -> Result<BTreeMap<PackageName, Option<HeldOutcome>>> {
        let partitions: BTreeSet<usize> =
            changes.iter().map(|change| self.set.index_of(change.name.as_str())).collect();
        let names: BTreeSet<&PackageName> = changes.iter().map(|change| &change.name).collect();
        let mut found = BTreeMap::new();
        for index in partitions {
            let held = self.held(&self.set.get(index)).await?;
            let rows = held.rows.into_iter().filter(|row| names.contains(&row.name));
            found.extend(rows.map(|row| (row.name, None)));
            let outcomes = held.outcomes.into_iter().filter(|outcome| names.contains(&outcome.name));
            found.extend(outcomes.map(|outcome| (outcome.name.clone(), Some(outcome))));
        }
        Ok(found)
    }
}

/// Returns whether the document of a change is still to come.
fn is_behind(held: &HeldOutcome, change: &Change) -> bool {
    let is_open = match held.outcome {
        Outcome::Stale | Outcome::Failed => true,
        // A server that lags behind its feed does not know a new package yet. The outcome has times of its own after that.
        Outcome::NotFound => change.kind != ChangeKind::Deleted && held.repetitions <= MOST_NOT_FOUND,
        Outcome::Present | Outcome::Tombstone | Outcome::Blocked | Outcome::Oversize | Outcome::Malformed => false,
    };
    is_open && held.rev == change.rev && change.kind != ChangeKind::Removed
}
