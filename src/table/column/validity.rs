//! Which rows of a column have a value.

use std::ops::Range;

use arrow::buffer::{BooleanBuffer, NullBuffer};

/// Which rows have a value. Costs nothing until the first null.
#[derive(Debug, Default)]
pub(super) struct Validity {
    rows: usize,
    valid: Option<Vec<bool>>,
}

impl Validity {
    #[inline]
    pub(super) fn push(&mut self, is_valid: bool) {
        match &mut self.valid {
            Some(valid) => {
                valid.push(is_valid);
                self.rows += 1;
            }
            None if is_valid => self.rows += 1,
            None => self.push_n(false, 1),
        }
    }

    #[inline]
    pub(super) fn push_n(&mut self, is_valid: bool, count: usize) {
        match &mut self.valid {
            Some(valid) => valid.resize(valid.len() + count, is_valid),
            None if is_valid => {}
            None => {
                let mut valid = vec![true; self.rows];
                valid.resize(self.rows + count, false);
                self.valid = Some(valid);
            }
        }
        self.rows += count;
    }

    /// Whether the last row has a value.
    #[inline]
    pub(super) fn last(&self) -> bool {
        self.valid.as_ref().and_then(|valid| valid.last().copied()).unwrap_or(true)
    }

    pub(super) fn repeat(&mut self, rows: Range<usize>) {
        self.rows += rows.len();
        if let Some(valid) = &mut self.valid {
            valid.extend_from_within(rows);
        }
    }

    pub(super) fn finish(&mut self) -> Option<NullBuffer> {
        self.rows = 0;
        let valid = self.valid.take()?;
        Some(NullBuffer::new(BooleanBuffer::from(valid)))
    }
}
