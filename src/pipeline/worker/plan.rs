//! Plan: the requests and changes that one partition needs, by its shards and the registry's listing.
//!
//! Reads shards, so it runs on a thread that may block. Sends no request and writes nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::diff::{ChangeCounts, FetchReason, PlannedName, Selection, Step, WantedDocuments, plan_fetch};
use crate::error::{Doing, Result};
use crate::fetch::{FetchItem, LastResult};
use crate::lake::{HeldOutcome, Manifest, OriginLayout, Partition};
use crate::npm::{ChangeKind, DocRow, Fingerprint, Outcome, PackageName, Representation, Revision};
use crate::pipeline::lost::lost_error;
use crate::pipeline::work::{Announced, Wanted};
use crate::shard::{ShardReader, doc_rows, document_forms, document_revs, held_outcomes};
use crate::store::{ShardFile, Store};
use crate::table::TableKind;
use crate::table::schema;

/// The needs of one partition.
#[derive(Debug)]
pub(in crate::pipeline) struct PartitionPlan {
    /// Documents to request, ascending.
    pub(in crate::pipeline) fetch: Vec<FetchItem>,
    /// Why, for each of them.
    pub(in crate::pipeline) reasons: Vec<FetchReason>,
    /// Names whose rows and outcome end here: the registry no longer lists them. Ascending.
    pub(super) dropped: Vec<PackageName>,
    /// Names that the feed calls deleted, each with the revision of the deletion: they end too, unless the registry
    /// serves a live document.
    pub(super) deleted: HashMap<PackageName, Revision>,
    /// Names that the lake did not list before, if it has documents of others.
    pub(super) added: HashSet<PackageName>,
    /// The changes by the new listing.
    pub(in crate::pipeline) counts: ChangeCounts,
    /// Selected names that the registry does not list.
    pub(in crate::pipeline) unlisted: Vec<PackageName>,
    /// How many selected names are known to have no document, or no sound one, and are not requested again.
    pub(super) without_document: u64,
    has_docs: bool,
    has_documents: bool,
    wants_documents: bool,
    /// How many names keep each outcome.
    pub(super) carried: BTreeMap<Outcome, u64>,
    /// The outcomes of the names that are requested again, and of which the lake holds a document in any form.
    held: HashMap<PackageName, HeldOutcome>,
    /// The revisions of those of these documents that may be older than what was announced.
    stale_revs: HashMap<PackageName, Revision>,
}

impl PartitionPlan {
    /// Returns whether the table `docs` gets a new shard.
    pub(super) fn writes_docs(&self) -> bool {
        !self.has_docs || !self.counts.is_empty() || !self.deleted.is_empty()
    }

    /// Returns whether the document tables and `outcomes` get new shards.
    pub(super) fn writes_documents(&self) -> bool {
        let first_documents = self.wants_documents && !self.has_documents;
        first_documents || !self.fetch.is_empty() || !self.dropped.is_empty()
    }

    /// Returns whether the partition already matches the registry.
    pub(in crate::pipeline) fn is_unchanged(&self) -> bool {
        !self.writes_docs() && !self.writes_documents()
    }

    /// Returns the outcome that stays if the registry says that the document of an item has not changed; `None` if the
    /// document must be judged again: another revision was announced since, or the last request for it failed.
    pub(super) fn outcome_if_unchanged(&self, item: &FetchItem) -> Option<Outcome> {
        match self.held.get(&item.name) {
            Some(held) => (held.rev == item.announced_rev && held.outcome.has_document()).then_some(held.outcome),
            None => Some(Outcome::Present),
        }
    }

    /// Returns the form of the lake's document of a requested name, if it holds one.
    pub(super) fn held_form(&self, name: &PackageName) -> Option<Representation> {
        self.held.get(name)?.representation
    }

    /// Returns a revision that the lake's document of a requested name is not older than, if one is known.
    pub(super) fn least_rev(&self, name: &PackageName) -> Option<&Revision> {
        let announced = self.held.get(name).filter(|held| is_as_announced(held)).map(|held| &held.rev);
        self.stale_revs.get(name).or(announced)
    }
}

/// Returns whether the lake's document is not older than the revision that was announced at its last request.
fn is_as_announced(held: &HeldOutcome) -> bool {
    matches!(held.outcome, Outcome::Present | Outcome::Tombstone)
}

/// A partition at its last commit.
pub(in crate::pipeline) struct Previous<'a> {
    pub(in crate::pipeline) store: &'a Store,
    pub(in crate::pipeline) layout: &'a OriginLayout,
    pub(in crate::pipeline) partition: &'a Partition,
    pub(in crate::pipeline) manifest: Option<&'a Manifest>,
}

impl Previous<'_> {
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

    /// Reads the rows of `docs`.
    pub(in crate::pipeline) fn doc_rows(&self) -> Result<Vec<DocRow>> {
        let mut rows = Vec::new();
        for batch in self.read(TableKind::Docs)?.into_iter().flatten() {
            rows.extend(doc_rows(&batch?)?);
        }
        Ok(rows)
    }

    /// Reads the outcomes, with the form of each document.
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
        Ok(outcomes)
    }

    /// Returns the form of every document, if the manifest says that there is one form, and if the outcomes show which
    /// names have a document: then the shard of documents, which is large, need not be read.
    fn form_of_all(&self, outcomes: &[HeldOutcome]) -> Option<Representation> {
        let manifest = self.manifest?;
        let with_document = outcomes.iter().filter(|held| held.outcome.has_document()).count() as u64;
        let forms = [Representation::Full, Representation::Abbreviated];
        let form = forms.into_iter().find(|form| manifest.documents_form.as_deref() == Some(form.as_str()))?;
        (manifest.rows(TableKind::Packuments) == with_document).then_some(form)
    }
}

/// The new rows of `docs`, the time at which they were listed, and the plan for them.
pub(super) struct Planned {
    pub(super) rows: Arc<Vec<DocRow>>,
    pub(super) listed_at_us: Option<i64>,
    pub(super) plan: PartitionPlan,
}

/// Compares the announced names of the partition with its previous contents. `credentials` are those that the request
/// for a name carries.
pub(super) fn plan(
    previous: &Previous<'_>,
    announced: &Announced,
    wanted: &Wanted,
    credentials: &dyn Fn(&PackageName) -> Fingerprint,
) -> Result<Planned> {
    let comparing = || format!("comparing the partition {} with what the registry lists", previous.partition);
    let old_rows = previous.doc_rows()?;
    let (rows, listed_at_us) = announced.rows(&old_rows, previous.manifest.and_then(|manifest| manifest.listed_at_us));
    let names_table =
        |table: TableKind| previous.manifest.is_some_and(|manifest| manifest.shards.contains_key(table.as_str()));
    let mut plan = PartitionPlan {
        fetch: Vec::new(),
        reasons: Vec::new(),
        dropped: Vec::new(),
        deleted: announced.deleted(),
        added: HashSet::new(),
        counts: ChangeCounts::default(),
        unlisted: unlisted(&wanted.selection, previous.partition, &rows),
        without_document: 0,
        has_docs: names_table(TableKind::Docs),
        has_documents: names_table(TableKind::Outcomes),
        wants_documents: wanted.selection != Selection::None,
        carried: BTreeMap::new(),
        held: HashMap::new(),
        stale_revs: HashMap::new(),
    };
    let refused_by = previous.manifest.and_then(|manifest| manifest.oversize_limit_bytes);
    let documents = WantedDocuments {
        selection: &wanted.selection,
        representation: wanted.representation,
        takes_larger: refused_by.is_none_or(|limit_bytes| limit_bytes < wanted.max_document_bytes),
        now_us: wanted.began_at_us,
        credentials,
    };
    let (listed, held) = (rows.iter().cloned().map(Ok), previous.outcomes()?.into_iter().map(Ok));
    for planned in plan_fetch(old_rows.into_iter().map(Ok), listed, held, documents) {
        let PlannedName { row, change, step, held } = planned.doing(comparing)?;
        if let Some(kind) = change {
            plan.counts.add(kind);
            if kind == ChangeKind::Added && plan.has_documents {
                plan.added.insert(row.name.clone());
            }
        }
        let is_selected = wanted.selection.contains(&row.name);
        // A response about the name came since the run began, to this run or another one.
        let was_asked =
            held.as_ref().and_then(|held| held.fetched_at_us).is_some_and(|at_us| at_us >= wanted.began_at_us);
        let (row, deleted) = match plan.deleted.get(&row.name) {
            Some(rev) => (DocRow { rev: rev.clone(), ..row }, true),
            None => (row, false),
        };
        let reason = match step {
            Step::Fetch(_) | Step::Carry | Step::Leave if deleted => Some(FetchReason::Revised),
            Step::Fetch(reason) => Some(reason).filter(|reason| !was_asked || reason.outlasts_a_response()),
            Step::Carry => (wanted.refresh && !was_asked && is_selected).then_some(FetchReason::Refresh),
            Step::Leave => None,
            Step::Drop => {
                plan.dropped.push(row.name);
                continue;
            }
        };
        if let Some(reason) = reason {
            plan.ask(row, held, reason, wanted.representation, credentials);
        } else if let Some(held) = held {
            plan.without_document += u64::from(is_selected && !held.outcome.is_whole());
            *plan.carried.entry(held.outcome).or_default() += 1;
        }
    }
    plan.look_up_stale(previous)?;
    Ok(Planned { rows, listed_at_us, plan })
}

impl PartitionPlan {
    /// Looks up the revisions of documents that may be older than announced; only their own rows have them.
    fn look_up_stale(&mut self, previous: &Previous<'_>) -> Result<()> {
        let stale = self.held.values().filter(|held| !is_as_announced(held));
        let stale: HashSet<PackageName> = stale.map(|held| held.name.clone()).collect();
        if let Some(file) = if stale.is_empty() { None } else { previous.open(TableKind::Packuments)? } {
            self.stale_revs = document_revs(file, &stale)?;
        }
        Ok(())
    }

    /// Plans the request for a document, conditional if the lake holds one of the wanted form with its ETag.
    fn ask(
        &mut self,
        row: DocRow,
        held: Option<HeldOutcome>,
        reason: FetchReason,
        wanted: Representation,
        credentials: &dyn Fn(&PackageName) -> Fingerprint,
    ) {
        let credentials = credentials(&row.name);
        let last_answer_us = held.as_ref().and_then(|held| held.fetched_at_us);
        let last = held.as_ref().map(|held| LastResult {
            outcome: held.outcome,
            repetitions: held.repetitions,
            is_comparable: held.rev == row.rev && !held.is_of_other_credentials(credentials),
        });
        let held = held.filter(|held| held.representation.is_some());
        let is_held = held.is_some();
        // An ETag belongs to one form and says nothing about the other.
        let of_this_form = held.as_ref().filter(|held| held.representation == Some(wanted));
        let validators = of_this_form.map(|held| &held.validators).filter(|held| held.etag.is_some()).cloned();
        let (name, announced_rev) = (row.name, row.rev);
        let item = FetchItem { name, announced_rev, validators, is_held, last_answer_us, credentials, last };
        self.held.extend(held.map(|held| (item.name.clone(), held)));
        self.fetch.push(item);
        self.reasons.push(reason);
    }
}

/// Returns the selected names of a partition that the registry does not list; none if everything is selected.
fn unlisted(selection: &Selection, partition: &Partition, rows: &[DocRow]) -> Vec<PackageName> {
    let Selection::Names(names) = selection else { return Vec::new() };
    let is_listed = |name: &PackageName| rows.binary_search_by(|row| row.name.cmp(name)).is_ok();
    let from = PackageName::new(partition.start.clone().unwrap_or_default());
    let in_partition = names.range(from..).take_while(|name| partition.is_below_end(name.as_str()));
    in_partition.filter(|name| !is_listed(name)).cloned().collect()
}
