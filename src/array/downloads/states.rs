//! The states of a row: the days for which npm was asked, and the first day with a count.

use jiff::civil::Date;

use super::segment::Record;
use crate::npm::day_of_number;

/// The value of a day that is none.
pub(in crate::array) const NEVER: i32 = i32::MIN;

/// For which days npm was asked about a package, and since when it has counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowState {
    /// The first and the last day for which npm was asked, whether or not it had counts. All days between were asked for.
    pub requested: Option<(Date, Date)>,
    /// The day of the first count that is not zero. Days before it are unknown.
    pub first_known: Option<Date>,
}

/// The states of the rows of a block, as numbers of days.
#[derive(Debug, Clone, Default)]
pub(in crate::array) struct States {
    pub(in crate::array) requested_since: Vec<i32>,
    pub(in crate::array) requested_until: Vec<i32>,
    pub(in crate::array) counted_since: Vec<i32>,
}

impl States {
    /// Returns the state of a row of the block.
    pub(super) fn state(&self, row: usize) -> RowState {
        let day = |days: &[i32]| days.get(row).copied().filter(|&day| day != NEVER).map(day_of_number);
        RowState {
            requested: day(&self.requested_since).zip(day(&self.requested_until)),
            first_known: day(&self.counted_since),
        }
    }

    /// Returns the states of the first `rows` rows.
    pub(super) fn all(&self, rows: usize) -> Vec<RowState> {
        (0..rows).map(|row| self.state(row)).collect()
    }

    /// Returns whether the window of a record touches or overlaps the days that were asked for.
    pub(super) fn continues(&self, row: usize, record: &Record) -> bool {
        let (since, until) = (self.requested_since[row], self.requested_until[row]);
        let is_first = since == NEVER || until == NEVER;
        is_first || (record.since <= until.saturating_add(1) && record.end() >= since)
    }

    /// Adds the window of a record, and its first count that is not zero.
    pub(super) fn add(&mut self, row: usize, record: &Record) {
        let (since, until) = (&mut self.requested_since[row], &mut self.requested_until[row]);
        // A process that died may have written one of the two.
        let is_first = *since == NEVER || *until == NEVER;
        *since = if is_first { record.since } else { (*since).min(record.since) };
        *until = if is_first { record.end() - 1 } else { (*until).max(record.end() - 1) };
        let counted = &mut self.counted_since[row];
        if let Some(first) = record.first_count()
            && (*counted == NEVER || first < *counted)
        {
            *counted = first;
        }
    }
}
