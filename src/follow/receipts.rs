//! Receipts: the rows of the feed that were taken not long ago, so that a row that is read again is no news.
//!
//! They save look-ups in the lake, which knows the same; so they may be dropped at any time, and are not kept over a
//! restart.

use std::collections::HashMap;

use crate::npm::{ChangeRow, PackageName, Revision};

/// The most receipts that are kept. npm's feed has some 2,000 rows in two hours.
pub const MOST_RECEIPTS: usize = 100_000;

/// The last row of each name that was taken, with the time.
#[derive(Debug, Clone, Default)]
pub struct Receipts {
    of: HashMap<PackageName, Receipt>,
}

#[derive(Debug, Clone)]
struct Receipt {
    rev: Revision,
    is_deleted: bool,
    at_us: i64,
}

impl Receipts {
    /// Returns whether just this row was taken.
    pub fn has(&self, row: &ChangeRow) -> bool {
        self.of.get(&row.name).is_some_and(|known| known.rev == row.rev && known.is_deleted == row.is_deleted)
    }

    /// Notes rows that were taken now. If there are too many, all earlier ones are dropped.
    pub fn take(&mut self, rows: &[ChangeRow], now_us: i64) {
        if self.of.len() + rows.len() > MOST_RECEIPTS {
            self.of.clear();
        }
        for row in rows.iter().take(MOST_RECEIPTS) {
            let receipt = Receipt { rev: row.rev.clone(), is_deleted: row.is_deleted, at_us: now_us };
            self.of.insert(row.name.clone(), receipt);
        }
    }

    /// Drops the receipts from before `at_us`.
    pub fn drop_before(&mut self, at_us: i64) {
        self.of.retain(|_, receipt| receipt.at_us >= at_us);
    }

    /// Drops all.
    pub fn clear(&mut self) {
        self.of.clear();
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }
}
