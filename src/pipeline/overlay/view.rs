//! The overlay as a reader has found it: the record, and the names that each delta holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::error::{Doing, Error, Result};
use crate::lake::{Delta, HeldOutcome, Manifest, OriginLayout, Overlay, Partition, Record};
use crate::npm::{DocRow, PackageName};
use crate::pipeline::lost::{REPAIR, lost_error};
use crate::pipeline::verify::open_sound;
use crate::shard::{ShardReader, doc_rows, find_rows, held_outcomes};
use crate::store::{Store, blocking};
use crate::table::{TableKind, schema};

/// The columns of `outcomes` that a plan needs.
pub(super) const OUTCOME_COLUMNS: [&str; 9] =
    ["name", "rev", "outcome", "etag", "last_modified", "fetched_at", "repetitions", "next_request_at", "credentials"];

/// How often the overlay is read again because a delta vanished. A delta vanishes only after the record was replaced.
const MAX_READS: usize = 20;

/// One delta, and the names that it holds.
#[derive(Debug)]
pub(in crate::pipeline) struct HeldDelta {
    pub(in crate::pipeline) delta: Delta,
    pub(in crate::pipeline) layout: OriginLayout,
    pub(in crate::pipeline) manifest: Manifest,
    /// Its rows of `docs`, ascending.
    pub(in crate::pipeline) docs: Vec<DocRow>,
    /// The tables whose rows are in staging, because an earlier version wrote the shard.
    pub(super) staged: BTreeSet<TableKind>,
}

/// The statement of a delta about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pipeline) enum Said<'a> {
    /// It has its rows.
    Has(&'a DocRow),
    /// The registry no longer lists it.
    Gone,
}

impl HeldDelta {
    /// Reads the manifest and the names of a delta. Blocks.
    fn read(store: &Store, layout: &OriginLayout, delta: &Delta) -> Result<HeldDelta> {
        let own = delta.layout(layout);
        let path = own.manifest(&Delta::PARTITION);
        let text = store.blocking().get(&path)?.ok_or_else(|| {
            Error::lake(format!("{path} is gone, but the record of the overlay names its delta")).hint(REPAIR)
        })?;
        if format!("{:x}", Sha256::digest(&text)) != delta.manifest_sha256 {
            return Err(
                Error::lake(format!("{path} is not the manifest that the record of the overlay names")).hint(REPAIR)
            );
        }
        let manifest = Manifest::from_json(&path, &text)?;
        let docs = own.shard(TableKind::Docs, &Delta::PARTITION);
        let file = open_sound(store, &own, &manifest, TableKind::Docs)?;
        let mut rows = Vec::new();
        for batch in ShardReader::open(TableKind::Docs, file, &schema(TableKind::Docs))? {
            rows.extend(doc_rows(&batch?).doing(|| format!("reading {docs}"))?);
        }
        Ok(HeldDelta { delta: delta.clone(), layout: own, manifest, docs: rows, staged: BTreeSet::new() })
    }

    /// Returns what the delta says of a name; `None` if it does not hold it.
    pub(in crate::pipeline) fn says(&self, name: &str) -> Option<Said<'_>> {
        if let Ok(at) = self.docs.binary_search_by(|row| row.name.as_str().cmp(name)) {
            return self.docs.get(at).map(Said::Has);
        }
        self.manifest.removed.binary_search_by(|gone| gone.as_str().cmp(name)).is_ok().then_some(Said::Gone)
    }

    /// Returns the names in a partition that it holds: those with rows, and those that are gone. Both are ascending.
    pub(in crate::pipeline) fn names_in<'a>(
        &'a self,
        partition: &Partition,
    ) -> impl Iterator<Item = &'a str> + use<'a> {
        let docs = within(partition, &self.docs, |row| row.name.as_str());
        let gone = within(partition, &self.manifest.removed, String::as_str);
        docs.iter().map(|row| row.name.as_str()).chain(gone.iter().map(String::as_str))
    }
}

/// Returns the items whose names lie in a partition; all are ascending.
fn within<'a, T>(partition: &Partition, items: &'a [T], name: impl Fn(&T) -> &str) -> &'a [T] {
    let start = partition.start.as_deref().unwrap_or_default();
    let from = items.partition_point(|item| name(item) < start);
    let to = items.partition_point(|item| partition.is_below_end(name(item)));
    items.get(from..to).unwrap_or_default()
}

/// The overlay of an origin.
#[derive(Debug, Clone)]
pub(in crate::pipeline) struct OverlayView {
    pub(in crate::pipeline) record: Overlay,
    /// The deltas of the record, oldest first.
    pub(in crate::pipeline) deltas: Vec<Arc<HeldDelta>>,
    /// Whether it was read, and is not only the beginning of a reading.
    is_read: bool,
}

/// Fails if committed deltas are among the paths of an overlay without a record: the record, which is older than each of them,
/// is lost.
pub(in crate::pipeline) fn refuse_lost_record<'p>(
    layout: &OriginLayout,
    paths: impl IntoIterator<Item = &'p String>,
) -> Result<()> {
    let is_manifest =
        |path: &&String| layout.delta_at(path).is_some_and(|own| own.manifest(&Delta::PARTITION) == **path);
    match paths.into_iter().find(is_manifest) {
        Some(path) => Err(Error::lake(format!("{} is gone, but there are deltas: {path}", layout.overlay()))
            .hint("all-docs verify --repair makes it again; then run the same command again")),
        None => Ok(()),
    }
}

impl OverlayView {
    /// Returns the view of an origin without an overlay.
    pub(in crate::pipeline) fn empty() -> OverlayView {
        OverlayView { record: Overlay::empty(), deltas: Vec::new(), is_read: false }
    }

    /// Reads the overlay of an origin. Deltas that `before` has are not read again.
    ///
    /// Fails with [`crate::error::ErrorKind::Lake`] if the record, or a delta that it names, is lost or damaged.
    pub(in crate::pipeline) async fn read(
        store: &Store,
        layout: &OriginLayout,
        before: &OverlayView,
    ) -> Result<OverlayView> {
        let (store, layout, before) = (store.clone(), layout.clone(), before.clone());
        blocking("reading the overlay", move || OverlayView::read_blocking(&store, &layout, &before)).await
    }

    /// The same for a thread that may block.
    pub(in crate::pipeline) fn read_blocking(
        store: &Store,
        layout: &OriginLayout,
        before: &OverlayView,
    ) -> Result<OverlayView> {
        let path = layout.overlay();
        let record = || -> Result<Overlay> {
            match store.blocking().get(&path)? {
                Some(text) => Overlay::from_json(&path, &text),
                // Once is enough, so that a lake without an overlay costs one listing for each command.
                None if before.is_read => Ok(Overlay::empty()),
                None => {
                    refuse_lost_record(layout, &store.blocking().list(&layout.overlay_folder())?)?;
                    Ok(Overlay::empty())
                }
            }
        };
        let mut reads = 0;
        loop {
            reads += 1;
            let record_now = record()?;
            let read = |delta: &Delta| match before.deltas.iter().find(|held| held.delta == *delta) {
                Some(held) => Ok(Arc::clone(held)),
                None => HeldDelta::read(store, layout, delta).map(Arc::new),
            };
            match record_now.deltas.iter().map(read).collect::<Result<Vec<_>>>() {
                Ok(deltas) => return Ok(OverlayView { record: record_now, deltas, is_read: true }),
                // A merge or a fold may have taken its place meanwhile.
                Err(error) if reads == MAX_READS || record()?.deltas == record_now.deltas => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Returns whether an earlier version wrote one of the deltas.
    pub(in crate::pipeline) fn is_old(&self) -> bool {
        self.deltas.iter().any(|held| held.manifest.is_old())
    }

    /// Returns the deltas that count for a partition, oldest first.
    pub(in crate::pipeline) fn counting<'a>(
        &'a self,
        partition: &Partition,
    ) -> impl DoubleEndedIterator<Item = &'a Arc<HeldDelta>> {
        let stem = partition.file_stem();
        self.deltas.iter().filter(move |held| self.record.counts_for(&held.delta, &stem))
    }

    /// Returns the newest delta that counts for a name of a partition and holds it, and what it says.
    pub(in crate::pipeline) fn newest<'a>(
        &'a self,
        partition: &Partition,
        name: &str,
    ) -> Option<(&'a Arc<HeldDelta>, Said<'a>)> {
        self.counting(partition).rev().find_map(|held| held.says(name).map(|said| (held, said)))
    }

    /// Returns the names of a partition that the overlay holds, each with the newest delta that counts and holds it.
    pub(in crate::pipeline) fn names_of<'a>(&'a self, partition: &Partition) -> BTreeMap<&'a str, &'a Arc<HeldDelta>> {
        let held = self.counting(partition);
        held.flat_map(|held| held.names_in(partition).map(move |name| (name, held))).collect()
    }

    /// Returns how many names of a partition are gone by the overlay.
    pub(in crate::pipeline) fn gone_of(&self, partition: &Partition) -> u64 {
        let names = self.names_of(partition);
        names.into_iter().filter(|(name, held)| held.says(name) == Some(Said::Gone)).count() as u64
    }

    /// Returns how many names the overlay has in all.
    pub(in crate::pipeline) fn name_count(&self) -> u64 {
        let names: BTreeSet<&str> = self.deltas.iter().flat_map(|held| held.names_in(&Delta::PARTITION)).collect();
        names.len() as u64
    }

    /// Returns whether nothing of a partition is in the overlay.
    pub(in crate::pipeline) fn has_none_of(&self, partition: &Partition) -> bool {
        self.counting(partition).all(|held| held.names_in(partition).next().is_none())
    }

    /// Returns the rows of `docs` of a partition, by those of its base shard, ascending.
    pub(in crate::pipeline) fn doc_rows_over(&self, partition: &Partition, base: Vec<DocRow>) -> Vec<DocRow> {
        let mut names = self.names_of(partition);
        if names.is_empty() {
            return base;
        }
        let mut rows: BTreeMap<PackageName, DocRow> = base.into_iter().map(|row| (row.name.clone(), row)).collect();
        while let Some((name, held)) = names.pop_first() {
            match held.says(name) {
                Some(Said::Has(row)) => drop(rows.insert(row.name.clone(), row.clone())),
                _ => drop(rows.remove(&PackageName::new(name))),
            }
        }
        rows.into_values().collect()
    }

    /// Returns the outcomes of a partition, by those of its base shard, ascending. Blocks.
    pub(in crate::pipeline) fn outcomes_over(
        &self,
        store: &Store,
        partition: &Partition,
        base: Vec<HeldOutcome>,
    ) -> Result<Vec<HeldOutcome>> {
        let names = self.names_of(partition);
        if names.is_empty() {
            return Ok(base);
        }
        let mut outcomes: BTreeMap<PackageName, HeldOutcome> = base
            .into_iter()
            .filter(|held| !names.contains_key(held.name.as_str()))
            .map(|held| (held.name.clone(), held))
            .collect();
        for held in self.counting(partition) {
            let is_newest = |name: &&&str| names.get(**name).is_some_and(|newest| Arc::ptr_eq(newest, held));
            let own: Vec<PackageName> = names.keys().filter(is_newest).map(|name| PackageName::new(*name)).collect();
            let path = held.layout.shard(TableKind::Outcomes, &Delta::PARTITION);
            let file = store.blocking().open(&path)?.ok_or_else(|| lost_error(&path))?;
            let form = held.manifest.form_of_documents();
            find_rows(TableKind::Outcomes, file, &own, &OUTCOME_COLUMNS, |batch| {
                for mut row in held_outcomes(&batch)? {
                    row.representation = form.filter(|_| row.outcome.has_document());
                    outcomes.insert(row.name.clone(), row);
                }
                Ok(())
            })?;
        }
        Ok(outcomes.into_values().collect())
    }
}
