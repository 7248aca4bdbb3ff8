//! Equal shares: the number of parts that rows are divided into, and the rows before which the cuts are. Pure
//! arithmetic.

use std::num::NonZeroU64;

/// The wanted division of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartSize {
    /// Into this many parts.
    Count(NonZeroU64),
    /// Into as few parts as have at most this many rows each.
    MaxRows(NonZeroU64),
}

impl PartSize {
    /// Returns how many parts `rows` rows make: at least one, and never more than there are rows.
    pub fn part_count(self, rows: u64) -> u64 {
        let wanted = match self {
            PartSize::Count(count) => count.get(),
            PartSize::MaxRows(most) => rows.div_ceil(most.get()),
        };
        wanted.clamp(1, rows.max(1))
    }

    /// Returns the ranks, counted from 0, of the rows that begin a part, except the first part. They are strictly
    /// ascending. The parts between them differ by one row at most.
    pub fn cut_ranks(self, rows: u64) -> Vec<u64> {
        let parts = self.part_count(rows);
        (1..parts).map(|cut| even_rank(cut, parts, rows)).collect()
    }
}

/// Returns the rank at which the part number `cut` of `parts` begins.
pub(super) fn even_rank(cut: u64, parts: u64, rows: u64) -> u64 {
    (u128::from(cut) * u128::from(rows) / u128::from(parts)) as u64
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sizes(size: PartSize, rows: u64) -> Vec<u64> {
        let mut cuts = size.cut_ranks(rows);
        cuts.insert(0, 0);
        cuts.push(rows);
        cuts.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    #[test]
    fn parts_differ_by_one_row_at_most() {
        for rows in [1, 2, 7, 10, 99, 252_879] {
            for number in [1, 2, 3, 7, 26, 100] {
                let number = NonZeroU64::new(number).unwrap();
                let by_count = sizes(PartSize::Count(number), rows);
                assert_eq!(by_count.len() as u64, number.get().min(rows), "{rows} in {number}");
                assert!(by_count.iter().max().unwrap() - by_count.iter().min().unwrap() <= 1);
                assert!(sizes(PartSize::MaxRows(number), rows).iter().all(|part| *part <= number.get()));
            }
        }
        assert_eq!(PartSize::Count(NonZeroU64::MIN).cut_ranks(0), Vec::<u64>::new());
    }
}
