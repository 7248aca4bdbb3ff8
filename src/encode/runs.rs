//! Parquet's hybrid of run lengths and bit packing, which encodes levels and dictionary indexes.

use super::bits::{self, write_varint};

/// The number of values that are packed together; shorter runs are packed as well.
const GROUP: usize = 8;

/// Returns the number of bits for values up to `greatest`; at least one.
pub(super) fn bit_width(greatest: u32) -> u32 {
    (u32::BITS - greatest.leading_zeros()).max(1)
}

/// Appends `values`, each of at most `bit_width` bits, to `out`.
pub(super) fn encode(values: &[u32], bit_width: u32, out: &mut Vec<u8>) {
    let mut packed_from = 0;
    let mut at = 0;
    while let Some(&value) = values.get(at) {
        if values.get(at + 1).is_some_and(|next| *next != value) {
            at += 1;
            continue;
        }
        let run = run_length(values.get(at..).unwrap_or_default(), value);
        // Packed values before a run must end with a whole group, so the run supplies the missing values.
        let missing = (packed_from..at).len().next_multiple_of(GROUP) - (at - packed_from);
        if run >= missing + GROUP {
            pack(values.get(packed_from..at + missing).unwrap_or_default(), bit_width, out);
            write_run(value, run - missing, bit_width, out);
            packed_from = at + run;
        }
        at += run;
    }
    pack(values.get(packed_from..).unwrap_or_default(), bit_width, out);
}

/// Returns the number of leading `values` that equal `value`. Compares whole blocks first, each in one step.
fn run_length(values: &[u32], value: u32) -> usize {
    let is_same = |block: &&[u32]| block.iter().fold(0, |different, other| different | (other ^ value)) == 0;
    let same = values.chunks_exact(2 * GROUP).take_while(is_same).count() * 2 * GROUP;
    let rest = values.get(same..).unwrap_or_default();
    same + rest.iter().take_while(|other| **other == value).count()
}

/// Appends the values of `runs`, each with its number of repetitions, as [`encode`] does.
pub(super) fn encode_runs(runs: impl IntoIterator<Item = (u32, usize)>, bit_width: u32, out: &mut Vec<u8>) {
    let mut packed: Vec<u32> = Vec::new();
    for (value, run) in runs {
        let missing = packed.len().next_multiple_of(GROUP) - packed.len();
        if run < missing + GROUP {
            packed.resize(packed.len() + run, value);
            continue;
        }
        packed.resize(packed.len() + missing, value);
        pack(&packed, bit_width, out);
        packed.clear();
        write_run(value, run - missing, bit_width, out);
    }
    pack(&packed, bit_width, out);
}

fn write_run(value: u32, count: usize, bit_width: u32, out: &mut Vec<u8>) {
    write_varint((count as u64) << 1, out);
    out.extend(value.to_le_bytes().iter().take(bit_width.div_ceil(8) as usize));
}

/// Appends `values` as one packed run of whole groups; pads the last group with zeros.
fn pack(values: &[u32], bit_width: u32, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    let groups = values.len().div_ceil(GROUP);
    write_varint((groups as u64) << 1 | 1, out);
    bits::pack(values.iter().copied().map(u64::from), bit_width, groups * bit_width as usize, out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads `count` values back, following the text of the format.
    fn decode(bytes: &[u8], width: u32, count: usize) -> Vec<u32> {
        let mut values = Vec::new();
        let mut at = 0;
        while values.len() < count {
            let (mut header, mut shift) = (0_u64, 0);
            loop {
                header |= u64::from(bytes[at] & 0x7f) << shift;
                shift += 7;
                at += 1;
                if bytes[at - 1] < 0x80 {
                    break;
                }
            }
            if header & 1 == 0 {
                let size = width.div_ceil(8) as usize;
                let value = bytes[at..at + size].iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
                values.extend(std::iter::repeat_n(value, (header >> 1) as usize));
                at += size;
            } else {
                let bits = (header >> 1) as usize * GROUP * width as usize;
                let bit = |index: usize| u32::from(bytes[at + index / 8] >> (index % 8) & 1);
                let value =
                    |first: usize| (0..width as usize).fold(0, |value, index| value | bit(first + index) << index);
                values.extend((0..bits).step_by(width as usize).map(value));
                at += bits / 8;
            }
        }
        assert_eq!(at, bytes.len());
        // Only the last packed run is padded.
        assert!(values.len() < count + GROUP);
        values.truncate(count);
        values
    }

    fn runs() -> impl Strategy<Value = (u32, Vec<u32>)> {
        (1_u32..=32).prop_flat_map(|width| {
            let greatest = u32::MAX >> (32 - width);
            let run = (0..=greatest, prop_oneof![1_usize..4, 1_usize..40]);
            let runs = prop::collection::vec(run, 0..40);
            (Just(width), runs.prop_map(|runs| runs.iter().flat_map(|&(value, count)| vec![value; count]).collect()))
        })
    }

    proptest! {
        #[test]
        fn written_values_are_read_back((width, values) in runs()) {
            let mut bytes = Vec::new();
            encode(&values, width, &mut bytes);
            prop_assert_eq!(decode(&bytes, width, values.len()), values.as_slice());
            let mut by_runs = Vec::new();
            encode_runs(values.chunk_by(|one, other| one == other).map(|run| (run[0], run.len())), width, &mut by_runs);
            prop_assert_eq!(by_runs, bytes);
        }
    }

    #[test]
    fn runs_cost_nearly_nothing_and_widths_are_exact() {
        let mut bytes = Vec::new();
        encode(&[1_u32; 8_192], 1, &mut bytes);
        assert_eq!(bytes, [0x80, 0x80, 0x01, 1]);
        assert_eq!([0, 1, 2, 255, 256, u32::MAX].map(bit_width), [1, 1, 2, 8, 9, 32]);
    }
}
