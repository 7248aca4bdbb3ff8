//! Places the ends of row groups at names that a hash selects. So a change moves few ends, and an unchanged row group
//! has the same bytes as before.
//!
//! An end depends only on the rows since the last end, and on whether the next row has another name. So a merge can
//! copy a row group with unchanged rows whenever the last end is at its beginning.

use twox_hash::XxHash64;

/// The mean size of row groups as a weight: a row weighs 1, a document weighs its bytes plus [`DOCUMENT_WEIGHT`].
///
/// The chance of a name to be selected is its weight divided by `spacing`. So the mean distance between selected names
/// is `spacing`, whatever the weight of a name. A row group ends after the first selected name from `least` on, after
/// any name from `most` on, and within a name at `limit`. Sizes differ little, because a changed name is most likely in
/// a large row group.
#[derive(Debug, Clone, Copy)]
pub(super) struct GroupSize {
    pub(super) target: u64,
}

/// The weight of a document in addition to its bytes. It limits the rows of a row group of small documents.
pub(super) const DOCUMENT_WEIGHT: u64 = 4 << 10;

impl GroupSize {
    fn spacing(self) -> u64 {
        self.target / 4
    }

    fn least(self) -> u64 {
        self.target - self.spacing()
    }

    fn most(self) -> u64 {
        self.target * 2
    }

    pub(super) fn limit(self) -> u64 {
        self.target * 4
    }
}

/// The part of the current row group's state that determines its end.
#[derive(Debug)]
pub(super) struct GroupCutter {
    size: GroupSize,
    /// The name of the last row.
    name: String,
    /// The weight of this name's rows in this row group.
    name_weight: u64,
    group_weight: u64,
}

impl GroupCutter {
    pub(super) fn new(size: GroupSize) -> Self {
        GroupCutter { size, name: String::new(), name_weight: 0, group_weight: 0 }
    }

    /// Takes the name of the next rows. Returns whether the row group ends before them.
    pub(super) fn begin_name(&mut self, name: &str) -> bool {
        if self.name_weight > 0 && self.name == name {
            return false;
        }
        let is_end = self.group_weight >= self.size.least()
            && (self.group_weight >= self.size.most() || self.is_last_name_selected());
        if is_end {
            self.begin_group();
        }
        self.name_weight = 0;
        self.name.clear();
        self.name.push_str(name);
        is_end
    }

    /// Takes a row of the name. Returns whether the row group ends after it, within the name.
    #[inline]
    pub(super) fn add_row(&mut self, weight: u64) -> bool {
        self.name_weight += weight;
        self.group_weight += weight;
        let is_end = self.group_weight >= self.size.limit();
        if is_end {
            self.begin_group();
        }
        is_end
    }

    /// Begins a row group.
    pub(super) fn begin_group(&mut self) {
        self.name_weight = 0;
        self.group_weight = 0;
    }

    fn is_last_name_selected(&self) -> bool {
        let hash = XxHash64::oneshot(0, self.name.as_bytes());
        // The hash, spread evenly over the numbers below the spacing.
        let place = (u128::from(hash) * u128::from(self.size.spacing())) >> u64::BITS;
        place < u128::from(self.name_weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: GroupSize = GroupSize { target: 1_000 };

    /// Returns the weights of the row groups for names with the given numbers of rows.
    fn groups(names: impl IntoIterator<Item = (String, u64)>) -> Vec<u64> {
        let mut cutter = GroupCutter::new(SIZE);
        let mut groups = vec![0];
        for (name, rows) in names {
            if cutter.begin_name(&name) {
                groups.push(0);
            }
            for _ in 0..rows {
                *groups.last_mut().unwrap_or(&mut 0) += 1;
                if cutter.add_row(1) {
                    groups.push(0);
                }
            }
        }
        groups
    }

    #[test]
    fn groups_have_their_sizes_whatever_names_weigh() {
        for rows in [1, 7, 90, 400] {
            let groups = groups((0..200_000 / rows).map(|number| (format!("name-{number}"), rows)));
            let (_, whole) = groups.split_last().unwrap_or((&0, &[]));
            assert!(whole.iter().all(|weight| (750..2_000 + rows).contains(weight)), "{rows}: {whole:?}");
            let mean = 200_000 / groups.len() as u64;
            assert!((750..1_200).contains(&mean), "names of {rows} rows: {mean}");
        }
    }

    #[test]
    fn a_name_that_weighs_more_than_a_group_is_cut_at_the_limit() {
        let found = groups([("a".to_owned(), 10), ("b".to_owned(), 10_000), ("c".to_owned(), 5)]);
        let before: Vec<u64> = found.iter().copied().take(3).collect();
        assert_eq!(before, [4_000, 4_000, 2_010]);
        assert_eq!(found.iter().sum::<u64>(), 10_015);
    }

    #[test]
    fn groups_after_a_change_are_those_of_before() {
        let name = |number: u64| (format!("name-{number}"), number % 40 + 1);
        let before = groups((0..5_000).map(name));
        let after = groups((0..5_000).filter(|number| *number != 2_500).map(name));
        let same_at = |ends: fn(&[u64]) -> Vec<u64>| {
            ends(&before).iter().zip(ends(&after)).take_while(|(one, other)| **one == *other).count()
        };
        let (front, back) = (same_at(<[u64]>::to_vec), same_at(|groups| groups.iter().rev().copied().collect()));
        assert!(front + back + 3 >= before.len(), "{front} and {back} of {}", before.len());
    }
}
