//! The rows of a column that have a value.

use std::ops::Range;

use arrow::buffer::{BooleanBuffer, NullBuffer};

/// Tells which rows have a value. Costs nothing until the first null.
#[derive(Debug, Default)]
pub(super) struct Validity {
    rows: usize,
    /// One entry a row, once one is null; else empty.
    valid: Vec<bool>,
}

impl Validity {
    #[inline]
    fn has_nulls(&self) -> bool {
        !self.valid.is_empty()
    }

    #[inline]
    pub(super) fn push(&mut self, is_valid: bool) {
        if self.has_nulls() {
            self.valid.push(is_valid);
            self.rows += 1;
        } else if is_valid {
            self.rows += 1;
        } else {
            self.push_n(false, 1);
        }
    }

    #[inline]
    pub(super) fn push_n(&mut self, is_valid: bool, count: usize) {
        if self.has_nulls() || !is_valid {
            self.valid.resize(self.rows, true);
            self.valid.resize(self.rows + count, is_valid);
        }
        self.rows += count;
    }

    /// Returns whether the last row has a value.
    #[inline]
    pub(super) fn last(&self) -> bool {
        self.valid.last().copied().unwrap_or(true)
    }

    pub(super) fn repeat(&mut self, rows: Range<usize>) {
        self.rows += rows.len();
        if self.has_nulls() {
            self.valid.extend_from_within(rows);
        }
    }

    /// Returns the nulls of all rows, and resets itself. It keeps its memory.
    pub(super) fn finish(&mut self) -> Option<NullBuffer> {
        self.rows = 0;
        let nulls = self.has_nulls().then(|| NullBuffer::new(packed(&self.valid)));
        self.valid.clear();
        nulls
    }
}

/// Packs the values into one bit each.
pub(super) fn packed(values: &[bool]) -> BooleanBuffer {
    /// Multiplied by this, the lowest bits of the eight bytes of a word lie side by side in its highest byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let byte = |group: [bool; 8]| (u64::from_le_bytes(group.map(u8::from)).wrapping_mul(GATHER) >> 56) as u8;
    let (groups, rest) = values.as_chunks();
    let mut bytes = Vec::with_capacity(groups.len() + 1);
    bytes.extend(groups.iter().map(|group| byte(*group)));
    let mut last = [false; 8];
    last.iter_mut().zip(rest).for_each(|(slot, value)| *slot = *value);
    bytes.push(byte(last));
    BooleanBuffer::new(bytes.into(), 0, values.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_value_has_its_bit(values in prop::collection::vec(any::<bool>(), 0..70)) {
            prop_assert_eq!(packed(&values), BooleanBuffer::from(values.as_slice()));
        }
    }
}
