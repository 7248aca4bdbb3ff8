//! What a scan has to tell besides names: how many, whether that agrees with the registry's own count, what was odd.

use crate::npm::{DocRow, PackageName};

/// How many oddities are quoted; the rest is counted only.
const MAX_EXAMPLES: usize = 8;

/// What was not as it should be in the server's pages. All of it was handled; a person may want to know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Oddities {
    /// Rows that came after a row that sorts above them.
    pub out_of_order: u64,
    /// Rows whose name had come before in the same range; the one with the later revision was kept.
    pub repeated: u64,
    /// Rows that do not belong to the range that was asked for.
    pub outside_range: u64,
    /// Rows without a usable id or revision.
    pub unusable: u64,
    /// The first few, as sentences.
    pub examples: Vec<String>,
}

impl Oddities {
    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        *self == Oddities::default()
    }

    pub(super) fn note_out_of_order(&mut self, name: &PackageName, after: &PackageName) {
        self.out_of_order += 1;
        self.quote(|| format!("{name:?} came after {after:?}"));
    }

    pub(super) fn note_repeated(&mut self, name: &PackageName) {
        self.repeated += 1;
        self.quote(|| format!("{name:?} came twice"));
    }

    pub(super) fn note_outside(&mut self, name: &PackageName, range: &impl std::fmt::Display) {
        self.outside_range += 1;
        self.quote(|| format!("{name:?} came in the range {range}"));
    }

    pub(super) fn note_unusable(&mut self, rows: u64, range: &impl std::fmt::Display) {
        if rows > 0 {
            self.unusable += rows;
            self.quote(|| format!("{rows} rows without id or revision came in the range {range}"));
        }
    }

    fn quote(&mut self, example: impl FnOnce() -> String) {
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(example());
        }
    }

    fn add(&mut self, other: Oddities) {
        self.out_of_order += other.out_of_order;
        self.repeated += other.repeated;
        self.outside_range += other.outside_range;
        self.unusable += other.unusable;
        let room = MAX_EXAMPLES.saturating_sub(self.examples.len());
        self.examples.extend(other.examples.into_iter().take(room));
    }
}

/// What a scan has found so far; complete once its stream has ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScanReport {
    /// The rows given of each range, in the order of the ranges.
    pub rows_by_range: Vec<u64>,
    /// How many ranges are paged to their end.
    pub ranges_done: usize,
    /// How many documents the registry said it had, on the first page that said it.
    pub total_rows_at_first: Option<u64>,
    /// The same on the last page that said it. It differs where the registry changed meanwhile.
    pub total_rows_at_last: Option<u64>,
    /// What was odd.
    pub oddities: Oddities,
    /// Names that could not be given in their place, ascending, each once. Some may also have been given in their
    /// place; [`super::with_misplaced`] tells, and rows have to be counted by range anew then. Empty for every server that sorts by bytes and keeps to the range.
    pub misplaced: Vec<DocRow>,
}

impl ScanReport {
    /// The rows that were given.
    pub fn listed_rows(&self) -> u64 {
        self.rows_by_range.iter().sum()
    }

    /// How many rows fewer were listed than the registry said it had, at the time when it said the least. `None`
    /// where it did not say. Only for a scan of all ranges; a few rows are no fault, names come and go meanwhile.
    pub fn missing_rows(&self) -> Option<u64> {
        let least = self.total_rows_at_first?.min(self.total_rows_at_last?);
        Some(least.saturating_sub(self.listed_rows() + self.misplaced.len() as u64))
    }

    pub(super) fn add_page(&mut self, range_index: usize, rows: usize, total_rows: Option<u64>, oddities: Oddities) {
        if self.rows_by_range.len() <= range_index {
            self.rows_by_range.resize(range_index + 1, 0);
        }
        self.rows_by_range[range_index] += rows as u64;
        self.total_rows_at_first = self.total_rows_at_first.or(total_rows);
        self.total_rows_at_last = total_rows.or(self.total_rows_at_last);
        self.oddities.add(oddities);
    }
}
