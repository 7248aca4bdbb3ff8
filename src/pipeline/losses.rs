//! Losses: how many names of the lake a new listing lacks, and whether that is plausible.
//!
//! Names that are not listed are dropped from the lake. A listing that a faulty server or proxy truncated must not be
//! accepted: so many names are never unpublished at once.

use crate::error::{Error, ErrorKind};
use crate::lake::Partition;

/// Losing fewer names than this is always believed: a small registry is emptied in a moment, and npm loses some
/// hundreds a day.
const ALWAYS_BELIEVED: u64 = 100;
/// Of all names of the lake, one in this many may go: npm lost less in any month.
const BELIEVED_OF_ALL: u64 = 100;
/// Of the names of one partition, one in this many may go: similar names are often one spammer's, and go together.
const BELIEVED_OF_PARTITION: u64 = 2;
/// Of the names that the registry claims to have, one in this many may be missing from its listing: names come and go
/// during the listing, and some servers count names that they do not list.
const BELIEVED_MISSING: u64 = 1_000;

/// How many names a partition held, and how many are listed for it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartitionLoss {
    pub(super) partition: Partition,
    pub(super) held: u64,
    pub(super) listed: u64,
}

impl PartitionLoss {
    /// Returns the least number of names that go; more may go if others came.
    fn lost(&self) -> u64 {
        self.held.saturating_sub(self.listed)
    }
}

/// Returns whether too many of `total` names are missing from a listing to be explained by changes during the listing.
pub(super) fn lists_too_few(missing: u64, total: u64) -> bool {
    missing * BELIEVED_MISSING > total
}

/// Returns why a listing is not believed, `None` if it is believed. `missing` is how many names fewer were listed than
/// the registry claims to have, and the claimed number, if the registry states it.
pub(super) fn disbelief(losses: &[PartitionLoss], missing: Option<(u64, u64)>) -> Option<String> {
    let held: u64 = losses.iter().map(|loss| loss.held).sum();
    let lost: u64 = losses.iter().map(PartitionLoss::lost).sum();
    if lost > ALWAYS_BELIEVED.max(held / BELIEVED_OF_ALL) {
        return Some(format!("it lacks {lost} of the {held} names that the lake holds"));
    }
    if let Some((missing, total)) = missing
        && lost > 0
        && lists_too_few(missing, total)
    {
        return Some(format!(
            "the registry says that it has {total} names and lists {missing} fewer, and {lost} of the lake's are not listed"
        ));
    }
    let emptied = |loss: &&PartitionLoss| loss.lost() > ALWAYS_BELIEVED.max(loss.held / BELIEVED_OF_PARTITION);
    let emptied = losses.iter().find(emptied)?;
    Some(format!(
        "it lacks {} of the {} names that the lake holds in {}",
        emptied.lost(),
        emptied.held,
        emptied.partition
    ))
}

/// Returns the error of a run that was given such a listing. Nothing was changed.
pub(super) fn unbelievable(why: &str) -> Error {
    Error::new(ErrorKind::Network, format!("the registry's listing is implausible: {why}")).hint(
        "nothing was deleted; run the same command again later, or all-docs ingest --accept-removals if those packages are gone",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(counts: &[(u64, u64)]) -> Vec<PartitionLoss> {
        counts.iter().map(|&(held, listed)| PartitionLoss { partition: Partition::ALL, held, listed }).collect()
    }

    #[test]
    fn losses_of_an_ordinary_day_are_accepted() {
        assert_eq!(disbelief(&losses(&[(10_000, 9_990), (10_000, 10_400)]), Some((5, 20_390))), None);
        assert_eq!(disbelief(&losses(&[(100, 0)]), None), None, "a small registry may be emptied");
        assert_eq!(disbelief(&losses(&[(0, 500)]), Some((0, 500))), None);
        assert_eq!(disbelief(&[], Some((9_000, 10_000))), None, "nothing can be lost from an empty lake");
        assert_eq!(disbelief(&losses(&[(10_000, 10_000)]), Some((9_000, 19_000))), None, "nothing would be dropped");
    }

    #[test]
    fn a_listing_that_was_cut_short_is_not() {
        let of_all = disbelief(&losses(&[(10_000, 9_800), (10_000, 9_999)]), None);
        assert!(of_all.is_some_and(|why| why.contains("201 of the 20000")));
        let many = vec![(10_000, 10_000); 99];
        let emptied = disbelief(&losses(&[many.as_slice(), &[(1_000, 0)]].concat()), None);
        assert!(emptied.is_some_and(|why| why.contains("1000 of the 1000 names that the lake holds in")));
        let of_few = disbelief(&losses(&[(700, 600)]), Some((100, 700)));
        assert!(of_few.is_some_and(|why| why.contains("lists 100 fewer")), "they are not gone, they are not listed");
        let by_own_count = disbelief(&losses(&[(100_000, 99_950)]), Some((150, 100_100)));
        assert!(by_own_count.is_some_and(|why| why.contains("lists 150 fewer")));
    }

    #[test]
    fn names_that_came_elsewhere_hide_no_loss() {
        assert!(disbelief(&losses(&[(1_000, 100), (1_000, 1_900)]), None).is_some());
    }
}
