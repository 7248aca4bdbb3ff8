//! The fetch decision for each name's document, from the new listing and the known outcomes.

use std::collections::BTreeSet;

use super::join::{Join, Named, Pair};
use crate::error::{ErrorKind, Result};
use crate::npm::{DocRow, PackageName, Representation, Revision};

/// The lake's knowledge of a name's last request: a row of `outcomes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The name.
    pub name: PackageName,
    /// The revision announced at the time of the request.
    pub rev: Revision,
    /// Whether the request need not be repeated while the same revision is announced.
    pub is_settled: bool,
    /// The form of the document that the lake holds; `None` where it holds none.
    pub representation: Option<Representation>,
}

impl Named for Known {
    fn name(&self) -> &PackageName {
        &self.name
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

/// A name, its announced revision (the last known one if it is no longer listed), and its action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedStep {
    /// The name and its revision.
    pub row: DocRow,
    /// The action.
    pub step: Step,
}

/// Decides for every name of `listed` and `known`, by name.
///
/// Both must be strictly ascending by name. A name whose last request is [settled](Known::is_settled) at the announced
/// revision is not requested again, even if it has no document. A full document serves where the abbreviated form is
/// wanted, for it holds more; an abbreviated one does not serve where the full form is wanted.
///
/// # Errors
///
/// Those of either sequence; [`ErrorKind::Lake`] for a `known` out of order, [`ErrorKind::Internal`] for such a
/// `listed`. Nothing comes after an error.
pub fn plan_fetch<L, K>(
    listed: L,
    known: K,
    selection: &Selection,
    wanted: Representation,
) -> impl Iterator<Item = Result<PlannedStep>>
where
    L: IntoIterator<Item = Result<DocRow>>,
    K: IntoIterator<Item = Result<Known>>,
{
    let listed_what = ("the rows of the registry", ErrorKind::Internal);
    let known_what = ("the outcomes of the lake", ErrorKind::Lake);
    let join = Join::new(listed.into_iter(), listed_what, known.into_iter(), known_what);
    join.map(move |pair| pair.map(|pair| decide(pair, selection, wanted)))
}

fn decide(pair: Pair<DocRow, Known>, selection: &Selection, wanted: Representation) -> PlannedStep {
    match pair {
        Pair::Right(known) => PlannedStep { row: DocRow { name: known.name, rev: known.rev }, step: Step::Drop },
        Pair::Left(row) if selection.contains(&row.name) => {
            PlannedStep { row, step: Step::Fetch(FetchReason::Unknown) }
        }
        Pair::Left(row) => PlannedStep { row, step: Step::Leave },
        Pair::Both(row, known) => {
            let is_selected = selection.contains(&row.name);
            let step = match reason(&row, &known, wanted) {
                Some(reason) if is_selected => Step::Fetch(reason),
                _ => Step::Carry,
            };
            PlannedStep { row, step }
        }
    }
}

fn reason(row: &DocRow, known: &Known, wanted: Representation) -> Option<FetchReason> {
    if row.rev != known.rev {
        return Some(FetchReason::Revised);
    }
    if !known.is_settled {
        return Some(FetchReason::Unsettled);
    }
    let is_too_little = wanted == Representation::Full && known.representation == Some(Representation::Abbreviated);
    is_too_little.then_some(FetchReason::FullerForm)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use proptest::prelude::*;

    use super::*;
    use crate::npm::Outcome;

    fn known(name: &str, rev: &str, outcome: Outcome, representation: Option<Representation>) -> Known {
        let is_settled = outcome.is_settled();
        Known { name: PackageName::from(name), rev: Revision::from(rev), is_settled, representation }
    }

    fn step(row: Option<(&str, &str)>, before: Option<Known>, selection: &Selection, wanted: Representation) -> Step {
        let listed = row.map(|(name, rev)| Ok(DocRow::new(name, rev)));
        let mut steps = plan_fetch(listed, before.map(Ok), selection, wanted);
        let planned = steps.next().unwrap().unwrap();
        assert!(steps.next().is_none());
        planned.step
    }

    const FULL: Representation = Representation::Full;
    const ABBREVIATED: Representation = Representation::Abbreviated;

    #[test]
    fn a_settled_outcome_at_the_announced_revision_is_not_requested_again() {
        for outcome in Outcome::ALL {
            let before = known("a", "2-x", outcome, None);
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
        let of = |form| Some(known("a", "2-x", Outcome::Present, Some(form)));
        assert_eq!(step(row, of(ABBREVIATED), &Selection::All, FULL), Step::Fetch(FetchReason::FullerForm));
        assert_eq!(step(row, of(ABBREVIATED), &Selection::All, ABBREVIATED), Step::Carry);
        assert_eq!(step(row, of(FULL), &Selection::All, ABBREVIATED), Step::Carry);
        assert_eq!(step(row, Some(known("a", "2-x", Outcome::NotFound, None)), &Selection::All, FULL), Step::Carry);
    }

    #[test]
    fn unselected_names_keep_the_state_of_the_lake() {
        let names = Selection::Names(BTreeSet::from([PackageName::from("b")]));
        for selection in [&names, &Selection::None] {
            let failed = known("a", "1-x", Outcome::Failed, None);
            assert_eq!(step(Some(("a", "2-x")), Some(failed), selection, FULL), Step::Carry);
            assert_eq!(step(Some(("a", "2-x")), None, selection, FULL), Step::Leave);
        }
        assert_eq!(step(Some(("b", "2-x")), None, &names, FULL), Step::Fetch(FetchReason::Unknown));
    }

    #[test]
    fn a_name_that_is_no_longer_listed_is_dropped() {
        let gone = || Some(known("a", "1-x", Outcome::Present, Some(FULL)));
        assert_eq!(step(None, gone(), &Selection::All, FULL), Step::Drop);
        assert_eq!(step(None, gone(), &Selection::None, FULL), Step::Drop);
    }

    #[test]
    fn outcomes_out_of_order_are_refused() {
        let before = ["b", "a"].map(|name| Ok(known(name, "1-x", Outcome::Present, None)));
        let told: Vec<_> = plan_fetch([], before, &Selection::All, FULL).collect();
        assert_eq!(told.len(), 2);
        assert_eq!(told[1].as_ref().unwrap_err().kind(), ErrorKind::Lake);
    }

    proptest! {
        #[test]
        fn it_agrees_with_looking_up_each_name(
            listed in proptest::collection::btree_map("[@a-cA-C/]{1,2}", 0u8..3, 0..40),
            before in proptest::collection::btree_map("[@a-cA-C/]{1,2}", (0u8..3, 0usize..8, 0u8..3), 0..40),
            chosen in proptest::option::of(proptest::collection::btree_set("[@a-cA-C/]{1,2}", 0..20)),
            wants_full in any::<bool>(),
        ) {
            let wanted = if wants_full { FULL } else { ABBREVIATED };
            let selection = match &chosen {
                None => Selection::All,
                Some(names) => Selection::Names(names.iter().map(|name| PackageName::from(name.as_str())).collect()),
            };
            let form = |form: u8| [None, Some(FULL), Some(ABBREVIATED)][usize::from(form)];
            let rows = listed.iter().map(|(name, rev)| Ok(DocRow::new(name.as_str(), &format!("{rev}-x"))));
            let outcomes = before
                .iter()
                .map(|(name, &(rev, outcome, held))| Ok(known(name, &format!("{rev}-x"), Outcome::ALL[outcome], form(held))));
            let plan: Vec<PlannedStep> =
                plan_fetch(rows, outcomes, &selection, wanted).collect::<Result<_>>().unwrap();
            prop_assert!(plan.windows(2).all(|pair| pair[0].row.name < pair[1].row.name));

            let told: HashMap<String, Step> =
                plan.into_iter().map(|planned| (planned.row.name.to_string(), planned.step)).collect();
            let mut expected: HashMap<String, Step> = before.keys().map(|name| (name.clone(), Step::Drop)).collect();
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
            (Some((_, _, 2)), true) if wants_full => Step::Fetch(FetchReason::FullerForm),
            (Some(_), true) => Step::Carry,
        }
    }
}
