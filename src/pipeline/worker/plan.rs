//! Plan: the requests and changes that one partition needs, by its shards and the registry's listing.
//!
//! Reads shards, so it runs on a thread that may block. Sends no request and writes nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::previous::Previous;
use crate::diff::{ChangeCounts, FetchReason, PlannedName, Selection, Step, WantedDocuments, plan_fetch};
use crate::error::{Doing, Result};
use crate::fetch::{FetchItem, LastResult};
use crate::lake::{HeldOutcome, Partition};
use crate::npm::{ChangeKind, DocRow, Fingerprint, Outcome, PackageName, Representation, Revision};
use crate::pipeline::work::{Announced, Wanted};
use crate::table::TableKind;

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
    /// Whether it is the plan of a delta, which holds all rows of its names and nothing else.
    pub(super) is_of_delta: bool,
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
        if self.is_of_delta {
            return self.writes_documents();
        }
        !self.has_docs || !self.counts.is_empty() || !self.deleted.is_empty()
    }

    /// Returns whether the document tables and `outcomes` get new shards.
    pub(super) fn writes_documents(&self) -> bool {
        let first_documents = self.wants_documents && !self.has_documents && !self.is_of_delta;
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

    /// Returns the lake's outcome of a requested name whose document it holds.
    pub(super) fn held(&self, name: &PackageName) -> Option<&HeldOutcome> {
        self.held.get(name)
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
    partition: &Partition,
    announced: &Announced,
    wanted: &Wanted,
    credentials: &dyn Fn(&PackageName) -> Fingerprint,
) -> Result<Planned> {
    let comparing = || format!("comparing the partition {} with what the registry lists", partition);
    let (old_rows, outcomes) = (previous.doc_rows()?, previous.outcomes()?);
    let held_at_us = previous.manifest().and_then(|manifest| manifest.listed_at_us);
    let (mut rows, listed_at_us) = announced.rows(&old_rows, held_at_us, &outcomes);
    let names_table =
        |table: TableKind| previous.manifest().is_some_and(|manifest| manifest.shards.contains_key(table.as_str()));
    let mut plan = PartitionPlan {
        fetch: Vec::new(),
        reasons: Vec::new(),
        dropped: Vec::new(),
        deleted: announced.deleted(),
        added: HashSet::new(),
        counts: ChangeCounts::default(),
        unlisted: unlisted(&wanted.selection, partition, &rows),
        without_document: 0,
        is_of_delta: previous.is_of_delta(),
        has_docs: names_table(TableKind::Docs),
        has_documents: names_table(TableKind::Outcomes),
        wants_documents: wanted.selection != Selection::None,
        carried: BTreeMap::new(),
        held: HashMap::new(),
        stale_revs: HashMap::new(),
    };
    let refused_by = previous.manifest().and_then(|manifest| manifest.oversize_limit_bytes);
    let documents = WantedDocuments {
        selection: &wanted.selection,
        representation: wanted.representation,
        takes_larger: refused_by.is_none_or(|limit_bytes| limit_bytes < wanted.max_document_bytes),
        now_us: wanted.began_at_us,
        credentials,
    };
    let (listed, held) = (rows.iter().cloned().map(Ok), outcomes.into_iter().map(Ok));
    for planned in plan_fetch(old_rows.into_iter().map(Ok), listed, held, documents) {
        let PlannedName { row, change, step, held } = planned.doing(comparing)?;
        if let Some(kind) = change {
            plan.counts.add(kind);
            if kind == ChangeKind::Added && (plan.has_documents || plan.is_of_delta) {
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
            // A delta lists each name that is gone.
            Step::Leave if plan.is_of_delta && change == Some(ChangeKind::Removed) => {
                plan.dropped.push(row.name);
                continue;
            }
            Step::Leave => None,
            Step::Drop => {
                plan.dropped.push(row.name);
                continue;
            }
        };
        if let Some(reason) = reason {
            plan.ask(row, held, reason, wanted.representation, credentials);
        } else if let Some(held) = held.filter(|_| !plan.is_of_delta) {
            plan.without_document += u64::from(is_selected && !held.outcome.is_whole());
            *plan.carried.entry(held.outcome).or_default() += 1;
        }
    }
    plan.look_up_stale(previous)?;
    if plan.is_of_delta {
        // Names at their announced revision stay where they are.
        let is_asked = |row: &&DocRow| plan.fetch.binary_search_by(|item| item.name.cmp(&row.name)).is_ok();
        rows = Arc::new(rows.iter().filter(is_asked).cloned().collect());
    }
    Ok(Planned { rows, listed_at_us, plan })
}

impl PartitionPlan {
    /// Looks up the revisions of documents that may be older than announced; only their own rows have them.
    fn look_up_stale(&mut self, previous: &Previous<'_>) -> Result<()> {
        let stale = self.held.values().filter(|held| !is_as_announced(held));
        let stale: HashSet<PackageName> = stale.map(|held| held.name.clone()).collect();
        if !stale.is_empty() {
            self.stale_revs = previous.document_revs(&stale)?;
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
