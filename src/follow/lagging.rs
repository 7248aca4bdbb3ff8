//! Lagging names: documents that the registry announced and does not serve yet. Each is asked for again, after waits
//! that grow, until it comes or is given up.

use std::collections::BTreeMap;

use super::{HOUR_US, MINUTE_US, SECOND_US};
use crate::lake::LaggingName;
use crate::npm::{Change, ChangeKind, ChangeRow, PackageName, Revision};

/// The most names that are waited for. Of more, those that were asked for most often are given up: the next listing finds
/// them by their outcomes.
pub const MOST_LAGGING: usize = 10_000;

/// The waits before each further request. A name that is still behind after the last of them is given up.
const WAITS_US: [i64; 10] = [
    10 * SECOND_US,
    30 * SECOND_US,
    2 * MINUTE_US,
    10 * MINUTE_US,
    30 * MINUTE_US,
    HOUR_US,
    2 * HOUR_US,
    4 * HOUR_US,
    8 * HOUR_US,
    8 * HOUR_US,
];

/// The names that are waited for.
#[derive(Debug, Clone, Default)]
pub struct Lagging {
    names: BTreeMap<PackageName, Waiting>,
    given_up: u64,
}

#[derive(Debug, Clone)]
struct Waiting {
    change: Change,
    attempts: usize,
    due_at_us: i64,
}

impl Lagging {
    /// Continues with the names of a record.
    pub fn of(record: &[LaggingName]) -> Lagging {
        let waiting = |known: &LaggingName| {
            let name = PackageName::new(known.name.as_str());
            let kind = if known.is_deleted { ChangeKind::Deleted } else { ChangeKind::Changed };
            let rev = Revision::new(known.rev.as_str());
            let change = Change { name: name.clone(), rev, kind, seq: known.seq.clone() };
            (name, Waiting { change, attempts: known.attempts as usize, due_at_us: known.due_at_us })
        };
        Lagging { names: record.iter().map(waiting).collect(), given_up: 0 }
    }

    /// Returns the names for a record.
    pub fn record(&self) -> Vec<LaggingName> {
        let known = |waiting: &Waiting| LaggingName {
            name: waiting.change.name.to_string(),
            rev: waiting.change.rev.to_string(),
            seq: waiting.change.seq.clone(),
            is_deleted: waiting.change.kind == ChangeKind::Deleted,
            attempts: u32::try_from(waiting.attempts).unwrap_or(u32::MAX),
            due_at_us: waiting.due_at_us,
        };
        self.names.values().map(known).collect()
    }

    /// Returns the changes whose time has come.
    pub fn due(&self, now_us: i64) -> Vec<Change> {
        let last = WAITS_US.iter().max().copied().unwrap_or_default();
        // A time beyond the longest wait was noted by a clock that went back since.
        let is_due = |waiting: &&Waiting| waiting.due_at_us <= now_us || waiting.due_at_us > now_us + last;
        self.names.values().filter(is_due).map(|waiting| waiting.change.clone()).collect()
    }

    /// Returns whether the document that a row announces is waited for.
    pub fn waits_for(&self, row: &ChangeRow) -> bool {
        self.names.get(&row.name).is_some_and(|waiting| waiting.change.rev == row.rev)
    }

    /// Returns the time at which the next name is due.
    pub fn next_due_us(&self) -> Option<i64> {
        self.names.values().map(|waiting| waiting.due_at_us).min()
    }

    /// Takes the result of requests for `asked`: those among `behind` wait, all others are done.
    pub fn asked(&mut self, asked: &[Change], behind: Vec<Change>, now_us: i64) {
        let mut attempts = BTreeMap::new();
        for change in asked {
            if let Some(waiting) = self.names.remove(&change.name).filter(|known| known.change.rev == change.rev) {
                attempts.insert(change.name.clone(), waiting.attempts);
            }
        }
        for change in behind {
            let made = attempts.get(&change.name).copied().unwrap_or_default();
            let Some(wait) = WAITS_US.get(made) else {
                self.given_up += 1;
                continue;
            };
            let waiting = Waiting { attempts: made + 1, due_at_us: now_us + wait, change };
            self.names.insert(waiting.change.name.clone(), waiting);
        }
        self.bound();
    }

    /// Returns how many names are waited for.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Returns whether none is.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Returns how many names were given up.
    pub fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Gives up names beyond the bound.
    fn bound(&mut self) {
        let Some(over @ 1..) = self.names.len().checked_sub(MOST_LAGGING) else { return };
        let mut by_attempts: Vec<_> = self.names.iter().map(|(name, known)| (known.attempts, name.clone())).collect();
        by_attempts.sort_by(|one, other| other.cmp(one));
        for (_, name) in by_attempts.into_iter().take(over) {
            self.names.remove(&name);
            self.given_up += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, rev: &str) -> Change {
        Change { name: PackageName::new(name), rev: Revision::new(rev), kind: ChangeKind::Changed, seq: None }
    }

    #[test]
    fn a_lagging_name_is_asked_for_after_ten_seconds_to_hours_and_then_given_up() {
        let (mut lagging, mut now, mut waits) = (Lagging::default(), 0, Vec::new());
        lagging.asked(&[change("a", "2-a")], vec![change("a", "2-a")], now);
        while let Some(due) = lagging.next_due_us() {
            assert!(lagging.due(due - 1).is_empty());
            let again = lagging.due(due);
            waits.push((due - now) / SECOND_US);
            now = due;
            lagging.asked(&again, again.clone(), now);
        }
        assert_eq!((waits.first(), waits.last(), waits.len()), (Some(&10), Some(&(8 * 3600)), WAITS_US.len()));
        assert_eq!((lagging.len(), lagging.given_up()), (0, 1));
    }

    #[test]
    fn another_revision_begins_anew_and_a_served_one_ends_the_waiting() {
        let mut lagging = Lagging::default();
        lagging.asked(&[change("a", "2-a")], vec![change("a", "2-a")], 0);
        lagging.asked(&[change("a", "2-a")], vec![change("a", "2-a")], 10 * SECOND_US);
        assert_eq!(lagging.next_due_us(), Some(40 * SECOND_US));
        lagging.asked(&[change("a", "3-a")], vec![change("a", "3-a")], 10 * SECOND_US);
        assert_eq!(lagging.next_due_us(), Some(20 * SECOND_US));
        let restarted = Lagging::of(&lagging.record());
        assert_eq!(restarted.due(20 * SECOND_US), [change("a", "3-a")]);
        lagging.asked(&[change("a", "3-a")], Vec::new(), 20 * SECOND_US);
        assert_eq!((lagging.len(), lagging.given_up()), (0, 0));
    }

    #[test]
    fn the_number_of_lagging_names_is_bounded() {
        let mut lagging = Lagging::default();
        let old: Vec<Change> = (0..MOST_LAGGING).map(|n| change(&format!("old-{n}"), "2-a")).collect();
        lagging.asked(&old, old.clone(), 0);
        lagging.asked(&old, old.clone(), 10 * SECOND_US);
        let new: Vec<Change> = (0..100).map(|n| change(&format!("new-{n}"), "2-a")).collect();
        lagging.asked(&new, new.clone(), 20 * SECOND_US);
        assert_eq!((lagging.len(), lagging.given_up()), (MOST_LAGGING, 100));
        assert!(lagging.record().iter().filter(|known| known.name.starts_with("new")).count() == 100);
    }

    #[test]
    fn a_clock_that_went_back_delays_no_name_for_ever() {
        let mut lagging = Lagging::default();
        lagging.asked(&[change("a", "2-a")], vec![change("a", "2-a")], 1_000 * HOUR_US);
        assert_eq!(lagging.due(HOUR_US).len(), 1);
    }
}
