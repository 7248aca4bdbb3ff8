//! Sorted names, and whether they have a name.

use std::cmp::Ordering;

use arrow::array::{Array, StringArray};

/// Some names, ascending, each once.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::query) struct Names(StringArray);

/// Looks names up that mostly come in their order: each look-up begins where the one before ended.
#[derive(Debug)]
pub(super) struct Cursor<'n> {
    names: &'n Names,
    /// The place of the least name that is not below the last one that was looked up.
    place: usize,
}

impl Names {
    /// Makes it of names in any order.
    pub(super) fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Names {
        let mut names: Vec<&str> = names.into_iter().collect();
        names.sort();
        names.dedup();
        Names(StringArray::from(names))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the name at a place, which must be there.
    pub(super) fn get(&self, place: usize) -> &str {
        self.0.value(place)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|place| self.get(place))
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.from(name).is_ok()
    }

    /// Returns whether it has a name of a range.
    pub(super) fn has_any_of(&self, start: Option<&str>, end: Option<&str>) -> bool {
        let first = start.map_or(0, |start| self.from(start).unwrap_or_else(|place| place));
        first < self.len() && end.is_none_or(|end| self.get(first) < end)
    }

    pub(super) fn cursor(&self) -> Cursor<'_> {
        Cursor { names: self, place: 0 }
    }

    /// Returns the place of a name, or else the place of the next one.
    fn from(&self, name: &str) -> Result<usize, usize> {
        self.search(name, 0, self.len())
    }

    fn search(&self, name: &str, mut from: usize, mut to: usize) -> Result<usize, usize> {
        while from < to {
            let middle = from.midpoint(to);
            match self.get(middle).cmp(name) {
                Ordering::Less => from = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => to = middle,
            }
        }
        Err(from)
    }
}

impl Cursor<'_> {
    /// Returns whether the names have this one.
    pub(super) fn finds(&mut self, name: &str) -> bool {
        let (names, count) = (self.names, self.names.len());
        let is_behind = self.place > 0 && names.get(self.place - 1) >= name;
        let mut from = if is_behind { 0 } else { self.place };
        let mut step = 1;
        // In names that ascend, the next one is near.
        let mut to = if is_behind { self.place } else { from };
        while !is_behind && to < count && names.get(to) < name {
            from = to + 1;
            to = (to + step).min(count);
            step *= 2;
        }
        let found = match to < count && to == from {
            true if names.get(to) == name => Ok(to),
            true => Err(to),
            false => names.search(name, from, (to + 1).min(count)),
        };
        self.place = found.unwrap_or_else(|place| place);
        found.is_ok()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_range_has_a_name_or_not() {
        let names = Names::of(["m", "c", "c"]);
        assert_eq!(names.iter().collect::<Vec<_>>(), ["c", "m"]);
        for (start, end, has) in [
            (None, None, true),
            (None, Some("c"), false),
            (None, Some("c\0"), true),
            (Some("c"), Some("d"), true),
            (Some("d"), Some("m"), false),
            (Some("m"), None, true),
            (Some("n"), None, false),
        ] {
            assert_eq!(names.has_any_of(start, end), has, "{start:?} {end:?}");
        }
        assert!(!Names::of([]).has_any_of(None, None));
    }

    proptest! {
        #[test]
        fn a_cursor_finds_what_is_there_in_any_order_of_questions(
            names in proptest::collection::vec("[a-d]{0,3}", 0..40),
            asked in proptest::collection::vec("[a-d]{0,3}", 0..60),
            is_sorted in any::<bool>(),
        ) {
            let expected: BTreeSet<&str> = names.iter().map(String::as_str).collect();
            let sorted = Names::of(names.iter().map(String::as_str));
            let mut asked = asked;
            if is_sorted {
                asked.sort();
            }
            let mut cursor = sorted.cursor();
            for name in &asked {
                prop_assert_eq!(cursor.finds(name), expected.contains(name.as_str()), "{}", name);
                prop_assert_eq!(sorted.contains(name), expected.contains(name.as_str()));
            }
        }
    }
}
