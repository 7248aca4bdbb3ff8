#![allow(clippy::unwrap_used)]

use jiff::civil::date;
use proptest::prelude::*;

use super::*;

const LAST: Date = date(2026, 11, 28);

fn ago(days: i64) -> Date {
    day_after(LAST, -days)
}

fn wish(since: Option<Date>) -> Wish {
    Wish { since, last: LAST }
}

fn asked(first: i64, last: i64, known: Option<i64>) -> RowState {
    RowState { requested: Some((ago(first), ago(last))), first_known: known.map(ago) }
}

fn days(first: i64, last: i64) -> Option<Days> {
    Days::new(ago(first), ago(last))
}

#[test]
fn only_what_is_missing_is_asked_for() {
    let (new, year) = (RowState::default(), asked(364, 0, Some(300)));
    let behind = |by: i64| asked(364, by, Some(300));
    let since = |days: i64| Some(ago(days));
    for (state, since, period, after, before) in [
        (new, None, 30, days(364, 0), None),
        (new, since(9), 30, days(9, 0), None),
        (new, since(2_000), 1, days(2_000, 0), None),
        (year, None, 1, None, None),
        (behind(1), None, 1, days(7, 0), None),
        (behind(1), None, 7, None, None),
        (behind(7), None, 7, days(13, 0), None),
        // A gap would be no longer known as one.
        (behind(400).with(500), None, 7, days(406, 0), None),
        (behind(1), since(5), 1, days(7, 0), None),
        // The last days are read again, but not days before the first.
        (asked(3, 1, Some(2)), None, 1, days(3, 0), None),
        // An earlier day is asked for whatever the tier; up to the first known count, since zeros before it are unknown.
        (year, since(500), 30, None, days(500, 301)),
        (behind(1), since(500), 1, days(7, 0), days(500, 301)),
        (year, since(364), 30, None, None),
        // Without any count the days since are asked for again, as soon as the tier is due.
        (asked(364, 1, None), None, 1, days(364, 0), None),
        (asked(364, 1, None), None, 7, None, None),
        (asked(364, 1, None), since(500), 7, days(500, 1), None),
        (asked(364, 1, None), since(500), 1, days(500, 0), None),
        (asked(700, 600, None), None, 1, days(599, 0), None),
    ] {
        assert_eq!(wish(since).needs(&state, period), [after, before], "{state:?} since {since:?}, each {period} days");
    }
    let first_of_all = Wish { since: Some(date(1999, 1, 1)), last: LAST }.needs(&new, 1)[0].unwrap();
    assert_eq!(first_of_all.first(), FIRST_DAY);
}

trait With {
    fn with(self, first: i64) -> Self;
}

impl With for RowState {
    fn with(self, first: i64) -> Self {
        RowState { requested: self.requested.map(|(_, last)| (ago(first), last)), ..self }
    }
}

fn axis(names: &[String]) -> PackageAxis {
    let mut axis = PackageAxis::default();
    for name in names {
        axis.add(name, LAST);
    }
    axis
}

#[test]
fn similar_days_are_asked_for_together() {
    let names: Vec<String> = (0..300).map(|number| format!("n{number}")).collect();
    let axis = axis(&names);
    // Each name has known days up to one of five days; one name is new.
    let mut states: Vec<RowState> = (0..300).map(|row| asked(364, 30 + row % 5, Some(200 + row))).collect();
    states[17] = RowState::default();
    let tasks = wish(Some(ago(1_000))).tasks(&axis, 0, &states, Kind::Bulk, |_| Some(30));
    let after: Vec<&Task> = tasks.iter().filter(|task| task.days.last() == LAST).collect();
    let (requests, rows): (u64, usize) =
        (after.iter().map(|task| task.requests()).sum(), after.iter().map(|task| task.rows.len()).sum());
    assert_eq!((after.len(), rows), (3, 300));
    // The new name's 1,001 days take three requests; they are shared by the 127 names with the most similar days.
    assert_eq!(requests, 3 + 1 + 1);
    let before: Vec<&Task> = tasks.iter().filter(|task| task.days.last() != LAST).collect();
    assert_eq!(before.iter().map(|task| task.rows.len()).collect::<Vec<_>>(), [128, 128, 43]);
    assert!(before.iter().all(|task| task.days.first() == ago(1_000)));
}

#[test]
fn scoped_names_are_asked_for_alone_and_some_not_at_all() {
    let names = ["a", "@s/a", "..", "@s/..", "b,c", "b"].map(str::to_owned);
    let (axis, states) = (axis(&names), vec![RowState::default(); 6]);
    let rows = |kind| -> Vec<Vec<u32>> {
        wish(None).tasks(&axis, 0, &states, kind, |_| Some(1)).into_iter().map(|task| task.rows).collect()
    };
    assert_eq!((rows(Kind::Bulk), rows(Kind::Single)), (vec![vec![0, 5]], vec![vec![1]]));
    let second = wish(None).tasks(&axis, 4, &states[4..], Kind::Bulk, |row| (row == 5).then_some(1));
    assert_eq!(second.into_iter().map(|task| task.rows).collect::<Vec<_>>(), [[5]]);
}

#[test]
fn a_request_has_no_more_days_than_npm_takes() {
    let task = |rows: &[u32], first| Task { rows: rows.to_vec(), days: days(first, 0).unwrap() };
    assert_eq!([364, 365, 546].map(|first| task(&[1, 2], first).requests()), [1, 2, 2]);
    assert_eq!([364, 546, 547].map(|first| task(&[1], first).requests()), [1, 1, 2]);
}

fn states() -> impl Strategy<Value = RowState> {
    let known = (0i64..900, 0i64..60, 0i64..900, any::<bool>()).prop_map(|(length, behind, known, is_known)| {
        let first = behind + length;
        asked(first, behind, is_known.then_some(first - known.min(length)))
    });
    prop_oneof![1 => Just(RowState::default()), 4 => known]
}

fn names() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(any::<bool>(), 1..300).prop_map(|scoped| {
        scoped
            .into_iter()
            .enumerate()
            .map(|(number, scoped)| format!("{}n{number}", if scoped { "@s/" } else { "" }))
            .collect()
    })
}

proptest! {
    /// Every missing day is asked for, nothing is left afterwards, no days lie between the known ones and the new ones,
    /// and names are together only where npm allows it.
    #[test]
    fn a_plan_is_complete_and_can_be_asked_for(
        names in names(),
        drawn in prop::collection::vec(states(), 300),
        since in prop::option::of(0i64..2_000),
        period in prop::sample::select(&[1i64, 7, 30][..]),
    ) {
        let axis = axis(&names);
        let wish = wish(since.map(ago));
        let mut states: Vec<RowState> = drawn.into_iter().take(names.len()).collect();
        let all = |states: &[RowState]| -> Vec<Task> {
            [Kind::Bulk, Kind::Single].into_iter().flat_map(|kind| wish.tasks(&axis, 0, states, kind, |_| Some(period))).collect()
        };
        let tasks = all(&states);
        let before = states.clone();
        for task in &tasks {
            prop_assert!(task.rows.len() == 1 || task.rows.iter().all(|row| !names[*row as usize].starts_with('@')));
            prop_assert!((1..=128).contains(&task.rows.len()) && task.rows.is_sorted());
            prop_assert!(task.days.last() <= LAST && task.days.first() >= FIRST_DAY);
            for row in &task.rows {
                let state = &mut states[*row as usize];
                let (first, last) = state.requested.unwrap_or((task.days.first(), task.days.last()));
                prop_assert!(task.days.first() <= day_after(last, 1) && task.days.last() >= day_after(first, -1), "a gap");
                state.requested = Some((first.min(task.days.first()), last.max(task.days.last())));
            }
        }
        for (state, before) in states.iter().zip(&before) {
            let Some((first, last)) = state.requested else { continue };
            prop_assert!(since.is_none_or(|since| first <= ago(since)));
            let was_due = before.requested.is_none_or(|(_, last)| days_between(last, LAST) >= period);
            prop_assert!(!was_due || last == LAST);
        }
        prop_assert_eq!(all(&states), vec![]);
        let bulk = names.iter().filter(|name| !name.starts_with('@')).count() as u64;
        let requests = |task: &Task| if task.rows.len() > 1 { task.requests() } else { 0 };
        prop_assert!(tasks.iter().map(requests).sum::<u64>() <= 2 * (bulk / 128 + 1) * 6);
    }
}
