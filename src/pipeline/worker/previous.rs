//! The lake's previous rows of the names of a partition: the shards of the partition, or, for a delta, the newest rows
//! of its names in the whole lake.

use std::collections::{HashMap, HashSet};

use crate::error::Result;
use crate::lake::{HeldOutcome, Manifest, OriginLayout, Partition};
use crate::npm::{DocRow, PackageName, Representation, Revision};
use crate::pipeline::lost::lost_error;
use crate::pipeline::overlay::{Known, OverlayView};
use crate::shard::{ShardReader, doc_rows, document_forms, document_revs, held_outcomes};
use crate::store::{ShardFile, Store};
use crate::table::{TableKind, schema};

/// The contents of the lake before.
pub(super) enum Previous<'a> {
    /// A partition at its last commit.
    Partition(PartitionBefore<'a>),
    /// The lake below a new delta that holds `names`, ascending.
    Lake { known: &'a Known, names: Vec<PackageName> },
}

/// A partition at its last commit.
pub(in crate::pipeline) struct PartitionBefore<'a> {
    pub(in crate::pipeline) store: &'a Store,
    pub(in crate::pipeline) layout: &'a OriginLayout,
    pub(in crate::pipeline) partition: &'a Partition,
    pub(in crate::pipeline) manifest: Option<&'a Manifest>,
    /// It may have newer rows than the shards.
    pub(in crate::pipeline) overlay: &'a OverlayView,
}

impl Previous<'_> {
    /// Returns the manifest of the partition.
    pub(super) fn manifest(&self) -> Option<&Manifest> {
        match self {
            Previous::Partition(before) => before.manifest,
            Previous::Lake { .. } => None,
        }
    }

    /// Returns whether this is the lake below a delta.
    pub(super) fn is_of_delta(&self) -> bool {
        matches!(self, Previous::Lake { .. })
    }

    /// Returns the rows of `docs`, ascending.
    pub(super) fn doc_rows(&self) -> Result<Vec<DocRow>> {
        match self {
            Previous::Partition(before) => before.doc_rows(),
            Previous::Lake { known, names } => known.doc_rows(names),
        }
    }

    /// Returns the outcomes, ascending, with the form of each document.
    pub(super) fn outcomes(&self) -> Result<Vec<HeldOutcome>> {
        match self {
            Previous::Partition(before) => before.outcomes(),
            Previous::Lake { known, names } => known.outcomes(names),
        }
    }

    /// Returns the revisions of the documents of some names.
    pub(super) fn document_revs(&self, names: &HashSet<PackageName>) -> Result<HashMap<PackageName, Revision>> {
        match self {
            Previous::Partition(before) => match before.open(TableKind::Packuments)? {
                Some(file) => document_revs(file, names),
                None => Ok(HashMap::new()),
            },
            Previous::Lake { known, .. } => known.document_revs(names),
        }
    }
}

impl PartitionBefore<'_> {
    /// Opens the shard of a table, to read some of its columns; returns `None` if the manifest names none.
    fn open(&self, table: TableKind) -> Result<Option<ShardFile>> {
        self.open_by(table, |path| self.store.blocking().open(path))
    }

    fn open_by(
        &self,
        table: TableKind,
        open: impl FnOnce(&str) -> Result<Option<ShardFile>>,
    ) -> Result<Option<ShardFile>> {
        if !self.manifest.is_some_and(|manifest| manifest.shards.contains_key(table.as_str())) {
            return Ok(None);
        }
        let path = self.layout.shard(table, self.partition);
        match open(&path)? {
            Some(file) => Ok(Some(file)),
            None => Err(lost_error(&path)),
        }
    }

    /// Opens the shard of a table to read all of it in order.
    fn read(&self, table: TableKind) -> Result<Option<ShardReader>> {
        let Some(file) = self.open_by(table, |path| self.store.blocking().open_whole(path))? else { return Ok(None) };
        ShardReader::open(table, file, &schema(table)).map(Some)
    }

    /// Reads the rows of `docs`, ascending.
    pub(in crate::pipeline) fn doc_rows(&self) -> Result<Vec<DocRow>> {
        let mut rows = Vec::new();
        for batch in self.read(TableKind::Docs)?.into_iter().flatten() {
            rows.extend(doc_rows(&batch?)?);
        }
        Ok(self.overlay.doc_rows_over(self.partition, rows))
    }

    /// Reads the outcomes, ascending, with the form of each document.
    pub(in crate::pipeline) fn outcomes(&self) -> Result<Vec<HeldOutcome>> {
        let mut outcomes = Vec::new();
        for batch in self.read(TableKind::Outcomes)?.into_iter().flatten() {
            outcomes.extend(held_outcomes(&batch?)?);
        }
        if let Some(form) = self.form_of_all(&outcomes) {
            for held in &mut outcomes {
                held.representation = held.outcome.has_document().then_some(form);
            }
        } else if let Some(file) = self.open(TableKind::Packuments)? {
            let forms = document_forms(file)?;
            for held in &mut outcomes {
                held.representation = forms.get(&held.name).copied();
            }
        }
        self.overlay.outcomes_over(self.store, self.partition, outcomes)
    }

    /// Returns the form of every document, if the manifest says that there is one form, and if the outcomes show which
    /// names have a document: then the shard of documents, which is large, need not be read.
    fn form_of_all(&self, outcomes: &[HeldOutcome]) -> Option<Representation> {
        let with_document = outcomes.iter().filter(|held| held.outcome.has_document()).count() as u64;
        let manifest = self.manifest.filter(|manifest| manifest.rows(TableKind::Packuments) == with_document)?;
        manifest.form_of_documents()
    }
}
