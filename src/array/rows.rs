//! Which rows of an array a reader wants, and the parts of an array that it reads. Not here: reading them (`reader`).

use std::ops::Range;

/// Rows of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// All rows.
    All,
    /// Ranges of rows: ascending, and none of them touches another one.
    Ranges(Vec<Range<u32>>),
}

impl Rows {
    /// Returns the rows of one range.
    pub fn range(range: Range<u32>) -> Rows {
        Rows::Ranges(Some(range).filter(|range| !range.is_empty()).into_iter().collect())
    }

    /// Returns some rows, which may come in any order and more than once.
    pub fn of(rows: impl IntoIterator<Item = u32>) -> Rows {
        let mut rows: Vec<u32> = rows.into_iter().collect();
        rows.sort_unstable();
        Rows::joined(rows.into_iter().map(|row| row..row.saturating_add(1)))
    }

    /// Joins ranges that touch or overlap. Their starts are ascending.
    pub(super) fn joined(ranges: impl IntoIterator<Item = Range<u32>>) -> Rows {
        let mut joined: Vec<Range<u32>> = Vec::new();
        for range in ranges.into_iter().filter(|range| !range.is_empty()) {
            match joined.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => joined.push(range),
            }
        }
        Rows::Ranges(joined)
    }

    /// Returns those of the rows that are in `bounds`, as ranges.
    pub(super) fn within(&self, bounds: Range<u32>) -> Vec<Range<u32>> {
        match self {
            Rows::All => Some(bounds).filter(|bounds| !bounds.is_empty()).into_iter().collect(),
            Rows::Ranges(ranges) => clipped(ranges, &bounds).collect(),
        }
    }
}

/// Returns the parts of ranges that are in `bounds`.
pub(super) fn clipped<'a>(ranges: &'a [Range<u32>], bounds: &Range<u32>) -> impl Iterator<Item = Range<u32>> + use<'a> {
    let Range { start, end } = *bounds;
    let first = ranges.partition_point(|range| range.end <= start);
    let of_bounds = ranges[first..].iter().take_while(move |range| range.start < end);
    of_bounds.map(move |range| range.start.max(start)..range.end.min(end))
}

/// Returns the number of rows in ranges.
pub(super) fn count(ranges: &[Range<u32>]) -> usize {
    ranges.iter().map(ExactSizeIterator::len).sum()
}

/// The part of one shard that a reader wants. Reading it takes memory for its cells, and for a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// The place of the shard in the grid: along the rows, and along the columns.
    pub(super) shard: [u32; 2],
    pub(super) rows: Vec<Range<u32>>,
    pub(super) columns: Range<u32>,
}

impl Tile {
    /// Returns the rows that are wanted.
    pub fn rows(&self) -> &[Range<u32>] {
        &self.rows
    }

    /// Returns the columns that are wanted: days, or months, as their places on the axis.
    pub fn columns(&self) -> Range<u32> {
        self.columns.clone()
    }

    /// Returns the number of cells that are wanted.
    pub fn cells(&self) -> u64 {
        count(&self.rows) as u64 * self.columns.len() as u64
    }
}

/// Cells of one chunk: some rows, and of each the same columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece<T> {
    /// The rows, ascending.
    pub rows: Vec<Range<u32>>,
    /// The columns: days, or months, as their places on the axis.
    pub columns: Range<u32>,
    /// The cells, row by row.
    pub cells: Vec<T>,
}

impl<T> Piece<T> {
    /// Returns each row with its cells.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[T])> {
        self.rows.iter().cloned().flatten().zip(self.cells.chunks_exact(self.columns.len().max(1)))
    }
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_ranges_and_are_clipped() {
        assert_eq!(Rows::of([7, 3, 4, 3, 9]), Rows::Ranges(vec![3..5, 7..8, 9..10]));
        assert_eq!((Rows::of([]), Rows::range(5..5)), (Rows::Ranges(vec![]), Rows::Ranges(vec![])));
        assert_eq!(Rows::joined([0..2, 1..2, 2..4, 6..6, 7..8]), Rows::Ranges(vec![0..4, 7..8]));
        let rows = Rows::of([3, 4, 7, 9]);
        assert_eq!(rows.within(4..9), [4..5, 7..8]);
        assert_eq!(rows.within(5..7), []);
        assert_eq!((Rows::All.within(0..3), Rows::All.within(3..3)), (vec![0..3], vec![]));
        assert_eq!(count(&[0..3, 5..6]), 4);
    }

    #[test]
    fn a_piece_has_the_cells_of_each_row() {
        let piece = Piece { rows: vec![2..4, 9..10], columns: 5..7, cells: vec![1, 2, 3, 4, 5, 6] };
        let rows: Vec<_> = piece.iter().collect();
        assert_eq!(rows, [(2, [1, 2].as_slice()), (3, &[3, 4]), (9, &[5, 6])]);
    }
}
