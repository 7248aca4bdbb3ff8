//! The column `name` of a batch: one text per row, or a dictionary.

use std::ops::Range;

use arrow::array::{Array, ArrayAccessor, AsArray, RecordBatch, StringArray, TypedDictionaryArray};
use arrow::datatypes::Int32Type;

/// The names of a batch's rows.
pub enum Names<'a> {
    /// One text per row.
    Each(&'a StringArray),
    /// One text for many rows.
    Repeated(TypedDictionaryArray<'a, Int32Type, StringArray>),
}

impl<'a> Names<'a> {
    /// Returns the names of `batch`; `None` if it has no text column `name`.
    pub fn of(batch: &'a RecordBatch) -> Option<Names<'a>> {
        let column = batch.column_by_name("name")?;
        match column.as_dictionary_opt::<Int32Type>().and_then(|names| names.downcast_dict()) {
            Some(names) => Some(Names::Repeated(names)),
            None => column.as_string_opt().map(Names::Each),
        }
    }

    /// Returns the name of a row.
    #[inline]
    pub fn of_row(&self, row: usize) -> &'a str {
        match self {
            Names::Each(names) => names.value(row),
            Names::Repeated(names) => names.value(row),
        }
    }

    /// Returns the names in the order of the rows, each with its range of rows.
    pub(super) fn runs(&self) -> impl Iterator<Item = (&'a str, Range<usize>)> {
        let rows = match self {
            Names::Each(names) => names.len(),
            Names::Repeated(names) => names.keys().len(),
        };
        let mut start = 0;
        std::iter::from_fn(move || {
            let name = (start < rows).then(|| self.of_row(start))?;
            let first = start;
            start = (first + 1..rows).find(|row| !self.are_same(first, *row)).unwrap_or(rows);
            Some((name, first..start))
        })
    }

    #[inline]
    fn are_same(&self, one: usize, other: usize) -> bool {
        match self {
            Names::Repeated(names) if names.keys().value(one) == names.keys().value(other) => true,
            _ => self.of_row(one) == self.of_row(other),
        }
    }
}
