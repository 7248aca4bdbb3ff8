//! Scope: which partitions of the lake a run brings up to date. Not here: the names whose documents are fetched in them
//! ([`crate::diff::Selection`]).

use std::collections::BTreeSet;

use super::share::Share;
use crate::diff::Selection;
use crate::lake::{Partition, PartitionSet};

/// The part of the name space that a run brings up to date. A partition is listed whole or not at all, so its shards
/// always hold everything that the registry listed at one time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Scope {
    /// All names.
    #[default]
    All,
    /// The partitions that have names of this range.
    Range(Partition),
    /// A share of all partitions.
    Share(Share),
    /// The partitions of the selected names.
    Selected,
}

impl Scope {
    /// Returns the indices of the partitions in `set`, ascending; `None` for all of them.
    pub(super) fn partitions(&self, set: &PartitionSet, selection: &Selection) -> Option<Vec<usize>> {
        match (self, selection) {
            (Scope::All, _) | (Scope::Selected, Selection::All) => None,
            (Scope::Selected, Selection::None) => Some(Vec::new()),
            (Scope::Selected, Selection::Names(names)) => {
                let indices: BTreeSet<usize> = names.iter().map(|name| set.index_of(name.as_str())).collect();
                Some(indices.into_iter().collect())
            }
            (Scope::Share(share), _) => Some(share.partitions(set.count()).collect()),
            (Scope::Range(range), _) => {
                let first = range.start.as_deref().map_or(0, |start| set.index_of(start));
                let begins_in_range =
                    |index: &usize| set.get(*index).start.is_none_or(|start| range.is_below_end(&start));
                Some((first..set.count()).take_while(begins_in_range).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npm::PackageName;

    #[test]
    fn a_partition_is_in_scope_if_it_can_hold_a_name_of_the_range() {
        let boundaries = ["b", "d", "f"].map(str::to_owned).to_vec();
        let set = PartitionSet { format_version: 1, rows_per_partition: None, pivots: Vec::new(), boundaries };
        let range = |start: Option<&str>, end: Option<&str>| {
            let range = Partition { start: start.map(str::to_owned), end: end.map(str::to_owned) };
            Scope::Range(range).partitions(&set, &Selection::None)
        };
        assert_eq!(range(None, None), Some(vec![0, 1, 2, 3]));
        assert_eq!(range(Some("b"), Some("d")), Some(vec![1]));
        assert_eq!(range(Some("c"), Some("e")), Some(vec![1, 2]));
        assert_eq!(range(Some("x"), None), Some(vec![3]));
        assert_eq!(range(None, Some("a")), Some(vec![0]));
        let names = Selection::Names(["a", "e", "e2"].map(PackageName::from).into());
        assert_eq!(Scope::Selected.partitions(&set, &names), Some(vec![0, 2]));
        assert_eq!(Scope::All.partitions(&set, &names), None);
    }
}
