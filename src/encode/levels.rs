//! Definition or repetition levels of one page: how deep each value, null or empty list stands.

use std::ops::Range;

use arrow::buffer::NullBuffer;
use arrow::util::bit_iterator::BitSliceIterator;

use super::runs;

/// The runs of rows that have a value, in order, within `rows`.
pub(super) fn valid_runs<'a>(
    nulls: &'a NullBuffer,
    rows: &Range<usize>,
) -> impl Iterator<Item = Range<usize>> + use<'a> {
    let first = rows.start;
    let runs = BitSliceIterator::new(nulls.validity(), nulls.offset() + first, rows.len());
    runs.map(move |(start, end)| first + start..first + end)
}

/// Levels, as runs: nearly all follow one of their kind.
#[derive(Debug, Default)]
pub(super) struct Levels {
    runs: Vec<(u32, usize)>,
    count: usize,
}

impl Levels {
    /// Adds `count` times a level.
    #[inline]
    pub(super) fn push(&mut self, level: u8, count: usize) {
        self.count += count;
        match self.runs.last_mut() {
            Some((last, run)) if *last == u32::from(level) => *run += count,
            _ if count == 0 => {}
            _ => self.runs.push((level.into(), count)),
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Appends the levels, up to `greatest`, with their size before them, as pages of the first kind have them.
    pub(super) fn write(&self, greatest: u32, body: &mut Vec<u8>) {
        let start = body.len();
        body.extend_from_slice(&[0; 4]);
        runs::encode_runs(self.runs.iter().copied(), runs::bit_width(greatest), body);
        let size_bytes = (body.len() - start - 4) as u32;
        if let Some(size) = body.get_mut(start..start + 4) {
            size.copy_from_slice(&size_bytes.to_le_bytes());
        }
    }

    /// Empties them; their memory is kept.
    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.count = 0;
    }
}
