//! The difference of two listings: added, changed and removed names.

use super::join::{Join, Named, Pair};
use crate::error::{ErrorKind, Result};
use crate::npm::{Change, ChangeKind, DocRow, PackageName};

impl Named for DocRow {
    fn name(&self) -> &PackageName {
        &self.name
    }
}

/// Yields the changes from `previous` (the lake's rows) to `current` (the registry's listing), by name.
///
/// Both must be strictly ascending by name. A removed name is announced with its last revision. Any other revision is a
/// change, a smaller one too: a package that was deleted and created again begins to count again.
///
/// # Errors
///
/// Those of either sequence; [`ErrorKind::Lake`] for a `previous` out of order, [`ErrorKind::Internal`] for such a
/// `current`. Nothing comes after an error.
///
/// # Caution
///
/// A listing that is cut short looks as if its rest had been removed: act on removals only once it is known to be
/// complete.
pub fn diff<P, C>(previous: P, current: C) -> impl Iterator<Item = Result<Change>>
where
    P: IntoIterator<Item = Result<DocRow>>,
    C: IntoIterator<Item = Result<DocRow>>,
{
    listings(previous, current).filter_map(|pair| pair.map(change).transpose())
}

/// Joins the lake's rows with the registry's, by name.
pub(super) fn listings<P, C>(previous: P, current: C) -> Join<P::IntoIter, C::IntoIter>
where
    P: IntoIterator<Item = Result<DocRow>>,
    C: IntoIterator<Item = Result<DocRow>>,
{
    let previous_what = ("the rows of the lake", ErrorKind::Lake);
    let current_what = ("the rows of the registry", ErrorKind::Internal);
    Join::new(previous.into_iter(), previous_what, current.into_iter(), current_what)
}

fn change(pair: Pair<DocRow, DocRow>) -> Option<Change> {
    let kind = change_kind(&pair)?;
    let (Pair::Left(row) | Pair::Right(row) | Pair::Both(_, row)) = pair;
    Some(Change { name: row.name, rev: row.rev, kind, seq: None })
}

/// Returns how a name changed from the lake's row to the registry's, if it did.
pub(super) fn change_kind(pair: &Pair<DocRow, DocRow>) -> Option<ChangeKind> {
    match pair {
        Pair::Left(_) => Some(ChangeKind::Removed),
        Pair::Right(_) => Some(ChangeKind::Added),
        Pair::Both(before, now) => (before.rev != now.rev).then_some(ChangeKind::Changed),
    }
}

/// The number of changes of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChangeCounts {
    /// Names that are new to the lake.
    pub added: u64,
    /// Names at another revision.
    pub changed: u64,
    /// Names that the registry no longer lists.
    pub removed: u64,
}

impl ChangeCounts {
    /// Counts one change.
    pub fn add(&mut self, kind: ChangeKind) {
        match kind {
            ChangeKind::Added => self.added += 1,
            ChangeKind::Changed => self.changed += 1,
            ChangeKind::Removed | ChangeKind::Deleted => self.removed += 1,
        }
    }

    /// Returns whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == ChangeCounts::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use proptest::prelude::*;

    use super::*;
    use crate::error::Error;

    type Listing = BTreeMap<String, u8>;

    fn rows(listing: &Listing) -> impl Iterator<Item = Result<DocRow>> + '_ {
        listing.iter().map(|(name, rev)| Ok(DocRow::new(name.as_str(), &format!("{rev}-x"))))
    }

    fn list(rows: &[(&str, &str)]) -> Vec<Result<DocRow>> {
        rows.iter().map(|&(name, rev)| Ok(DocRow::new(name, rev))).collect()
    }

    #[test]
    fn every_kind_of_change_is_reported_in_name_order() {
        let before = list(&[("@a/b", "1-a"), ("gone", "4-a"), ("lodash", "7-a"), ("same", "2-a")]);
        let now = list(&[("@a/b", "2-a"), ("lodash", "1-b"), ("new", "1-a"), ("same", "2-a")]);
        let changes: Result<Vec<_>> = diff(before, now).collect();
        let changes = changes.unwrap();
        let told: Vec<_> =
            changes.iter().map(|change| (change.name.as_str(), change.rev.as_str(), change.kind)).collect();
        assert_eq!(
            told,
            [
                ("@a/b", "2-a", ChangeKind::Changed),
                ("gone", "4-a", ChangeKind::Removed),
                ("lodash", "1-b", ChangeKind::Changed),
                ("new", "1-a", ChangeKind::Added),
            ]
        );
        let mut counts = ChangeCounts::default();
        changes.iter().for_each(|change| counts.add(change.kind));
        assert_eq!(counts, ChangeCounts { added: 1, changed: 2, removed: 1 });
    }

    #[test]
    fn a_sequence_out_of_order_is_refused_and_ends() {
        for unsorted in [&[("b", "1-a"), ("a", "1-a"), ("c", "1-a")][..], &[("a", "1-a"), ("a", "2-a"), ("c", "1-a")]] {
            let told: Vec<_> = diff(list(unsorted), list(&[])).collect();
            assert_eq!(told.len(), 2);
            assert_eq!(told[1].as_ref().unwrap_err().kind(), ErrorKind::Lake);
            let told: Vec<_> = diff(list(&[]), list(unsorted)).collect();
            assert_eq!(told[1].as_ref().unwrap_err().kind(), ErrorKind::Internal);
        }
    }

    #[test]
    fn an_error_of_either_side_is_passed_on_and_ends_the_join() {
        let broken = || vec![Ok(DocRow::new("b", "1-a")), Err(Error::lake("damaged")), Ok(DocRow::new("c", "1-a"))];
        let left: Vec<_> = diff(broken(), list(&[("a", "1-a"), ("b", "1-a"), ("d", "1-a")])).collect();
        assert_eq!(left.len(), 2);
        assert!(left[1].is_err());
        let right: Vec<_> = diff(list(&[("b", "1-a"), ("d", "1-a")]), broken()).collect();
        assert_eq!(right.len(), 1);
        assert!(right[0].is_err());
    }

    proptest! {
        #[test]
        fn it_agrees_with_comparing_two_maps(
            before in proptest::collection::btree_map("[@a-cA-C/é]{1,3}", 0u8..3, 0..40),
            now in proptest::collection::btree_map("[@a-cA-C/é]{1,3}", 0u8..3, 0..40),
        ) {
            let told: Vec<Change> = diff(rows(&before), rows(&now)).collect::<Result<_>>().unwrap();
            prop_assert!(told.windows(2).all(|pair| pair[0].name < pair[1].name));
            let told: HashMap<String, (String, ChangeKind)> = told
                .into_iter()
                .map(|change| (change.name.to_string(), (change.rev.to_string(), change.kind)))
                .collect();

            let mut expected = HashMap::new();
            for (name, rev) in &now {
                match before.get(name) {
                    None => expected.insert(name.clone(), (format!("{rev}-x"), ChangeKind::Added)),
                    Some(old) if old != rev => expected.insert(name.clone(), (format!("{rev}-x"), ChangeKind::Changed)),
                    Some(_) => None,
                };
            }
            for (name, rev) in before.iter().filter(|(name, _)| !now.contains_key(*name)) {
                expected.insert(name.clone(), (format!("{rev}-x"), ChangeKind::Removed));
            }
            prop_assert_eq!(told, expected);
        }

        #[test]
        fn a_listing_does_not_differ_from_itself(
            listing in proptest::collection::btree_map("[@a-c/]{1,3}", 0u8..3, 0..40),
        ) {
            prop_assert_eq!(diff(rows(&listing), rows(&listing)).count(), 0);
        }
    }
}
