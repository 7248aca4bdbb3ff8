//! Misplaced rows: kept aside in bounded memory, and merged back into their place afterwards.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::error::{Error, ErrorKind, Result};
use crate::npm::{DocRow, PackageName, Revision};

/// The most rows kept aside of a scan, and of each range in progress, some 10 MB. A case-folding server misplaces the
/// 3,000 names of npm that have capital letters. A server that misplaces more than this sorts by other rules
/// altogether, or ignores the keys.
pub(super) const MAX_MISPLACED_ROWS: usize = 100_000;

/// Rows by name, each once, with the latest revision seen.
#[derive(Debug, Default)]
pub(super) struct Misplaced {
    rows: BTreeMap<PackageName, Revision>,
}

impl Misplaced {
    /// Keeps a row aside; `false` if its name was there already.
    pub(super) fn add(&mut self, row: DocRow) -> Result<bool> {
        if self.rows.len() >= MAX_MISPLACED_ROWS && !self.rows.contains_key(&row.name) {
            return Err(Error::new(
                ErrorKind::Network,
                format!("the registry listed more than {MAX_MISPLACED_ROWS} names out of order or out of their range"),
            )
            .hint(
                "it may ignore startkey or endkey, or not sort by bytes; scan it in one range, with [null] as pivots",
            ));
        }
        match self.rows.entry(row.name) {
            Entry::Vacant(entry) => {
                entry.insert(row.rev);
                Ok(true)
            }
            Entry::Occupied(mut entry) => {
                if entry.get().is_older_than(&row.rev) {
                    entry.insert(row.rev);
                }
                Ok(false)
            }
        }
    }

    pub(super) fn into_rows(self) -> Vec<DocRow> {
        self.rows.into_iter().map(|(name, rev)| DocRow { name, rev }).collect()
    }
}

/// Merges [`super::ScanReport::misplaced`] into the rows of the same scan: each name once, strictly ascending, with the
/// later of its revisions.
///
/// Both must be ascending. An error is passed on and ends the sequence.
pub fn with_misplaced<I>(rows: I, misplaced: Vec<DocRow>) -> impl Iterator<Item = Result<DocRow>>
where
    I: IntoIterator<Item = Result<DocRow>>,
{
    let mut rows = rows.into_iter().fuse().peekable();
    let mut misplaced = misplaced.into_iter().peekable();
    let mut is_over = false;
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let Some(Ok(row)) = rows.peek() else {
            // An error or the end of the rows comes before the rows left aside.
            let next = rows.next().or_else(|| misplaced.next().map(Ok));
            is_over = !matches!(next, Some(Ok(_)));
            return next;
        };
        if misplaced.peek().is_some_and(|aside| aside.name < row.name) {
            return misplaced.next().map(Ok);
        }
        let aside = misplaced.next_if(|aside| aside.name == row.name);
        let later = |row: DocRow| match aside {
            Some(aside) if row.rev.is_older_than(&aside.rev) => aside,
            _ => row,
        };
        rows.next().map(|row| row.map(later))
    })
}
