//! The package axis: the row of each name in every array. A row is given once and never moves; the row of a package that
//! is gone stays. Not here: its file (`axis_file`), and the names of the lake (`pipeline`).

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use jiff::civil::Date;

/// The names in the order of their rows. Takes about 60 bytes a name.
#[derive(Debug, Clone, Default)]
pub struct PackageAxis {
    text: String,
    /// The end of each name in `text`.
    ends: Vec<u64>,
    since: Vec<Date>,
    gone: Vec<Option<Date>>,
    rows_by_name: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl PackageAxis {
    /// Returns the number of rows.
    pub fn rows(&self) -> u32 {
        self.ends.len() as u32
    }

    /// Returns the name of a row, empty if there is no such row.
    pub fn name(&self, row: u32) -> &str {
        name_at(&self.text, &self.ends, row)
    }

    /// Returns the row of a name.
    pub fn row(&self, name: &str) -> Option<u32> {
        self.rows_by_name.find(self.hasher.hash_one(name), |&row| self.name(row) == name).copied()
    }

    /// Returns the day on which a row was added.
    pub fn since(&self, row: u32) -> Option<Date> {
        self.since.get(row as usize).copied()
    }

    /// Returns the day on which a package was found to be gone from the lake; `None` if it is there.
    pub fn gone(&self, row: u32) -> Option<Date> {
        self.gone.get(row as usize).copied().flatten()
    }

    /// Returns whether the package of a row is gone from the lake.
    pub fn is_gone(&self, row: u32) -> bool {
        self.gone(row).is_some()
    }

    /// Adds a row for a name, and returns it; the row that the name already has, if there is one.
    pub fn add(&mut self, name: &str, since: Date) -> u32 {
        let hash = self.hasher.hash_one(name);
        let PackageAxis { text, ends, rows_by_name, hasher, .. } = self;
        if let Some(&row) = rows_by_name.find(hash, |&row| name_at(text, ends, row) == name) {
            return row;
        }
        let row = ends.len() as u32;
        text.push_str(name);
        ends.push(text.len() as u64);
        rows_by_name.insert_unique(hash, row, |&row| hasher.hash_one(name_at(text, ends, row)));
        self.since.push(since);
        self.gone.push(None);
        row
    }

    /// Notes that the package of a row is gone since a day, or that it is there. A package that was gone before keeps the
    /// first day. Returns whether that changed anything.
    pub fn set_gone(&mut self, row: u32, gone: Option<Date>) -> bool {
        match self.gone.get_mut(row as usize) {
            Some(held) if held.is_some() != gone.is_some() => {
                *held = gone;
                true
            }
            _ => false,
        }
    }
}

fn name_at<'a>(text: &'a str, ends: &[u64], row: u32) -> &'a str {
    let row = row as usize;
    let start = row.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or_default() as usize;
    ends.get(row).and_then(|&end| text.get(start..end as usize)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_name_keeps_its_row() {
        let (first, second) = (date(2026, 1, 1), date(2026, 2, 1));
        let mut axis = PackageAxis::default();
        let rows: Vec<u32> = ["react", "a", "", "@scope/é", "a"].map(|name| axis.add(name, first)).to_vec();
        assert_eq!(rows, [0, 1, 2, 3, 1]);
        assert_eq!(axis.add("b", second), 4);
        assert_eq!(axis.rows(), 5);
        for (row, name) in ["react", "a", "", "@scope/é", "b"].into_iter().enumerate() {
            assert_eq!((axis.name(row as u32), axis.row(name)), (name, Some(row as u32)));
        }
        assert_eq!((axis.row("c"), axis.name(5), axis.since(5)), (None, "", None));
        assert_eq!((axis.since(1), axis.since(4)), (Some(first), Some(second)));
    }

    #[test]
    fn a_package_is_gone_since_the_first_day_until_it_is_back() {
        let day = date(2026, 1, 1);
        let mut axis = PackageAxis::default();
        axis.add("a", day);
        assert!(!axis.set_gone(0, None) && axis.set_gone(0, Some(day)));
        assert!(!axis.set_gone(0, Some(date(2026, 2, 1))));
        assert_eq!((axis.gone(0), axis.is_gone(0)), (Some(day), true));
        assert!(axis.set_gone(0, None) && !axis.is_gone(0) && !axis.set_gone(9, Some(day)));
    }
}
