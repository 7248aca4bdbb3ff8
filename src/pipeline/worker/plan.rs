//! Plan: the requests and changes that one partition needs, by its shards and the registry's listing.
//!
//! Reads shards, so it runs on a thread that may block. Sends no request and writes nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::diff::{ChangeCounts, FetchReason, Known, Selection, Step, diff, plan_fetch};
use crate::error::{Doing, Error, Result};
use crate::fetch::FetchItem;
use crate::lake::{Manifest, OriginLayout, Partition};
use crate::npm::{DocRow, Outcome, PackageName, Representation, Revision};
use crate::pipeline::work::{Announced, Wanted};
use crate::shard::{HeldOutcome, ShardReader, abbreviated_names, doc_rows, document_revs, held_outcomes};
use crate::store::{ShardFile, Store};
use crate::table::TableKind;
use crate::table::schema;

/// The needs of one partition.
#[derive(Debug)]
pub(in crate::pipeline) struct PartitionPlan {
    /// Documents to request, ascending.
    pub(in crate::pipeline) fetch: Vec<FetchItem>,
    /// Names whose rows and outcome end here: the registry no longer lists them. Ascending.
    pub(super) dropped: Vec<PackageName>,
    /// The changes by the new listing.
    pub(in crate::pipeline) counts: ChangeCounts,
    /// Selected names that the registry does not list.
    pub(in crate::pipeline) unlisted: Vec<PackageName>,
    /// How many selected names are known to have no document, or no sound one, and are not requested again.
    pub(super) without_document: u64,
    has_docs: bool,
    has_documents: bool,
    wants_documents: bool,
    /// The lake's documents of the names that are requested again.
    held: HashMap<PackageName, Held>,
}

/// A document that the lake holds, and that is requested again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    /// The outcome of the request that fetched it.
    pub(super) outcome: Outcome,
    /// Whether another revision was announced since, or the last request for it failed: then it is judged again, even
    /// if it is the same.
    pub(super) is_revised: bool,
    /// A revision that it is not older than, if one is known.
    pub(super) least_rev: Option<Revision>,
}

impl PartitionPlan {
    /// Returns whether the table `docs` gets a new shard.
    pub(super) fn writes_docs(&self) -> bool {
        !self.has_docs || !self.counts.is_empty()
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

    /// Returns the lake's document of a name that is requested again.
    pub(super) fn held(&self, name: &PackageName) -> Option<&Held> {
        self.held.get(name)
    }
}

/// A partition at its last commit.
pub(super) struct Previous<'a> {
    pub(super) store: &'a Store,
    pub(super) layout: &'a OriginLayout,
    pub(super) partition: &'a Partition,
    pub(super) manifest: Option<&'a Manifest>,
}

impl Previous<'_> {
    /// Opens the shard of a table; returns `None` if the manifest names none.
    pub(super) fn open(&self, table: TableKind) -> Result<Option<ShardFile>> {
        if !self.manifest.is_some_and(|manifest| manifest.shards.contains_key(table.as_str())) {
            return Ok(None);
        }
        let path = self.layout.shard(table, self.partition);
        match self.store.blocking().open(&path)? {
            Some(file) => Ok(Some(file)),
            None => Err(Error::lake(format!("the shard {path} is gone, but its manifest names it")).hint(format!(
                "delete {}: the next ingest rebuilds the partition",
                self.layout.manifest(self.partition)
            ))),
        }
    }

    /// Opens the shard of a table for reading in order.
    pub(super) fn read(&self, table: TableKind) -> Result<Option<ShardReader>> {
        let Some(file) = self.open(table)? else { return Ok(None) };
        ShardReader::open(table, file, &schema(table)).map(Some)
    }

    fn doc_rows(&self) -> Result<Vec<DocRow>> {
        let mut rows = Vec::new();
        for batch in self.read(TableKind::Docs)?.into_iter().flatten() {
            rows.extend(doc_rows(&batch?)?);
        }
        Ok(rows)
    }

    fn outcomes(&self) -> Result<Vec<HeldOutcome>> {
        let mut held = Vec::new();
        for batch in self.read(TableKind::Outcomes)?.into_iter().flatten() {
            held.extend(held_outcomes(&batch?)?);
        }
        Ok(held)
    }
}

/// The new rows of `docs`, the time at which they were listed, and the plan for them.
pub(super) struct Planned {
    pub(super) rows: Arc<Vec<DocRow>>,
    pub(super) listed_at_us: Option<i64>,
    pub(super) plan: PartitionPlan,
}

/// Compares the announced names of the partition with its previous contents.
pub(super) fn plan(previous: &Previous<'_>, announced: &Announced, wanted: &Wanted) -> Result<Planned> {
    let comparing = || format!("comparing the partition {} with what the registry lists", previous.partition);
    let mut counts = ChangeCounts::default();
    let old_rows = previous.doc_rows()?;
    let (rows, listed_at_us) = announced.rows(&old_rows, previous.manifest.and_then(|manifest| manifest.listed_at_us));
    for change in diff(old_rows.into_iter().map(Ok), rows.iter().cloned().map(Ok)) {
        counts.add(change.doing(comparing)?.kind);
    }
    let names_table =
        |table: TableKind| previous.manifest.is_some_and(|manifest| manifest.shards.contains_key(table.as_str()));
    let mut plan = PartitionPlan {
        fetch: Vec::new(),
        dropped: Vec::new(),
        counts,
        unlisted: unlisted(&wanted.selection, previous.partition, &rows),
        without_document: 0,
        has_docs: names_table(TableKind::Docs),
        has_documents: names_table(TableKind::Outcomes),
        wants_documents: wanted.selection != Selection::None,
        held: HashMap::new(),
    };
    let abbreviated = match previous.open(TableKind::Packuments)? {
        Some(file) => abbreviated_names(file)?,
        None => HashSet::new(),
    };
    let held = previous.outcomes()?;
    let refused_by = previous.manifest.and_then(|manifest| manifest.oversize_limit_bytes);
    let takes_larger = refused_by.is_none_or(|limit_bytes| limit_bytes < wanted.max_document_bytes);
    let known = held.iter().map(|held| Ok(known(held, &abbreviated, takes_larger)));
    let lake = HeldDocuments { outcomes: &held, abbreviated: &abbreviated };
    for step in plan_fetch(rows.iter().cloned().map(Ok), known, &wanted.selection, wanted.representation) {
        let step = step.doing(comparing)?;
        let row = step.row;
        let was_asked = lake.was_asked_since(&row.name, wanted.began_at_us);
        match step.step {
            Step::Fetch(reason) if reason != FetchReason::Unsettled || !was_asked => {
                plan.ask(row, &lake, wanted.representation);
            }
            Step::Carry if wanted.refresh && !was_asked && wanted.selection.contains(&row.name) => {
                plan.ask(row, &lake, wanted.representation);
            }
            Step::Fetch(_) => plan.without_document += 1,
            Step::Carry if wanted.selection.contains(&row.name) => {
                let is_whole = lake.outcome_of(&row.name).is_none_or(|found| found.outcome.is_whole());
                plan.without_document += u64::from(!is_whole);
            }
            Step::Carry | Step::Leave => {}
            Step::Drop => plan.dropped.push(row.name),
        }
    }
    plan.look_up_stale(previous)?;
    Ok(Planned { rows, listed_at_us, plan })
}

impl PartitionPlan {
    /// Looks up the revisions of documents that may be older than announced; only their own rows have them.
    fn look_up_stale(&mut self, previous: &Previous<'_>) -> Result<()> {
        let stale = self.held.iter().filter(|(_, held)| !held.outcome.is_settled());
        let stale: HashSet<PackageName> = stale.map(|(name, _)| name.clone()).collect();
        if let Some(file) = if stale.is_empty() { None } else { previous.open(TableKind::Packuments)? } {
            for (name, rev) in document_revs(file, &stale)? {
                self.held.entry(name).and_modify(|held| held.least_rev = Some(rev));
            }
        }
        Ok(())
    }

    /// Plans the request for a document, conditional if the lake holds one of the wanted form with its ETag.
    fn ask(&mut self, row: DocRow, lake: &HeldDocuments<'_>, wanted: Representation) {
        let outcome = lake.outcome_of(&row.name);
        let is_held = outcome.is_some_and(HeldOutcome::left_a_document);
        let last_answer_us = outcome.and_then(|outcome| outcome.fetched_at_us);
        let mut validators = None;
        if let Some(found) = lake.of(&row.name, wanted) {
            validators = found.validators.etag.is_some().then(|| found.validators.clone());
            let is_as_announced = matches!(found.outcome, Outcome::Present | Outcome::Tombstone);
            let held = Held {
                outcome: found.outcome,
                is_revised: found.rev != row.rev || !found.outcome.has_document(),
                least_rev: is_as_announced.then(|| found.rev.clone()),
            };
            self.held.insert(row.name.clone(), held);
        }
        self.fetch.push(FetchItem { name: row.name, announced_rev: row.rev, validators, is_held, last_answer_us });
    }
}

/// The documents that the lake holds.
struct HeldDocuments<'a> {
    /// Ascending by name.
    outcomes: &'a [HeldOutcome],
    abbreviated: &'a HashSet<PackageName>,
}

impl<'a> HeldDocuments<'a> {
    /// Returns the outcome of the request for `name`.
    fn outcome_of(&self, name: &PackageName) -> Option<&'a HeldOutcome> {
        let place = self.outcomes.binary_search_by(|outcome| outcome.name.cmp(name)).ok()?;
        self.outcomes.get(place)
    }

    /// Returns whether a response about `name` came since a moment, to this run or another one.
    fn was_asked_since(&self, name: &PackageName, moment_us: i64) -> bool {
        self.outcome_of(name).and_then(|held| held.fetched_at_us).is_some_and(|at_us| at_us >= moment_us)
    }

    /// Returns the outcome of the request for `name`, if the lake holds a document of this form. An ETag belongs to one
    /// form and says nothing about the other.
    fn of(&self, name: &PackageName, form: Representation) -> Option<&'a HeldOutcome> {
        let found = self.outcome_of(name)?;
        let is_abbreviated = self.abbreviated.contains(name);
        let is_form = is_abbreviated == (form == Representation::Abbreviated);
        (found.left_a_document() && is_form).then_some(found)
    }
}

/// Returns what is known of a name. `takes_larger` tells whether larger documents are accepted now than at its last
/// request.
fn known(held: &HeldOutcome, abbreviated: &HashSet<PackageName>, takes_larger: bool) -> Known {
    let representation = match held.outcome.has_document() {
        true if abbreviated.contains(&held.name) => Some(Representation::Abbreviated),
        true => Some(Representation::Full),
        false => None,
    };
    let is_settled = held.outcome.is_settled() && !(takes_larger && held.outcome == Outcome::Oversize);
    Known { name: held.name.clone(), rev: held.rev.clone(), is_settled, representation }
}

/// Returns the selected names of a partition that the registry does not list; none if everything is selected.
fn unlisted(selection: &Selection, partition: &Partition, rows: &[DocRow]) -> Vec<PackageName> {
    let Selection::Names(names) = selection else { return Vec::new() };
    let is_listed = |name: &PackageName| rows.binary_search_by(|row| row.name.cmp(name)).is_ok();
    let from = PackageName::new(partition.start.clone().unwrap_or_default());
    let in_partition = names.range(from..).take_while(|name| partition.is_below_end(name.as_str()));
    in_partition.filter(|name| !is_listed(name)).cloned().collect()
}
