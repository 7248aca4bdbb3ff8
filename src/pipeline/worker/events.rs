//! Records what happened to the packages whose documents a build replaces or drops. Not here: how two documents are
//! compared (`table::events`), and the file that the commit moves (`commit`).

use std::io::Write;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::job::PartitionJob;
use crate::error::{Context, ErrorKind, Result};
use crate::event::encode_events;
use crate::fetch::FetchItem;
use crate::lake::{EventsFile, OriginLayout};
use crate::npm::{Outcome, Representation, Revision};
use crate::table::TableKind;
use crate::table::events::{Compared, Event, EventKind, EventOf, Happening, compare, created_at_us};

/// The events of one partition's build.
pub(super) struct EventRecorder<'a> {
    job: &'a PartitionJob,
    /// Whether the partition had documents before: the first ones are no events.
    is_recording: bool,
    /// Whether the removed names were read for this build.
    knows_gone_names: bool,
    events: Vec<Event>,
}

impl<'a> EventRecorder<'a> {
    pub(super) fn new(job: &'a PartitionJob) -> EventRecorder<'a> {
        let is_recording = job.previous_names(TableKind::Packuments).is_some();
        EventRecorder { job, is_recording, knows_gone_names: false, events: Vec::new() }
    }

    /// Returns whether the lake's own documents are needed.
    pub(super) fn is_recording(&self) -> bool {
        self.is_recording
    }

    /// Records that `new` replaces the document of a name, or is its first one. `rev` is its revision.
    pub(super) fn replaced(&mut self, item: &FetchItem, old: Option<Bytes>, new: &Bytes, rev: &str) -> Result<()> {
        if !self.is_recording || old.as_ref() == Some(new) {
            return Ok(());
        }
        let form = self.job.representation();
        let held_form = self.job.plan.held_form(&item.name).unwrap_or(form);
        let old = old.as_deref().map(|bytes| Compared { representation: held_form, bytes });
        let new = Compared { representation: form, bytes: new };
        let happenings = compare(item.name.as_str(), old, Some(new));
        for happening in happenings {
            let happening = match happening.kind {
                EventKind::PackageAdded if self.was_removed(item.name.as_str())? => {
                    Happening::of(EventKind::PackageRestored)
                }
                EventKind::PackageAdded if !self.is_new(item, new) => continue,
                _ => happening,
            };
            self.push(item.name.as_str(), rev, happening);
        }
        Ok(())
    }

    /// Records that the document `old` of a name is dropped.
    pub(super) fn removed(&mut self, name: &str, old: &Bytes) {
        if self.is_recording {
            // A tombstone is the same in each form, as far as this is about.
            let old_form = Compared { representation: Representation::Full, bytes: old };
            let rev = Revision::of_document(old);
            for happening in compare(name, Some(old_form), None) {
                self.push(name, rev.as_ref().map_or("", Revision::as_str), happening);
            }
        }
    }

    fn push(&mut self, name: &str, rev: &str, happening: Happening) {
        let seq = self.job.item.announced.seq_of(name);
        self.events.push(Event::new(EventOf { name, rev, seq }, happening));
    }

    fn was_removed(&mut self, name: &str) -> Result<bool> {
        if !self.knows_gone_names {
            self.job.gone_names.refresh()?;
            self.knows_gone_names = true;
        }
        Ok(self.job.gone_names.contains(name))
    }

    /// Returns whether a package without a document until now is new to the registry, and was not only left out by an
    /// earlier ingest.
    fn is_new(&self, item: &FetchItem, document: Compared<'_>) -> bool {
        if self.job.plan.added.contains(&item.name) {
            return true;
        }
        if item.last.is_some_and(|last| last.outcome == Outcome::NotFound) {
            return true;
        }
        let first_us = self.job.previous.as_ref().and_then(|manifest| manifest.first_listed_at_us);
        let created_us = created_at_us(item.name.as_str(), document);
        first_us.zip(created_us).is_some_and(|(first_us, created_us)| created_us >= first_us)
    }

    /// Stages the events. Returns their file; `None` if there are none.
    pub(super) fn finish(self) -> Result<Option<EventsFile>> {
        if self.events.is_empty() {
            return Ok(None);
        }
        let seen_at_us = jiff::Timestamp::now().as_microsecond();
        let bytes = encode_events(&self.events, seen_at_us)?;
        let path = self.job.layout.staged_events(self.job.partition());
        let mut staged = self.job.store.stage(&path)?;
        staged.write_all(&bytes).or_error(ErrorKind::Lake, || format!("cannot write {path}"))?;
        staged.finish()?;
        let sha256 = format!("{:x}", Sha256::digest(&bytes));
        Ok(Some(EventsFile { name: OriginLayout::feed_name(seen_at_us, &sha256), sha256 }))
    }
}
