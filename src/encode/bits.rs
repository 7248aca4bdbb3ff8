//! Packs integers into the number of bits and bytes that they need.

/// Appends `values`, each of at most `bit_width` bits, without gaps. Cuts or pads the output to `size_bytes`.
pub(super) fn pack(values: impl Iterator<Item = u64>, bit_width: u32, size_bytes: usize, out: &mut Vec<u8>) {
    let end = out.len() + size_bytes;
    let mut bits = 0_u64;
    let mut bit_count = 0;
    for value in values {
        bits |= value << bit_count;
        bit_count += bit_width;
        if bit_count >= u64::BITS {
            out.extend_from_slice(&bits.to_le_bytes());
            bit_count -= u64::BITS;
            // Keep the bits of the value that did not fit; there are none if nothing is left over.
            bits = value.checked_shr(bit_width - bit_count).unwrap_or_default();
        }
    }
    out.extend_from_slice(&bits.to_le_bytes());
    out.resize(end, 0);
}

/// Appends a number as a varint: seven bits in each byte.
pub(super) fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
