//! The fetch decision for each name's document, from the new listing and the known outcomes.

use std::collections::BTreeSet;

use super::changes::{change_kind, listings};
use super::join::{Join, Named, Pair};
use crate::error::{ErrorKind, Result};
use crate::lake::HeldOutcome;
use crate::npm::{ChangeKind, DocRow, Outcome, PackageName, Representation};

impl Named for HeldOutcome {
    fn name(&self) -> &PackageName {
        &self.name
    }
}

impl Named for Pair<DocRow, DocRow> {
    fn name(&self) -> &PackageName {
        match self {
            Pair::Left(row) | Pair::Right(row) | Pair::Both(_, row) => &row.name,
        }
    }
}

/// The names whose documents are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Selection {
    /// All names.
    #[default]
    All,
    /// Only these names (`--names`). The lake keeps the documents of the others as they are.
    Names(BTreeSet<PackageName>),
    /// No names (`--packuments none`). The lake keeps its documents as they are.
    None,
}

impl Selection {
    /// Returns whether `name`'s document is wanted.
    pub fn contains(&self, name: &PackageName) -> bool {
        match self {
            Selection::All => true,
            Selection::Names(names) => names.contains(name),
            Selection::None => false,
        }
    }
}

/// The reason to fetch a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FetchReason {
    /// It was never requested.
    Unknown,
    /// The announced revision differs from the one at the last request.
    Revised,
    /// The last request must be repeated, although the revision is the same.
    Unsettled,
    /// The lake holds the abbreviated form, and the full one is wanted.
    FullerForm,
}

/// The action for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Request its document from the registry.
    Fetch(FetchReason),
    /// Keep the lake's rows and outcome.
    Carry,
    /// Nothing is known and nothing is wanted: the name has only its row in `docs`.
    Leave,
    /// The registry no longer lists it: remove its rows and its outcome.
    Drop,
}

/// The documents that a run wants.
#[derive(Debug, Clone, Copy)]
pub struct WantedDocuments<'a> {
    /// Their names.
    pub selection: &'a Selection,
    /// Their form.
    pub representation: Representation,
    /// Whether a document is accepted that was too large at its last request.
    pub takes_larger: bool,
}

/// A name, all that is known of it, and its action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedName {
    /// The name with its announced revision; the last known revision if it is no longer listed.
    pub row: DocRow,
    /// The change from the lake's listing to the registry's.
    pub change: Option<ChangeKind>,
    /// The action.
    pub step: Step,
    /// The outcome of its last request.
    pub held: Option<HeldOutcome>,
}

/// Decides for every name of `before` (the lake's listing), `listed` (the registry's) and `held`, by name.
///
/// All must be strictly ascending by name. A name whose last request is [settled](Outcome::is_settled) at the announced
/// revision is not requested again, even if it has no document. A full document serves where the abbreviated form is
/// wanted, for it holds more; an abbreviated one does not serve where the full form is wanted.
///
/// # Errors
///
/// Those of any sequence; [`ErrorKind::Lake`] for a `before` or a `held` out of order, [`ErrorKind::Internal`] for such
/// a `listed`. Nothing comes after an error.
pub fn plan_fetch<B, L, K>(
    before: B,
    listed: L,
    held: K,
    wanted: WantedDocuments<'_>,
) -> impl Iterator<Item = Result<PlannedName>>
where
    B: IntoIterator<Item = Result<DocRow>>,
    L: IntoIterator<Item = Result<DocRow>>,
    K: IntoIterator<Item = Result<HeldOutcome>>,
{
    let listings = listings(before, listed);
    let listings_what = ("the listed names", ErrorKind::Internal);
    let held_what = ("the outcomes of the lake", ErrorKind::Lake);
    let join = Join::new(listings, listings_what, held.into_iter(), held_what);
    join.map(move |pair| pair.map(|pair| decide(pair, wanted)))
}

fn decide(pair: Pair<Pair<DocRow, DocRow>, HeldOutcome>, wanted: WantedDocuments<'_>) -> PlannedName {
    let of_listing = |listing: Pair<DocRow, DocRow>| {
        let (change, is_listed) = (change_kind(&listing), !matches!(listing, Pair::Left(_)));
        let (Pair::Left(row) | Pair::Right(row) | Pair::Both(_, row)) = listing;
        (row, change, is_listed)
    };
    let ((row, change, is_listed), held) = match pair {
        Pair::Left(listing) => (of_listing(listing), None),
        Pair::Right(held) => ((DocRow { name: held.name.clone(), rev: held.rev.clone() }, None, false), Some(held)),
        Pair::Both(listing, held) => (of_listing(listing), Some(held)),
    };
    let step = match &held {
        None if is_listed && wanted.selection.contains(&row.name) => Step::Fetch(FetchReason::Unknown),
        None => Step::Leave,
        Some(_) if !is_listed => Step::Drop,
        Some(held) => match reason(&row, held, wanted) {
            Some(reason) if wanted.selection.contains(&row.name) => Step::Fetch(reason),
            _ => Step::Carry,
        },
    };
    PlannedName { row, change, step, held }
}

fn reason(row: &DocRow, held: &HeldOutcome, wanted: WantedDocuments<'_>) -> Option<FetchReason> {
    if row.rev != held.rev {
        return Some(FetchReason::Revised);
    }
    if !held.outcome.is_settled() || (wanted.takes_larger && held.outcome == Outcome::Oversize) {
        return Some(FetchReason::Unsettled);
    }
    let has_too_little = held.outcome.has_document() && held.representation == Some(Representation::Abbreviated);
    (has_too_little && wanted.representation == Representation::Full).then_some(FetchReason::FullerForm)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use proptest::prelude::*;

    use super::*;
    use crate::diff::diff;
    use crate::npm::{Change, Revision, Validators};

    fn held(name: &str, rev: &str, outcome: Outcome, representation: Option<Representation>) -> HeldOutcome {
        HeldOutcome {
            name: PackageName::from(name),
            rev: Revision::from(rev),
            outcome,
            validators: Validators::default(),
            fetched_at_us: None,
            representation,
        }
    }

    fn wanted(selection: &Selection, representation: Representation) -> WantedDocuments<'_> {
        WantedDocuments { selection, representation, takes_larger: false }
    }

    fn step(
        row: Option<(&str, &str)>,
        before: Option<HeldOutcome>,
        selection: &Selection,
        form: Representation,
    ) -> Step {
        let listed = row.map(|(name, rev)| Ok(DocRow::new(name, rev)));
        let mut steps = plan_fetch([], listed, before.map(Ok), wanted(selection, form));
        let planned = steps.next().unwrap().unwrap();
        assert!(steps.next().is_none());
        planned.step
    }

    const FULL: Representation = Representation::Full;
    const ABBREVIATED: Representation = Representation::Abbreviated;

    #[test]
    fn a_settled_outcome_at_the_announced_revision_is_not_requested_again() {
        for outcome in Outcome::ALL {
            let before = held("a", "2-x", outcome, None);
            let expected = if outcome.is_settled() { Step::Carry } else { Step::Fetch(FetchReason::Unsettled) };
            assert_eq!(step(Some(("a", "2-x")), Some(before.clone()), &Selection::All, FULL), expected);
            let revised = step(Some(("a", "3-x")), Some(before), &Selection::All, FULL);
            assert_eq!(revised, Step::Fetch(FetchReason::Revised), "{outcome:?}");
        }
        assert_eq!(step(Some(("a", "1-x")), None, &Selection::All, FULL), Step::Fetch(FetchReason::Unknown));
    }

    #[test]
    fn a_smaller_form_does_not_serve_for_the_full_one() {
        let row = Some(("a", "2-x"));
        let of = |form| Some(held("a", "2-x", Outcome::Present, Some(form)));
        assert_eq!(step(row, of(ABBREVIATED), &Selection::All, FULL), Step::Fetch(FetchReason::FullerForm));
        assert_eq!(step(row, of(ABBREVIATED), &Selection::All, ABBREVIATED), Step::Carry);
        assert_eq!(step(row, of(FULL), &Selection::All, ABBREVIATED), Step::Carry);
        assert_eq!(step(row, Some(held("a", "2-x", Outcome::NotFound, None)), &Selection::All, FULL), Step::Carry);
    }

    #[test]
    fn unselected_names_keep_the_state_of_the_lake() {
        let names = Selection::Names(BTreeSet::from([PackageName::from("b")]));
        for selection in [&names, &Selection::None] {
            let failed = held("a", "1-x", Outcome::Failed, None);
            assert_eq!(step(Some(("a", "2-x")), Some(failed), selection, FULL), Step::Carry);
            assert_eq!(step(Some(("a", "2-x")), None, selection, FULL), Step::Leave);
        }
        assert_eq!(step(Some(("b", "2-x")), None, &names, FULL), Step::Fetch(FetchReason::Unknown));
    }

    #[test]
    fn a_name_that_is_no_longer_listed_is_dropped() {
        let gone = || Some(held("a", "1-x", Outcome::Present, Some(FULL)));
        assert_eq!(step(None, gone(), &Selection::All, FULL), Step::Drop);
        assert_eq!(step(None, gone(), &Selection::None, FULL), Step::Drop);
    }

    #[test]
    fn outcomes_out_of_order_are_refused() {
        let before = ["b", "a"].map(|name| Ok(held(name, "1-x", Outcome::Present, None)));
        let told: Vec<_> = plan_fetch([], [], before, wanted(&Selection::All, FULL)).collect();
        assert_eq!(told.len(), 2);
        assert_eq!(told[1].as_ref().unwrap_err().kind(), ErrorKind::Lake);
    }

    proptest! {
        #[test]
        fn it_agrees_with_looking_up_each_name(
            listed in proptest::collection::btree_map("[@a-cA-C/]{1,2}", 0u8..3, 0..40),
            before in proptest::collection::btree_map("[@a-cA-C/]{1,2}", (0u8..3, 0usize..8, 0u8..3), 0..40),
            chosen in proptest::option::of(proptest::collection::btree_set("[@a-cA-C/]{1,2}", 0..20)),
            listed_before in proptest::collection::btree_map("[@a-cA-C/]{1,2}", 0u8..3, 0..40),
            wants_full in any::<bool>(),
        ) {
            let representation = if wants_full { FULL } else { ABBREVIATED };
            let selection = match &chosen {
                None => Selection::All,
                Some(names) => Selection::Names(names.iter().map(|name| PackageName::from(name.as_str())).collect()),
            };
            let form = |form: u8| [None, Some(FULL), Some(ABBREVIATED)][usize::from(form)];
            let rows = |listing: &BTreeMap<String, u8>| -> Vec<Result<DocRow>> {
                listing.iter().map(|(name, rev)| Ok(DocRow::new(name.as_str(), &format!("{rev}-x")))).collect()
            };
            let outcomes = before
                .iter()
                .map(|(name, &(rev, outcome, kind))| Ok(held(name, &format!("{rev}-x"), Outcome::ALL[outcome], form(kind))));
            let wanted = WantedDocuments { selection: &selection, representation, takes_larger: false };
            let plan: Vec<PlannedName> =
                plan_fetch(rows(&listed_before), rows(&listed), outcomes, wanted).collect::<Result<_>>().unwrap();
            prop_assert!(plan.windows(2).all(|pair| pair[0].row.name < pair[1].row.name));

            let changes: Vec<Change> = plan
                .iter()
                .filter_map(|planned| {
                    let DocRow { name, rev } = planned.row.clone();
                    planned.change.map(|kind| Change { name, rev, kind })
                })
                .collect();
            let differences: Vec<Change> = diff(rows(&listed_before), rows(&listed)).collect::<Result<_>>().unwrap();
            prop_assert_eq!(changes, differences);
            prop_assert!(plan.iter().all(|planned| planned.held.is_some() == before.contains_key(planned.row.name.as_str())));
            let told: HashMap<String, Step> =
                plan.into_iter().map(|planned| (planned.row.name.to_string(), planned.step)).collect();
            let mut expected: HashMap<String, Step> =
                listed_before.keys().map(|name| (name.clone(), Step::Leave)).collect();
            expected.extend(before.keys().map(|name| (name.clone(), Step::Drop)));
            expected.extend(listed.iter().map(|(name, rev)| (name.clone(), naive(name, *rev, &before, &chosen, wants_full))));
            prop_assert_eq!(told, expected);
        }
    }

    /// Makes the same decision for one name at a time.
    fn naive(
        name: &str,
        rev: u8,
        before: &BTreeMap<String, (u8, usize, u8)>,
        chosen: &Option<BTreeSet<String>>,
        wants_full: bool,
    ) -> Step {
        let is_chosen = chosen.as_ref().is_none_or(|names| names.contains(name));
        match (before.get(name), is_chosen) {
            (None, true) => Step::Fetch(FetchReason::Unknown),
            (None, false) => Step::Leave,
            (Some(_), false) => Step::Carry,
            (Some((old, ..)), true) if *old != rev => Step::Fetch(FetchReason::Revised),
            // Stale and failed are the last two outcomes.
            (Some((_, 6.., _)), true) => Step::Fetch(FetchReason::Unsettled),
            (Some((_, outcome, 2)), true) if wants_full && Outcome::ALL[*outcome].has_document() => {
                Step::Fetch(FetchReason::FullerForm)
            }
            (Some(_), true) => Step::Carry,
        }
    }
}
