//! Parquet's binary packed deltas: integers as differences, each block with the bits that it needs.

use super::bits::{pack, write_varint};

/// The number of differences in a block; each block has its own least difference.
const BLOCK: usize = 128;
/// The number of parts in a block; each part has its own bit width.
const BLOCK_PARTS: usize = 4;

/// Appends `values` to `out`.
pub(super) fn encode(values: &[i64], out: &mut Vec<u8>) {
    write_varint(BLOCK as u64, out);
    write_varint(BLOCK_PARTS as u64, out);
    write_varint(values.len() as u64, out);
    write_varint(zigzag(values.first().copied().unwrap_or_default()), out);
    let difference = |pair: &[i64]| match pair {
        [before, value] => value.wrapping_sub(*before),
        _ => 0,
    };
    let deltas: Vec<i64> = values.windows(2).map(difference).collect();
    deltas.chunks(BLOCK).for_each(|block| encode_block(block, out));
}

fn encode_block(deltas: &[i64], out: &mut Vec<u8>) {
    let least = deltas.iter().copied().min().unwrap_or_default();
    write_varint(zigzag(least), out);
    let above = |delta: &i64| delta.wrapping_sub(least) as u64;
    let width = |part: &[i64]| u64::BITS - part.iter().map(above).fold(0, |all, value| all | value).leading_zeros();
    let parts = || deltas.chunks(BLOCK / BLOCK_PARTS);
    let widths_at = out.len();
    out.extend(parts().map(|part| width(part) as u8));
    out.resize(widths_at + BLOCK_PARTS, 0);
    for part in parts() {
        // A partial part is padded with zeros to the size of a whole one.
        let size_bytes = BLOCK / BLOCK_PARTS * width(part) as usize / 8;
        pack(part.iter().map(above), width(part), size_bytes, out);
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }

    fn read_zigzag(bytes: &mut &[u8]) -> i64 {
        let value = read_varint(bytes);
        (value >> 1) as i64 ^ -((value & 1) as i64)
    }

    /// Reads the values back, following the text of the format.
    fn decode(mut bytes: &[u8]) -> Vec<i64> {
        let bytes = &mut bytes;
        assert_eq!((read_varint(bytes), read_varint(bytes)), (128, 4));
        let count = read_varint(bytes) as usize;
        let mut values = vec![read_zigzag(bytes)];
        while values.len() < count {
            let least = read_zigzag(bytes);
            let (widths, parts) = bytes.split_at(4);
            *bytes = parts;
            for &width in widths {
                let (part, rest) = bytes.split_at(if values.len() < count { 4 * width as usize } else { 0 });
                *bytes = rest;
                for place in 0..32 * usize::from(!part.is_empty() || values.len() < count) {
                    let bit = |index: usize| u64::from(part[index / 8] >> (index % 8) & 1);
                    let first = place * width as usize;
                    let delta = (0..width as usize).fold(0, |value, at| value | bit(first + at) << at);
                    values.push(values[values.len() - 1].wrapping_add(least).wrapping_add(delta as i64));
                }
            }
        }
        assert!(bytes.is_empty(), "{} bytes are left", bytes.len());
        values.truncate(count);
        values
    }

    proptest! {
        #[test]
        fn written_values_are_read_back(
            values in prop::collection::vec(prop_oneof![any::<i64>(), 0..9_i64, Just(7), -5..1_000_000_i64], 0..700),
        ) {
            let mut bytes = Vec::new();
            encode(&values, &mut bytes);
            prop_assert_eq!(decode(&bytes), values);
        }
    }

    #[test]
    fn steps_of_one_size_cost_nearly_nothing() {
        let mut bytes = Vec::new();
        encode(&(0..129).map(|step| 1_000 + step * 86_400).collect::<Vec<_>>(), &mut bytes);
        assert_eq!(bytes.len(), 2 + 1 + 2 + 2 + 3 + 4);
    }
}
