//! Makes a server's rows strictly ascending within their range, page after page. Pure. Not here: requests for pages.

use std::cmp::Ordering;

use super::misplaced::Misplaced;
use super::report::Oddities;
use crate::error::Result;
use crate::lake::Partition;
use crate::npm::{DocRow, PackageName};

/// The state of one range that the next page needs.
#[derive(Debug)]
pub(super) struct Sieve {
    range: Partition,
    highest: Option<PackageName>,
    has_seen_end: bool,
    misplaced: Misplaced,
}

/// The rows left of a page.
#[derive(Debug, Default)]
pub(super) struct Sifted {
    /// Strictly ascending, inside the range, and above all earlier rows.
    pub(super) rows: Vec<DocRow>,
    /// Whether any row was new, even if it is not among these rows.
    pub(super) has_new: bool,
    pub(super) oddities: Oddities,
}

impl Sieve {
    pub(super) fn new(range: Partition) -> Self {
        Sieve { range, highest: None, has_seen_end: false, misplaced: Misplaced::default() }
    }

    pub(super) fn range(&self) -> &Partition {
        &self.range
    }

    /// Takes the rows of the next page, without the one that repeats the cursor.
    pub(super) fn sift(&mut self, rows: Vec<DocRow>) -> Result<Sifted> {
        let mut sifted = Sifted { rows: Vec::with_capacity(rows.len()), ..Sifted::default() };
        let mut is_ascending = true;
        for row in rows {
            if !self.range.contains(row.name.as_str()) {
                self.set_aside_stray(row, &mut sifted)?;
                continue;
            }
            if let Some(last) = sifted.rows.last() {
                match last.name.cmp(&row.name) {
                    Ordering::Less => {}
                    Ordering::Equal => is_ascending = false,
                    Ordering::Greater => {
                        is_ascending = false;
                        sifted.oddities.note_out_of_order(&row.name, &last.name);
                    }
                }
            }
            sifted.rows.push(row);
        }
        if !is_ascending {
            sort_and_merge(&mut sifted.rows, &mut sifted.oddities);
        }
        self.set_aside_late(&mut sifted)?;
        if let Some(last) = sifted.rows.last() {
            self.highest = Some(last.name.clone());
            sifted.has_new = true;
        }
        Ok(sifted)
    }

    /// Takes the rows that could not be put in their place, ascending.
    pub(super) fn take_misplaced(&mut self) -> Vec<DocRow> {
        std::mem::take(&mut self.misplaced).into_rows()
    }

    fn set_aside_stray(&mut self, row: DocRow, sifted: &mut Sifted) -> Result<()> {
        // Servers with an inclusive end also give the name that is the end. The next range begins with it.
        if self.range.end.as_deref() == Some(row.name.as_str()) {
            sifted.has_new |= !std::mem::replace(&mut self.has_seen_end, true);
            return Ok(());
        }
        sifted.oddities.note_outside(&row.name, &self.range);
        sifted.has_new |= self.misplaced.add(row)?;
        Ok(())
    }

    /// Takes out the rows that belong before rows of earlier pages.
    fn set_aside_late(&mut self, sifted: &mut Sifted) -> Result<()> {
        let Some(highest) = &self.highest else { return Ok(()) };
        let late = sifted.rows.partition_point(|row| row.name <= *highest);
        for row in sifted.rows.drain(..late) {
            if row.name == *highest {
                sifted.oddities.note_repeated(&row.name);
                continue;
            }
            let name = row.name.clone();
            if self.misplaced.add(row)? {
                sifted.has_new = true;
                sifted.oddities.note_out_of_order(&name, highest);
            } else {
                sifted.oddities.note_repeated(&name);
            }
        }
        Ok(())
    }
}

/// Sorts the rows, and of those with one name keeps the later revision.
fn sort_and_merge(rows: &mut Vec<DocRow>, oddities: &mut Oddities) {
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    rows.dedup_by(|row, kept| {
        let is_same = row.name == kept.name;
        if is_same {
            oddities.note_repeated(&row.name);
            if kept.rev.is_older_than(&row.rev) {
                std::mem::swap(kept, row);
            }
        }
        is_same
    });
}
