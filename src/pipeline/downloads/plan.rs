//! The plan: which packages are asked for together, and for which days, by what is known of them.
//!
//! Pure: the day is given. Not here: how often a package is asked for (`tiers`), and the requests (`requests`).

use jiff::civil::Date;

use crate::array::{FIRST_DAY, PackageAxis, RowState};
use crate::npm::{
    Days, DownloadsQuery, MAX_BULK_DAYS, MAX_BULK_NAMES, MAX_SINGLE_DAYS, PackageName, day_after, days_between,
};

/// The days at the end of the known ones that are asked for again: npm corrects counts for some days (npm-facts F.3).
const REREAD_DAYS: i64 = 7;

/// The days of a package that was never asked for, unless the user gives a first day: one request has no more of a bulk.
const DEFAULT_DAYS: i64 = MAX_BULK_DAYS as i64;

/// Requests that belong together: the days of some rows. All requests of a task end before its counts are recorded, so
/// that it is known which zeros precede all downloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    /// The rows: several that may be named in one request, or one.
    pub(super) rows: Vec<u32>,
    /// The days.
    pub(super) days: Days,
}

/// How packages are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Up to 128 in one request.
    Bulk,
    /// One in a request.
    Single,
}

impl Kind {
    /// Returns how a package can be asked for; `None` if no request can name it.
    pub(super) fn of(name: &str) -> Option<Kind> {
        let in_bulk = DownloadsQuery::takes_in_bulk(name);
        DownloadsQuery::can_name(&PackageName::from(name)).then_some(if in_bulk { Kind::Bulk } else { Kind::Single })
    }
}

impl Task {
    /// Returns the most days that one of its requests can have.
    pub(super) fn longest_days(&self) -> usize {
        if self.rows.len() == 1 { MAX_SINGLE_DAYS } else { MAX_BULK_DAYS }
    }

    /// Returns how many requests it takes, if none is refused.
    pub(super) fn requests(&self) -> u64 {
        self.days.count().div_ceil(self.longest_days()) as u64
    }
}

/// The days that a run asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    /// The first day that the user wants, also of packages whose later days are known.
    pub(super) since: Option<Date>,
    /// The last day that has landed.
    pub(super) last: Date,
}

impl Wish {
    /// Returns the days to ask for of a package, by its state: those after the known ones, and those before them.
    /// `period_days` is the time from one request for it to the next.
    fn needs(self, state: &RowState, period_days: i64) -> [Option<Days>; 2] {
        let since = self.since.unwrap_or_else(|| day_after(self.last, 1 - DEFAULT_DAYS)).max(FIRST_DAY);
        let Some((first_asked, last_asked)) = state.requested else { return [Days::new(since, self.last), None] };
        let is_due = days_between(last_asked, self.last) >= period_days;
        let is_wanted_earlier = self.since.is_some() && since < first_asked;
        let Some(first_known) = state.first_known else {
            // Counts may have come for all of its days since. There must be no gap to the days that were asked for.
            let last = if is_due { self.last } else { last_asked };
            let first = since.min(day_after(last_asked, 1));
            return [Days::new(first, last).filter(|_| is_due || is_wanted_earlier), None];
        };
        let after = Days::new(day_after(last_asked, 1 - REREAD_DAYS).max(first_asked), self.last).filter(|_| is_due);
        // Zeros up to the first known count were taken for days before all downloads. Some may turn out to be none.
        // After the repair of a lost shard the first known count may be before the days that were asked for.
        let before = Days::new(since, day_after(first_known.max(first_asked), -1)).filter(|_| is_wanted_earlier);
        [after, before]
    }

    /// Returns the tasks for those rows of a block that `period_days` returns a period for. `states` begins with the row
    /// `first_row`.
    pub(super) fn tasks(
        self,
        axis: &PackageAxis,
        first_row: u32,
        states: &[RowState],
        kind: Kind,
        period_days: impl Fn(u32) -> Option<i64>,
    ) -> Vec<Task> {
        let mut needs = [Vec::new(), Vec::new()];
        for (row, state) in (first_row..).zip(states) {
            let Some(period_days) = period_days(row).filter(|_| Kind::of(axis.name(row)) == Some(kind)) else {
                continue;
            };
            for (needs, days) in needs.iter_mut().zip(self.needs(state, period_days)) {
                needs.extend(days.map(|days| (days, row)));
            }
        }
        let [after, before] = &mut needs;
        // Similar days are asked for together. Those after the known ones differ in their first day, the others in their
        // last.
        after.sort_unstable();
        before.sort_unstable_by_key(|(days, row)| (days.last(), *row));
        let at_once = if kind == Kind::Bulk { MAX_BULK_NAMES } else { 1 };
        after.chunks(at_once).chain(before.chunks(at_once)).filter_map(together).collect()
    }
}

/// Returns the task for all of these days and rows.
fn together(needs: &[(Days, u32)]) -> Option<Task> {
    let first = needs.iter().map(|(days, _)| days.first()).min()?;
    let last = needs.iter().map(|(days, _)| days.last()).max()?;
    let mut rows: Vec<u32> = needs.iter().map(|(_, row)| *row).collect();
    rows.sort_unstable();
    Some(Task { rows, days: Days::new(first, last)? })
}

#[cfg(test)]
mod tests;
