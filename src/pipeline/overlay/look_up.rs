//! Look-ups of the overlay's writer in the lake: the changes that are news, and the contents of a partition.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::known::Known;
use super::view::OverlayView;
use super::writer::{ChangeWriter, Held, WriterOptions};
use crate::commit::read_manifest;
use crate::error::Result;
use crate::lake::Partition;
use crate::npm::{Change, ChangeKind, PackageName};
use crate::pipeline::worker::PartitionBefore;
use crate::store::blocking;

impl ChangeWriter {
    /// Returns those changes that the lake does not hold yet: those whose announced revision it has not received, and of
    /// deletions those of names that it holds.
    pub(in crate::pipeline) async fn news(&self, changes: Vec<Change>) -> Result<Vec<Change>> {
        self.fold.overlay.with_view(|view| self.news_by(self.known(view), changes.clone())).await
    }

    async fn news_by(&self, known: Arc<Known>, changes: Vec<Change>) -> Result<Vec<Change>> {
        let filter = move || {
            let names: BTreeSet<PackageName> = changes.iter().map(|change| change.name.clone()).collect();
            let names: Vec<PackageName> = names.into_iter().collect();
            let outcomes = known.outcomes(&names)?;
            // A name without an outcome may be listed all the same.
            let rows = known.doc_rows(&names)?;
            let is_news = |change: &Change| {
                let outcome = outcomes.binary_search_by(|held| held.name.cmp(&change.name)).ok();
                let outcome = outcome.and_then(|at| outcomes.get(at));
                match change.kind {
                    // A follower that died may have asked in vain, and not have noted that it waits.
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

    /// Returns what the lake holds of a partition.
    pub(in crate::pipeline) async fn held(&self, partition: &Partition) -> Result<Held> {
        self.fold.overlay.with_view(|view| self.held_by(partition, view)).await
    }

    async fn held_by(&self, partition: &Partition, overlay: OverlayView) -> Result<Held> {
        let WriterOptions { store, layout, .. } = self.options.clone();
        let manifest = read_manifest(&store, &layout, partition).await?;
        let partition = partition.clone();
        let read = move || {
            let (store, layout, partition, overlay) = (&store, &layout, &partition, &overlay);
            let before = PartitionBefore { store, layout, partition, manifest: manifest.as_ref(), overlay };
            Ok(Held { rows: before.doc_rows()?, outcomes: before.outcomes()? })
        };
        blocking("reading what the lake holds", read).await
    }
}
