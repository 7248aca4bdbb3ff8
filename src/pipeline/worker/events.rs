//! Records what happened to the packages whose documents a build replaces or drops. Not here: how two documents are
//! compared (`table::events`), and the file that the commit moves (`commit`).

use std::collections::BTreeSet;
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
use crate::table::events::{Compared, Event, EventKind, EventOf, Happening, compare};

/// The events of one partition's build.
pub(super) struct EventRecorder<'a> {
    job: &'a PartitionJob,
    /// Whether the partition had documents before: the first ones are no events.
    is_recording: bool,
    /// Whether the removed names were read for this build.
    knows_gone_names: bool,
    /// The names of [`crate::lake::Manifest::unfilled`] that this build adds.
    unfilled: BTreeSet<String>,
    events: Vec<Event>,
}

impl<'a> EventRecorder<'a> {
    pub(super) fn new(job: &'a PartitionJob) -> EventRecorder<'a> {
        // A lake with an overlay has documents of each partition.
        let is_recording = job.previous_names(TableKind::Packuments).is_some() || job.known.is_some();
        EventRecorder { job, is_recording, knows_gone_names: false, unfilled: BTreeSet::new(), events: Vec::new() }
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
                EventKind::PackageAdded if !self.is_new(item) => continue,
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
    fn is_new(&self, item: &FetchItem) -> bool {
        self.job.plan.added.contains(&item.name) || (item.last.is_some() && !self.was_unfilled(item.name.as_str()))
    }

    fn was_unfilled(&self, name: &str) -> bool {
        if let Some(known) = &self.job.known {
            return known.was_unfilled(name);
        }
        let previous = self.job.previous.as_ref();
        previous.is_some_and(|manifest| manifest.unfilled.binary_search_by(|held| held.as_str().cmp(name)).is_ok())
    }

    /// Notes the outcome of a request.
    pub(super) fn answered(&mut self, item: &FetchItem, outcome: Outcome) {
        let name = item.name.as_str();
        let is_late = item.last.is_none() && !self.job.plan.added.contains(&item.name);
        // A name without a document may get its first one.
        let is_open = !item.is_held && !outcome.has_document() && outcome != Outcome::NotFound;
        if is_open && (is_late || self.was_unfilled(name)) {
            self.unfilled.insert(name.to_owned());
        }
    }

    /// Returns the names of [`crate::lake::Manifest::unfilled`] after this build.
    pub(super) fn unfilled(&self) -> Vec<String> {
        let plan = &self.job.plan;
        let is_decided = |name: &str| {
            plan.fetch.binary_search_by(|item| item.name.as_str().cmp(name)).is_ok()
                || plan.dropped.binary_search_by(|dropped| dropped.as_str().cmp(name)).is_ok()
        };
        let before = self.job.previous.iter().flat_map(|manifest| &manifest.unfilled);
        let mut unfilled = self.unfilled.clone();
        unfilled.extend(before.filter(|name| !is_decided(name)).cloned());
        unfilled.into_iter().collect()
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
        let events = self.events.len() as u64;
        Ok(Some(EventsFile { name: OriginLayout::feed_name(seen_at_us, &sha256), sha256, events }))
    }
}
