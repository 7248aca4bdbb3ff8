//! Puts the deltas of the writer on record: the moment from which on one counts. Until then it may be taken back, and its events
//! are in its own folder. Not here: the change of the record (`record`).

use std::collections::BTreeSet;

use super::known::Known;
use super::record::{Recording, WRITER, add, create, delta_of, release_events};
use super::sweep;
use super::writer::ChangeWriter;
use crate::commit::{abort_all_uploads, read_manifest};
use crate::error::{Error, Result};
use crate::lake::{Delta, OriginLayout, Overlay};
use crate::npm::PackageName;
use crate::pipeline::recovery::Recovery;

impl ChangeWriter {
    /// Puts the committed delta with a number on record, and tells its events, if the lake still holds of its names what is
    /// `known`. Otherwise takes it back: nobody has seen it.
    pub(super) async fn put_on_record(&self, number: u64, known: &Known, names: &[PackageName]) -> Result<Recording> {
        let (store, layout) = (&self.options.store, &self.options.layout);
        let own = layout.delta(number, number);
        // First the record, then the base: a commit of the base that begins after that is noted in the record.
        let record = store.read_record::<Overlay>(&layout.overlay()).await?.unwrap_or_else(Overlay::empty);
        let stems = known.stems(names);
        if self.are_being_committed(&stems).await? {
            // Its process may be dead.
            let ended = Recovery::of(store, layout).of_unheld(WRITER).await?;
            self.take_back(&own).await?;
            return Ok(if ended > 0 { Recording::Outdated } else { Recording::Busy });
        }
        if known.is_current(&record, names).await? {
            let manifest = read_manifest(store, &own, &Delta::PARTITION).await?;
            let manifest =
                manifest.ok_or_else(|| Error::lake(format!("{} vanished", own.manifest(&Delta::PARTITION))))?;
            let delta = delta_of(&manifest, (number, number), jiff::Timestamp::now().as_microsecond())?;
            if add(store, layout, &delta, &record, &stems).await? {
                release_events(store, &own).await?;
                store.delete_folder(&own.staging()).await?;
                return Ok(Recording::Done(Box::new(manifest)));
            }
        }
        self.take_back(&own).await?;
        Ok(Recording::Outdated)
    }

    /// Returns whether one of the partitions with these file stems has a commit that was begun and has not ended.
    async fn are_being_committed(&self, stems: &BTreeSet<String>) -> Result<bool> {
        let layout = &self.options.layout;
        let listed = self.options.store.list(&layout.staging()).await?;
        let mut intents = listed.iter().filter(|path| layout.is_commit_intent(path));
        Ok(intents.any(|path| path.rsplit('/').nth(1).is_some_and(|stem| stems.contains(stem))))
    }

    /// Takes back what a dead writer, or a failed commit, has left of the next delta, but for the answers that are staged; tells
    /// the events of the newest one; and deletes the folders of deltas that are not on record.
    pub(super) async fn settle(&self) -> Result<()> {
        let (store, layout) = (&self.options.store, &self.options.layout);
        // Refuses a lake whose record is lost, before anything is deleted.
        let record = self.fold.overlay.view().await?.record;
        if record.newest == 0 {
            create(store, layout).await?;
        }
        self.take_back(&layout.delta(record.newest + 1, record.newest + 1)).await?;
        if let Some(newest) = record.deltas.last() {
            let own = newest.layout(layout);
            release_events(store, &own).await?;
            store.delete_folder(&own.staging()).await?;
        }
        sweep::sweep(store, layout).await?;
        self.merging().renew(&self.fold.overlay.view().await?).await
    }

    /// Deletes a delta that is not on record, except for the answers that are staged.
    async fn take_back(&self, own: &OriginLayout) -> Result<()> {
        let store = &self.options.store;
        abort_all_uploads(store, own).await?;
        for path in store.list(own.root()).await? {
            if own.parse_staged_answers(&path).is_none() {
                store.delete(&path).await?;
            }
        }
        Ok(())
    }
}
