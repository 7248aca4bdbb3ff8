//! Looks up what the lake holds of some names: the newest delta that has a name, or else the base shard. Reads the rows of
//! these names and little else. Blocks.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{AsArray, RecordBatch};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::view::{OUTCOME_COLUMNS, OverlayView, Said};
use crate::commit::read_manifest;
use crate::error::{Doing, Error, Result};
use crate::lake::{Delta, HeldOutcome, Manifest, OriginLayout, Overlay, Partition, PartitionSet, Record};
use crate::npm::{DocRow, Outcome, PackageName, Representation, Revision};
use crate::pipeline::lost::lost_error;
use crate::shard::{HeldDocument, doc_rows, document_names, find_documents, find_rows, held_outcomes};
use crate::store::{ShardFile, Store};
use crate::table::TableKind;

/// Manifests that are read at once.
const READ_AT_ONCE: usize = 16;

/// The lake of one origin: its base and its overlay.
pub(in crate::pipeline) struct Known {
    store: Store,
    layout: OriginLayout,
    set: Arc<PartitionSet>,
    view: OverlayView,
    /// The manifests of partitions of the base that were looked at.
    manifests: Mutex<HashMap<usize, Option<Arc<Manifest>>>>,
    /// The shard of documents that was opened last.
    documents: Mutex<Option<(Place, ShardFile)>>,
}

/// Where the rows of a name are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// The partition of the base with this index.
    Base(usize),
    /// The delta with this index.
    Delta(usize),
}

impl Known {
    /// Returns the lake whose overlay is `view`.
    pub(in crate::pipeline) fn new(
        store: &Store,
        layout: &OriginLayout,
        set: &Arc<PartitionSet>,
        view: OverlayView,
    ) -> Known {
        let (store, layout, set) = (store.clone(), layout.clone(), Arc::clone(set));
        Known { store, layout, set, view, manifests: Mutex::default(), documents: Mutex::default() }
    }

    /// Returns the rows of `docs` of those of `names` that the lake holds; both are ascending.
    pub(in crate::pipeline) fn doc_rows(&self, names: &[PackageName]) -> Result<Vec<DocRow>> {
        let mut rows = Vec::new();
        for (place, names) in self.places(names) {
            match place {
                // The view has its names.
                Place::Delta(index) => {
                    let held = self.view.deltas.get(index);
                    let row = |name: &PackageName| match held?.says(name.as_str())? {
                        Said::Has(row) => Some(row.clone()),
                        Said::Gone => None,
                    };
                    rows.extend(names.iter().filter_map(row));
                }
                Place::Base(_) => self.find(place, TableKind::Docs, &names, &["name", "rev"], |batch| {
                    rows.extend(doc_rows(&batch)?);
                    Ok(())
                })?,
            }
        }
        rows.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(rows)
    }

    /// Returns the outcomes of those of `names` that were requested, with the form of each document; both are ascending.
    pub(in crate::pipeline) fn outcomes(&self, names: &[PackageName]) -> Result<Vec<HeldOutcome>> {
        let mut outcomes = Vec::new();
        for (place, names) in self.places(names) {
            let mut found = Vec::new();
            self.find(place, TableKind::Outcomes, &names, &OUTCOME_COLUMNS, |batch| {
                found.extend(held_outcomes(&batch)?);
                Ok(())
            })?;
            self.add_forms(place, &names, &mut found)?;
            outcomes.append(&mut found);
        }
        outcomes.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(outcomes)
    }

    /// Returns the document of a name, byte for byte; `None` if the lake holds none.
    pub(in crate::pipeline) fn document(&self, name: &PackageName) -> Result<Option<Bytes>> {
        let names = std::slice::from_ref(name);
        let Some((place, _)) = self.places(names).pop_first() else { return Ok(None) };
        let kept = self.documents.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let file = match kept.filter(|(of, _)| *of == place) {
            Some((_, file)) => Some(file),
            None => self.open(place, TableKind::Packuments)?,
        };
        let Some(file) = file else { return Ok(None) };
        *self.documents.lock().unwrap_or_else(PoisonError::into_inner) = Some((place, file.clone()));
        let mut found = None;
        let path = self.path(place, TableKind::Packuments);
        find_documents(file, names, |document| {
            found = Some(document.bytes);
            Ok(())
        })
        .doing(|| format!("reading {path}"))?;
        Ok(found)
    }

    /// Calls `each` with the document of every name that the lake holds, in the order of names. `names` are ascending.
    pub(in crate::pipeline) fn documents(
        &self,
        names: &[PackageName],
        mut each: impl FnMut(HeldDocument) -> Result<()>,
    ) -> Result<()> {
        let places: Vec<Option<Place>> = names.iter().map(|name| self.place_of(name)).collect();
        let mut start = 0;
        while let Some(place) = places.get(start) {
            let same = places.iter().skip(start).take_while(|other| *other == place).count();
            let run = names.get(start..start + same).unwrap_or_default();
            start += same;
            let Some(place) = *place else { continue };
            let Some(file) = self.open(place, TableKind::Packuments)? else { continue };
            find_documents(file, run, &mut each)
                .doing(|| format!("reading {}", self.path(place, TableKind::Packuments)))?;
        }
        Ok(())
    }

    /// Returns the names of a partition whose documents the lake holds, ascending.
    pub(in crate::pipeline) fn names_with_document(&self, partition: &Partition) -> Result<Vec<PackageName>> {
        let base = Place::Base(self.set.index_of(partition.start.as_deref().unwrap_or_default()));
        let path = self.path(base, TableKind::Packuments);
        let mut names: BTreeSet<PackageName> = match self.open(base, TableKind::Packuments)? {
            Some(file) => document_names(file).doing(|| format!("reading {path}"))?.into_iter().collect(),
            None => BTreeSet::new(),
        };
        let changed: Vec<PackageName> = self.view.names_of(partition).into_keys().map(PackageName::new).collect();
        if changed.is_empty() {
            return Ok(names.into_iter().collect());
        }
        names.retain(|name| changed.binary_search(name).is_err());
        for (place, of_place) in self.places(&changed) {
            if place != base {
                self.find(place, TableKind::Packuments, &of_place, &["name", "rev"], |batch| {
                    names.extend(doc_rows(&batch)?.into_iter().map(|row| row.name));
                    Ok(())
                })?;
            }
        }
        Ok(names.into_iter().collect())
    }

    /// Returns whether the first request for a name failed, though the lake was being filled then.
    pub(in crate::pipeline) fn was_unfilled(&self, name: &str) -> bool {
        let manifest = self.place_of(&PackageName::new(name)).and_then(|place| self.manifest(place).ok().flatten());
        manifest.is_some_and(|manifest| is_among(&manifest.unfilled, name))
    }

    /// Returns whether the lake still holds of some names what was looked up: by `record`, the same deltas count for their
    /// partitions, and those manifests of the base are there that were looked at.
    pub(in crate::pipeline) async fn is_current(&self, record: &Overlay, names: &[PackageName]) -> Result<bool> {
        let places: BTreeSet<usize> = names.iter().map(|name| self.set.index_of(name.as_str())).collect();
        let counts_alike = |place: &usize| {
            let stem = self.set.get(*place).file_stem();
            record.of_partition(&stem).eq(self.view.record.of_partition(&stem))
        };
        if !places.iter().all(counts_alike) {
            return Ok(false);
        }
        let known = self.manifests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let looked_at = known.into_iter().filter(|(place, _)| places.contains(place));
        let compared = stream::iter(looked_at).map(|(place, before)| self.has_manifest(place, before));
        let are_same: Vec<bool> = compared.buffer_unordered(READ_AT_ONCE).try_collect().await?;
        Ok(are_same.into_iter().all(|is_same| is_same))
    }

    /// Returns the file stems of the partitions of some names.
    pub(super) fn stems(&self, names: &[PackageName]) -> BTreeSet<String> {
        let places: BTreeSet<usize> = names.iter().map(|name| self.set.index_of(name.as_str())).collect();
        places.into_iter().map(|place| self.set.get(place).file_stem()).collect()
    }

    /// Returns whether a partition of the base has a manifest now.
    async fn has_manifest(&self, place: usize, manifest: Option<Arc<Manifest>>) -> Result<bool> {
        let now = read_manifest(&self.store, &self.layout, &self.set.get(place)).await?;
        Ok(now.as_ref() == manifest.as_deref())
    }

    /// Returns the overlay.
    pub(in crate::pipeline) fn view(&self) -> &OverlayView {
        &self.view
    }

    /// Returns the revisions of the documents of some names.
    pub(in crate::pipeline) fn document_revs(
        &self,
        names: &HashSet<PackageName>,
    ) -> Result<HashMap<PackageName, Revision>> {
        let mut sorted: Vec<PackageName> = names.iter().cloned().collect();
        sorted.sort();
        let mut revs = HashMap::new();
        for (place, names) in self.places(&sorted) {
            self.find(place, TableKind::Packuments, &names, &["name", "rev"], |batch| {
                revs.extend(doc_rows(&batch)?.into_iter().map(|row| (row.name, row.rev)));
                Ok(())
            })?;
        }
        Ok(revs)
    }

    /// Groups names by the place of their rows. Names that are gone have none.
    fn places(&self, names: &[PackageName]) -> BTreeMap<Place, Vec<PackageName>> {
        let mut places: BTreeMap<Place, Vec<PackageName>> = BTreeMap::new();
        for name in names {
            if let Some(place) = self.place_of(name) {
                places.entry(place).or_default().push(name.clone());
            }
        }
        places
    }

    /// Returns the place of the rows of a name; `None` if it is gone.
    fn place_of(&self, name: &PackageName) -> Option<Place> {
        let index = self.set.index_of(name.as_str());
        match self.view.newest(&self.set.get(index), name.as_str()) {
            None => Some(Place::Base(index)),
            Some((_, Said::Gone)) => None,
            Some((held, Said::Has(_))) => {
                self.view.deltas.iter().position(|each| Arc::ptr_eq(each, held)).map(Place::Delta)
            }
        }
    }

    /// Adds the forms of the documents of some names of one place.
    fn add_forms(&self, place: Place, names: &[PackageName], outcomes: &mut [HeldOutcome]) -> Result<()> {
        let Some(manifest) = self.manifest(place)? else { return Ok(()) };
        let counts = manifest.outcomes.iter();
        let with_document = counts
            .filter(|(outcome, _)| Outcome::parse(outcome).is_some_and(Outcome::has_document))
            .map(|(_, count)| count);
        if manifest.rows(TableKind::Packuments) == with_document.sum::<u64>()
            && let Some(form) = manifest.form_of_documents()
        {
            for held in outcomes {
                held.representation = held.outcome.has_document().then_some(form);
            }
            return Ok(());
        }
        let mut forms: HashMap<PackageName, Representation> = HashMap::new();
        self.find(place, TableKind::Packuments, names, &["name", "representation"], |batch| {
            forms.extend(forms_of(&batch)?);
            Ok(())
        })?;
        for held in outcomes {
            held.representation = forms.get(&held.name).copied();
        }
        Ok(())
    }

    /// Calls `each` with the rows of some names in the shard of a place.
    fn find(
        &self,
        place: Place,
        table: TableKind,
        names: &[PackageName],
        columns: &[&str],
        each: impl FnMut(RecordBatch) -> Result<()>,
    ) -> Result<()> {
        match self.open(place, table)? {
            Some(file) => {
                find_rows(table, file, names, columns, each).doing(|| format!("reading {}", self.path(place, table)))
            }
            None => Ok(()),
        }
    }

    /// Opens the shard of a table; `None` if no manifest names one.
    fn open(&self, place: Place, table: TableKind) -> Result<Option<ShardFile>> {
        let is_named = |manifest: &Manifest| manifest.shards.contains_key(table.as_str());
        if !self.manifest(place)?.as_deref().is_some_and(is_named) {
            return Ok(None);
        }
        let path = self.path(place, table);
        self.store.blocking().open(&path)?.map_or_else(|| Err(lost_error(&path)), |file| Ok(Some(file)))
    }

    fn path(&self, place: Place, table: TableKind) -> String {
        match place {
            Place::Base(index) => self.layout.shard(table, &self.set.get(index)),
            Place::Delta(index) => {
                self.view.deltas.get(index).map_or_else(String::new, |held| held.layout.shard(table, &Delta::PARTITION))
            }
        }
    }

    fn manifest(&self, place: Place) -> Result<Option<Arc<Manifest>>> {
        let index = match place {
            Place::Delta(index) => return Ok(self.view.deltas.get(index).map(|held| Arc::new(held.manifest.clone()))),
            Place::Base(index) => index,
        };
        let known = self.manifests.lock().unwrap_or_else(PoisonError::into_inner).get(&index).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let partition: Partition = self.set.get(index);
        let path = self.layout.manifest(&partition);
        let text = self.store.blocking().get(&path)?;
        let manifest = text.map(|text| Manifest::from_json(&path, &text)).transpose()?.map(Arc::new);
        self.manifests.lock().unwrap_or_else(PoisonError::into_inner).insert(index, manifest.clone());
        Ok(manifest)
    }
}

/// Returns whether `names`, ascending, have a name.
pub(super) fn is_among(names: &[String], name: &str) -> bool {
    names.binary_search_by(|held| held.as_str().cmp(name)).is_ok()
}

fn forms_of(batch: &RecordBatch) -> Result<Vec<(PackageName, Representation)>> {
    let text = |column| batch.column_by_name(column).and_then(|column| column.as_string_opt::<i32>());
    let (Some(names), Some(forms)) = (text("name"), text("representation")) else {
        return Err(Error::lake("a shard of packuments has no column representation"));
    };
    let form = |row| match forms.value(row) == Representation::Abbreviated.as_str() {
        true => Representation::Abbreviated,
        false => Representation::Full,
    };
    Ok((0..batch.num_rows()).map(|row| (PackageName::new(names.value(row)), form(row))).collect())
}
