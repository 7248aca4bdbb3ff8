//! Finds the first and the last known day of each row by its cells alone. Not here: the states of a row (`states`).

use super::UNKNOWN;
use super::states::NEVER;

/// The first and the last day of a row whose count is known, as numbers of days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::array) struct Known {
    pub(in crate::array) first: i32,
    pub(in crate::array) last: i32,
}

impl Default for Known {
    fn default() -> Self {
        Known { first: NEVER, last: NEVER }
    }
}

impl Known {
    /// Adds what other days of the same rows have.
    pub(in crate::array) fn merge(all: &mut Vec<Known>, others: Vec<Known>) {
        all.resize(all.len().max(others.len()), Known::default());
        for (all, other) in all.iter_mut().zip(others) {
            all.last = all.last.max(other.last);
            if other.first != NEVER && (all.first == NEVER || other.first < all.first) {
                all.first = other.first;
            }
        }
    }
}

/// Returns what is known of each of the first `rows` rows of a shard in its first `days` days. Cells outside of these are
/// of no account: a copy that died has written shards before the metadata that says how much of them counts.
pub(in crate::array) fn known_cells(
    cells: &[u32],
    shard_days: usize,
    first_day: i32,
    rows: usize,
    days: usize,
) -> Vec<Known> {
    let known = |cells: &[u32]| {
        let inside = &cells[..days.min(cells.len())];
        let day = |place: Option<usize>| place.map_or(NEVER, |place| first_day + place as i32);
        Known {
            first: day(inside.iter().position(|&cell| cell != UNKNOWN)),
            last: day(inside.iter().rposition(|&cell| cell != UNKNOWN)),
        }
    };
    cells.chunks_exact(shard_days.max(1)).take(rows).map(known).collect()
}
