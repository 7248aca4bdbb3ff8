//! The report of a scan beside its names: their number, the registry's own count, and oddities.

use crate::npm::{DocRow, PackageName};

/// How many oddities are quoted; the others are only counted.
const MAX_EXAMPLES: usize = 8;

/// The oddities in the server's pages. All of them were handled; a person may want to know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Oddities {
    /// Rows that came after a row that sorts above them.
    pub out_of_order: u64,
    /// Rows whose name had come before in the same range; the later revision was kept.
    pub repeated: u64,
    /// Rows outside the requested range.
    pub outside_range: u64,
    /// Rows without a usable id or revision.
    pub unusable: u64,
    /// The first few, as sentences.
    pub examples: Vec<String>,
}

impl Oddities {
    /// Returns whether there were none.
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

/// The results of a scan so far; complete once its stream has ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScanReport {
    /// The rows returned of each range, in the order of the ranges.
    pub rows_by_range: Vec<u64>,
    /// How many ranges are paged to their end.
    pub ranges_done: usize,
    /// The registry's own count of documents, on the first page that has it.
    pub total_rows_at_first: Option<u64>,
    /// The same count on the last page that has it. It differs if the registry changed meanwhile.
    pub total_rows_at_last: Option<u64>,
    /// The oddities.
    pub oddities: Oddities,
    /// Names that could not be put in their place, ascending, each once. Some may also have been returned in their
    /// place; [`super::with_misplaced`] tells, and rows must be counted by range again then. Empty for every server
    /// that sorts by bytes and keeps to the range.
    pub misplaced: Vec<DocRow>,
}

impl ScanReport {
    /// Returns the number of returned rows.
    pub fn listed_rows(&self) -> u64 {
        self.rows_by_range.iter().sum()
    }

    /// Returns how many rows fewer were listed than the registry counts: the smaller of its first and last count.
    /// `None` if it gave no count. Only for a scan of all ranges. A few missing rows are no fault: names come and go
    /// meanwhile.
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
