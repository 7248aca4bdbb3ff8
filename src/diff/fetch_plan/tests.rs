#![allow(clippy::unwrap_used)]

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
        repetitions: 1,
        credentials: Some(Fingerprint::NONE),
        next_request_at_us: outcome.next_request_us(NOW_US, 1),
    }
}

/// The time of the run, and that at which each outcome came.
const NOW_US: i64 = 1_000_000_000;
const SIX_MINUTES_US: i64 = 360_000_000;

fn wanted(selection: &Selection, representation: Representation) -> WantedDocuments<'_> {
    WantedDocuments {
        selection,
        representation,
        takes_larger: false,
        now_us: NOW_US,
        credentials: &|_| Fingerprint::NONE,
    }
}

/// Returns the step for one listed name without a change, by these conditions.
fn step_by(before: &HeldOutcome, wanted: WantedDocuments<'_>) -> Step {
    let listed = || [Ok(DocRow { name: before.name.clone(), rev: before.rev.clone() })];
    plan_fetch(listed(), listed(), [Ok(before.clone())], wanted).next().unwrap().unwrap().step
}

fn step(row: Option<(&str, &str)>, before: Option<HeldOutcome>, selection: &Selection, form: Representation) -> Step {
    let listed = row.map(|(name, rev)| Ok(DocRow::new(name, rev)));
    let mut steps = plan_fetch([], listed, before.map(Ok), wanted(selection, form));
    let planned = steps.next().unwrap().unwrap();
    assert!(steps.next().is_none());
    planned.step
}

const FULL: Representation = Representation::Full;
const ABBREVIATED: Representation = Representation::Abbreviated;

#[test]
fn an_outcome_at_the_announced_revision_is_not_requested_again_at_once_unless_it_is_open() {
    for outcome in Outcome::ALL {
        let before = held("a", "2-x", outcome, None);
        let expected = if outcome.is_open() { Step::Fetch(FetchReason::Unfinished) } else { Step::Carry };
        assert_eq!(step(Some(("a", "2-x")), Some(before.clone()), &Selection::All, FULL), expected);
        let revised = step(Some(("a", "3-x")), Some(before), &Selection::All, FULL);
        assert_eq!(revised, Step::Fetch(FetchReason::Revised), "{outcome:?}");
    }
    assert_eq!(step(Some(("a", "1-x")), None, &Selection::All, FULL), Step::Fetch(FetchReason::New));
}

#[test]
fn what_time_credentials_and_limits_can_change_is_requested_again_when_they_have_changed() {
    let all = wanted(&Selection::All, FULL);
    let later = WantedDocuments { now_us: NOW_US + SIX_MINUTES_US, ..all };
    let other = WantedDocuments { credentials: &|_| Fingerprint::new(7), ..all };
    let larger = WantedDocuments { takes_larger: true, ..all };
    for outcome in [Outcome::Present, Outcome::Tombstone, Outcome::NotFound, Outcome::Blocked, Outcome::Malformed] {
        let before = held("a", "2-x", outcome, None);
        let if_it_can_change = |reason| if outcome.can_change() { Step::Fetch(reason) } else { Step::Carry };
        assert_eq!(step_by(&before, later), if_it_can_change(FetchReason::Due), "{outcome:?}");
        assert_eq!(step_by(&before, other), if_it_can_change(FetchReason::OtherCredentials), "{outcome:?}");
        assert_eq!(step_by(&before, larger), Step::Carry);
        let again = HeldOutcome { next_request_at_us: outcome.next_request_us(NOW_US, 2), ..before };
        assert_eq!(step_by(&again, later), Step::Carry, "{outcome:?} is believed for an hour the second time");
    }
    let oversize = held("a", "2-x", Outcome::Oversize, None);
    assert_eq!([later, other].map(|wanted| step_by(&oversize, wanted)), [Step::Carry; 2]);
    assert_eq!(step_by(&oversize, larger), Step::Fetch(FetchReason::LargerLimit));
}

#[test]
fn a_row_of_an_earlier_version_or_of_a_wrong_clock_is_requested_again_once() {
    let all = wanted(&Selection::All, FULL);
    let earlier = HeldOutcome { credentials: None, ..held("a", "2-x", Outcome::NotFound, None) };
    let other = WantedDocuments { credentials: &|_| Fingerprint::new(7), ..all };
    assert_eq!(step_by(&earlier, other), Step::Carry, "its credentials are not known");
    let of_a_wrong_clock = HeldOutcome { next_request_at_us: Some(i64::MAX), ..earlier };
    assert_eq!(step_by(&of_a_wrong_clock, all), Step::Fetch(FetchReason::Due));
}

#[test]
fn a_name_without_a_sound_document_is_requested_whenever_the_user_names_it() {
    let names = Selection::Names(BTreeSet::from([PackageName::from("a")]));
    for outcome in Outcome::ALL.into_iter().filter(|outcome| !outcome.is_open()) {
        let expected = if outcome.is_whole() { Step::Carry } else { Step::Fetch(FetchReason::Named) };
        assert_eq!(step_by(&held("a", "2-x", outcome, None), wanted(&names, FULL)), expected, "{outcome:?}");
    }
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
    assert_eq!(step(Some(("b", "2-x")), None, &names, FULL), Step::Fetch(FetchReason::New));
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
        let wanted = wanted(&selection, representation);
        let plan: Vec<PlannedName> =
            plan_fetch(rows(&listed_before), rows(&listed), outcomes, wanted).collect::<Result<_>>().unwrap();
        prop_assert!(plan.windows(2).all(|pair| pair[0].row.name < pair[1].row.name));

        let changes: Vec<Change> = plan
            .iter()
            .filter_map(|planned| {
                let DocRow { name, rev } = planned.row.clone();
                planned.change.map(|kind| Change { name, rev, kind, seq: None })
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
        (None, true) => Step::Fetch(FetchReason::New),
        (None, false) => Step::Leave,
        (Some(_), false) => Step::Carry,
        (Some((old, ..)), true) if *old != rev => Step::Fetch(FetchReason::Revised),
        // Stale and failed are the last two outcomes.
        (Some((_, 6.., _)), true) => Step::Fetch(FetchReason::Unfinished),
        (Some((_, outcome, 2)), true) if wants_full && Outcome::ALL[*outcome].has_document() => {
            Step::Fetch(FetchReason::FullerForm)
        }
        (Some((_, outcome, _)), true) if chosen.is_some() && !Outcome::ALL[*outcome].is_whole() => {
            Step::Fetch(FetchReason::Named)
        }
        (Some(_), true) => Step::Carry,
    }
}
