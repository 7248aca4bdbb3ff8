//! Derives a lake's partition set from the rows that a first scan counted: partitions of about equal size, whatever the
//! pivots were. Pure. Not here: the scan itself, and the writing of the set.
//!
//! The rows, sorted by name, are cut at equal distances. A cut moves to the nearest pivot if that keeps both neighbours
//! between half and one and a half of the requested size. Otherwise it falls inside a range, and its boundary is the
//! shortest text that separates the two names beside it. So few, many and uneven pivots give similar sets.

use std::num::NonZeroU64;

use super::balance::even_rank;
use super::{PartitionSet, Pivots};
use crate::error::{Error, Result};
use crate::version::FORMAT_VERSION;

/// The default number of rows per partition: a table then has some 450 files for the whole registry, and one
/// partition's documents are refreshed in minutes.
pub const DEFAULT_ROWS_PER_PARTITION: NonZeroU64 = NonZeroU64::new(10_000).unwrap();

/// Returns the partition set of the ranges as they are (`--partitions exact`).
pub fn exact_partition_set(pivots: &Pivots) -> PartitionSet {
    PartitionSet {
        format_version: FORMAT_VERSION,
        rows_per_partition: None,
        pivots: pivots.keys().to_vec(),
        boundaries: pivots.keys().to_vec(),
    }
}

/// The place where two partitions meet, before or after the names there are known.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cut {
    /// At a pivot.
    Pivot(String),
    /// Before the row of this rank, counted from 0; its boundary needs the names around it.
    Rank(u64),
}

/// A partition set under construction: takes the counts first, then every name once in order, and gives the set.
#[derive(Debug)]
pub struct Derivation {
    rows_per_partition: NonZeroU64,
    pivots: Vec<String>,
    row_count: u64,
    cuts: Vec<Cut>,
    boundaries: Vec<String>,
    rows_seen: u64,
    last_name: String,
}

impl Derivation {
    /// Plans the cuts from the rows that were counted in each range of the pivots.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Internal`] if there is not one count for each range.
    pub fn new(pivots: &Pivots, rows_by_range: &[u64], rows_per_partition: NonZeroU64) -> Result<Self> {
        if rows_by_range.len() != pivots.range_count() {
            let (counts, ranges) = (rows_by_range.len(), pivots.range_count());
            return Err(Error::internal(format!("{counts} counts of rows for {ranges} ranges")));
        }
        let row_count = rows_by_range.iter().sum();
        Ok(Derivation {
            rows_per_partition,
            pivots: pivots.keys().to_vec(),
            row_count,
            cuts: plan_cuts(pivots.keys(), rows_by_range, row_count, rows_per_partition.get()),
            boundaries: Vec::new(),
            rows_seen: 0,
            last_name: String::new(),
        })
    }

    /// Returns how many partitions there will be.
    pub fn partition_count(&self) -> usize {
        self.cuts.len() + 1
    }

    /// Takes the next name. Names come in order, and as many as were counted.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Internal`] for a name that is not above the one before it.
    pub fn push(&mut self, name: &str) -> Result<()> {
        if self.rows_seen > 0 && name <= self.last_name.as_str() {
            return Err(Error::internal(format!("the name {name:?} came after {:?}", self.last_name)));
        }
        while let Some(Cut::Pivot(pivot)) = self.cuts.get(self.boundaries.len()) {
            self.boundaries.push(pivot.clone());
        }
        if self.cuts.get(self.boundaries.len()) == Some(&Cut::Rank(self.rows_seen)) {
            self.boundaries.push(boundary_between(&self.last_name, name).to_owned());
        }
        self.rows_seen += 1;
        self.last_name.clear();
        self.last_name.push_str(name);
        Ok(())
    }

    /// Returns the set.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Internal`] if the names differ from the counted ones.
    pub fn finish(mut self) -> Result<PartitionSet> {
        while let Some(Cut::Pivot(pivot)) = self.cuts.get(self.boundaries.len()) {
            self.boundaries.push(pivot.clone());
        }
        if self.rows_seen != self.row_count {
            let (seen, counted) = (self.rows_seen, self.row_count);
            return Err(Error::internal(format!("{seen} names came where {counted} rows were counted")));
        }
        if let Some(pair) = self.boundaries.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(Error::internal(format!("the boundary {:?} came after {:?}", pair[1], pair[0])));
        }
        Ok(PartitionSet {
            format_version: FORMAT_VERSION,
            rows_per_partition: Some(self.rows_per_partition.get()),
            pivots: self.pivots,
            boundaries: self.boundaries,
        })
    }
}

/// Returns the shortest prefix of `name` that sorts above `before`. `name` must sort above `before`; the two differ in
/// the character after their common prefix.
pub fn boundary_between<'name>(before: &str, name: &'name str) -> &'name str {
    let mut of_before = before.chars();
    for (at, character) in name.char_indices() {
        if of_before.next() != Some(character) {
            return &name[..at + character.len_utf8()];
        }
    }
    name
}

fn plan_cuts(pivots: &[String], rows_by_range: &[u64], row_count: u64, rows_per_partition: u64) -> Vec<Cut> {
    let half_partition = rows_per_partition / 2;
    let partition_count = (row_count.saturating_add(half_partition) / rows_per_partition).clamp(1, row_count.max(1));
    // An even share is between 3/4 and 5/4 of the requested size once there are two. A cut may move from its even place
    // by half of the distance to half, or to one and a half, of that size; its neighbour may move as far.
    let even_rows = row_count / partition_count;
    let to_least = even_rows.saturating_sub(half_partition);
    let to_most = rows_per_partition.saturating_add(half_partition).saturating_sub(even_rows + 1);
    let leeway_rows = to_least.min(to_most) / 2;

    let known = known_ranks(pivots, rows_by_range);
    (1..partition_count)
        .map(|cut| even_rank(cut, partition_count, row_count))
        .map(|rank| match nearest(&known, rank).filter(|(near, _)| near.abs_diff(rank) <= leeway_rows) {
            Some((_, pivot)) => Cut::Pivot(pivot.to_owned()),
            None => Cut::Rank(rank),
        })
        .collect()
}

/// Returns the rank of each pivot, ascending, with that pivot. Empty ranges give several pivots the same rank: then the
/// shortest is used, or of equally short ones the least.
fn known_ranks<'pivots>(pivots: &'pivots [String], rows_by_range: &[u64]) -> Vec<(u64, &'pivots str)> {
    let mut known: Vec<(u64, &str)> = Vec::new();
    let mut rank = 0;
    for (pivot, rows_below) in pivots.iter().zip(rows_by_range) {
        rank += rows_below;
        match known.last_mut() {
            Some(last) if last.0 == rank => {
                if pivot.len() < last.1.len() {
                    last.1 = pivot;
                }
            }
            _ => known.push((rank, pivot)),
        }
    }
    known
}

fn nearest<'pivots>(known: &[(u64, &'pivots str)], rank: u64) -> Option<(u64, &'pivots str)> {
    let above = known.partition_point(|(near, _)| *near < rank);
    let candidates = [above.checked_sub(1), Some(above)];
    let candidates = candidates.into_iter().flatten().filter_map(|index| known.get(index));
    candidates.min_by_key(|(near, _)| near.abs_diff(rank)).copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn derive(names: &BTreeSet<String>, pivots: &Pivots, rows_per_partition: u64) -> PartitionSet {
        let counts = sizes(&exact_partition_set(pivots), names);
        let mut derivation = Derivation::new(pivots, &counts, NonZeroU64::new(rows_per_partition).unwrap()).unwrap();
        let expected = derivation.partition_count();
        for name in names {
            derivation.push(name).unwrap();
        }
        let set = derivation.finish().unwrap();
        assert_eq!(set.count(), expected);
        set
    }

    fn sizes(set: &PartitionSet, names: &BTreeSet<String>) -> Vec<u64> {
        let mut sizes = vec![0; set.count()];
        for name in names {
            sizes[set.index_of(name)] += 1;
        }
        sizes
    }

    fn numbered(count: u32) -> BTreeSet<String> {
        (0..count).map(|number| format!("name-{number:06}")).collect()
    }

    fn pivots(keys: impl IntoIterator<Item = impl Into<String>>) -> Pivots {
        let keys: BTreeSet<String> = keys.into_iter().map(Into::into).collect();
        Pivots::new(keys.into_iter().collect()).unwrap()
    }

    #[test]
    fn few_and_many_pivots_end_in_like_partitions() {
        let names = numbered(25_000);
        let few = derive(&names, &pivots(["b", "o"]), 1_000);
        let many = derive(&names, &pivots(numbered(25_000).into_iter().step_by(7)), 1_000);
        assert_eq!(few.count(), 25);
        assert_eq!(many.count(), 25);
        assert!(sizes(&few, &names).iter().all(|&size| size == 1_000));
        assert!(sizes(&many, &names).iter().all(|&size| (990..=1_010).contains(&size)), "{:?}", sizes(&many, &names));
        assert!(many.boundaries.iter().all(|boundary| many.pivots.contains(boundary)));
    }

    #[test]
    fn a_cut_prefers_a_pivot_that_is_near_and_takes_none_that_is_far() {
        let names = numbered(300);
        let near = derive(&names, &pivots(["name-000090", "name-000205"]), 100);
        assert_eq!(near.boundaries, ["name-000090", "name-000205"]);
        let far = derive(&names, &pivots(["name-000050", "name-000150"]), 100);
        assert_eq!(far.boundaries, ["name-0001", "name-0002"]);
    }

    #[test]
    fn of_pivots_without_rows_between_them_the_shortest_is_taken() {
        let names: BTreeSet<String> = numbered(10).into_iter().chain((0..10).map(|n| format!("z{n}"))).collect();
        let set = derive(&names, &pivots(["oaa", "ob", "oc", "t"]), 10);
        assert_eq!(set.boundaries, ["t"]);
    }

    #[test]
    fn a_small_registry_is_one_partition() {
        let names = numbered(14);
        assert_eq!(derive(&names, &pivots(["a", "name-000007"]), 10).count(), 1);
        assert_eq!(derive(&BTreeSet::new(), &pivots(["a", "b"]), 10).count(), 1);
        assert_eq!(derive(&numbered(15), &pivots(["a"]), 10).count(), 2);
    }

    #[test]
    fn exact_keeps_the_ranges() {
        let set = exact_partition_set(&pivots(["a", "b", "c"]));
        assert_eq!(set.boundaries, ["a", "b", "c"]);
        assert_eq!((set.count(), set.rows_per_partition), (4, None));
    }

    #[test]
    fn a_boundary_is_the_shortest_beginning_above_the_name_before_it() {
        assert_eq!(boundary_between("lodash", "lodash.map"), "lodash.");
        assert_eq!(boundary_between("@a/b", "@b/a"), "@b");
        assert_eq!(boundary_between("", "z"), "z");
        assert_eq!(boundary_between("a\u{e9}", "a\u{ea}b"), "a\u{ea}");
        assert_eq!(boundary_between("a", "a\u{1f600}b"), "a\u{1f600}");
    }

    #[test]
    fn other_names_than_were_counted_are_refused() {
        let derivation = |names: &[&str]| {
            let mut derivation = Derivation::new(&pivots(["m"]), &[1, 1], NonZeroU64::MIN).unwrap();
            names.iter().try_for_each(|name| derivation.push(name)).and_then(|()| derivation.finish())
        };
        assert_eq!(derivation(&["a", "z"]).unwrap().boundaries, ["m"]);
        assert!(derivation(&["a"]).is_err());
        assert!(derivation(&["z", "a"]).is_err());
        assert!(derivation(&["a", "a"]).is_err());
        assert!(Derivation::new(&pivots(["m"]), &[1], NonZeroU64::MIN).is_err());
    }

    proptest! {
        #[test]
        fn partitions_hold_every_name_once_and_have_the_wanted_size(
            names in proptest::collection::btree_set("[@A-Za-c_é😀/-]{1,6}", 0..200),
            keys in proptest::collection::btree_set("[@A-Za-c_é😀/-]{1,4}", 0..60),
            rows_per_partition in 1u64..40,
        ) {
            let set = derive(&names, &pivots(keys), rows_per_partition);
            prop_assert!(set.boundaries.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(set.boundaries.iter().all(|boundary| !boundary.is_empty()));
            let by_contains: Vec<u64> =
                set.iter().map(|part| names.iter().filter(|name| part.contains(name)).count() as u64).collect();
            prop_assert_eq!(by_contains.iter().sum::<u64>(), names.len() as u64);
            prop_assert_eq!(&by_contains, &sizes(&set, &names));
            let without_pivots = derive(&names, &Pivots::default(), rows_per_partition);
            prop_assert_eq!(set.count(), without_pivots.count());
            if set.count() > 1 {
                for size in by_contains {
                    prop_assert!(2 * size + 1 >= rows_per_partition, "{size} of {rows_per_partition}");
                    prop_assert!(2 * size <= 3 * rows_per_partition + 1, "{size} of {rows_per_partition}");
                }
            } else {
                prop_assert!(2 * (names.len() as u64) < 3 * rows_per_partition + 1);
            }
        }

        #[test]
        fn a_boundary_parts_its_neighbours(before in "[a-cé😀]{0,4}", name in "[a-cé😀]{1,5}") {
            prop_assume!(before < name);
            let boundary = boundary_between(&before, &name);
            prop_assert!(before.as_str() < boundary && boundary <= name.as_str());
            prop_assert!(name.starts_with(boundary));
        }
    }
}
