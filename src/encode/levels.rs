//! Definition or repetition levels of one page: the nesting depth of each value, null or empty list.

use std::ops::Range;

use arrow::buffer::NullBuffer;
use arrow::util::bit_iterator::BitSliceIterator;

use super::runs;

/// Returns the runs of rows that have a value, in order, within `rows`.
pub(super) fn valid_runs<'a>(
    nulls: &'a NullBuffer,
    rows: &Range<usize>,
) -> impl Iterator<Item = Range<usize>> + use<'a> {
    let first = rows.start;
    let runs = BitSliceIterator::new(nulls.validity(), nulls.offset() + first, rows.len());
    runs.map(move |(start, end)| first + start..first + end)
}

/// Levels as runs: most levels equal the one before.
#[derive(Debug, Default)]
pub(super) struct Levels {
    runs: Vec<(u32, usize)>,
    count: usize,
}

impl Levels {
    /// Adds a level `count` times.
    #[inline]
    pub(super) fn push(&mut self, level: u8, count: usize) {
        self.count += count;
        match self.runs.last_mut() {
            Some((last, run)) if *last == u32::from(level) => *run += count,
            _ if count == 0 => {}
            _ => self.runs.push((level.into(), count)),
        }
    }

    /// Returns the number of levels.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Appends the levels, up to `greatest`, after their size, in the form of version 1 data pages.
    pub(super) fn write(&self, greatest: u32, body: &mut Vec<u8>) {
        let start = body.len();
        body.extend_from_slice(&[0; 4]);
        runs::encode_runs(self.runs.iter().copied(), runs::bit_width(greatest), body);
        let size_bytes = (body.len() - start - 4) as u32;
        if let Some(size) = body.get_mut(start..start + 4) {
            size.copy_from_slice(&size_bytes.to_le_bytes());
        }
    }

    /// Removes all levels; keeps the memory.
    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.count = 0;
    }
}
