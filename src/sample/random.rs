//! Numbers that look random and never change: a small generator and a hash.
//!
//! It is our own code instead of a crate: a seeded world promises the same bytes for the same seed, and generators in
//! crates change their streams between versions. Integers only: floating point functions differ between platforms. Not
//! here: anything that must be unpredictable.

/// The SplitMix64 generator.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut state: u64) -> u64 {
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

impl Random {
    /// Makes a separate stream for every pair of seed and label.
    pub(super) fn new(seed: u64, label: u64) -> Self {
        Random(mix(seed.wrapping_add(GOLDEN)) ^ mix(label.wrapping_mul(GOLDEN)))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Returns a number in `0..bound`; 0 when `bound` is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// Returns a number in `low..=high`.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// Returns true in `share` of 1,000 cases.
    pub(super) fn per_mille(&mut self, share: u64) -> bool {
        self.below(1000) < share
    }

    /// Returns one of the items; the items must not be empty.
    pub(super) fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len() as u64) as usize]
    }

    /// Returns an index in `0..count` with a long tail: index `i` comes up about as often as `1 / (i + 1)`.
    pub(super) fn long_tail(&mut self, count: u64) -> u64 {
        let bits = u64::from(64 - count.leading_zeros());
        loop {
            let low = 1u64 << self.below(bits.max(1));
            let drawn = low + self.below(low) - 1;
            if drawn < count.max(1) {
                return drawn;
            }
        }
    }

    /// Returns `byte_count` bytes in lower-case hexadecimal.
    pub(super) fn hex(&mut self, byte_count: usize) -> String {
        let mut text = String::with_capacity(byte_count * 2);
        while text.len() < byte_count * 2 {
            text.push_str(&format!("{:016x}", self.next()));
        }
        text.truncate(byte_count * 2);
        text
    }

    /// Returns some bytes in base64: `length` characters, `padding` of them `=` at the end.
    pub(super) fn base64(&mut self, length: usize, padding: usize) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let drawn = length.saturating_sub(padding);
        // Before padding, the last character carries only 4 or 2 of its 6 bits.
        let mask = |index: usize| if index + 1 == drawn { 63 << (padding * 2) & 63 } else { 63 };
        let mut text: String =
            (0..drawn).map(|index| char::from(ALPHABET[self.next() as usize & mask(index)])).collect();
        text.extend(std::iter::repeat_n('=', length - drawn));
        text
    }
}

/// Returns a 128-bit hash of some bytes, eight at a time. It tells contents apart; it protects nothing.
pub(super) fn hash(bytes: &[u8]) -> u128 {
    let (mut low, mut high) = (bytes.len() as u64 ^ GOLDEN, 0x6a09_e667_f3bc_c908u64);
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word = u64::from_le_bytes([word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7]]);
        low = (low ^ word).wrapping_mul(GOLDEN).rotate_left(29);
        high = high.wrapping_add(low).rotate_left(23) ^ word;
    }
    let tail = words.remainder().iter().fold(1u64, |tail, byte| (tail << 8) | u64::from(*byte));
    low = mix(low ^ tail);
    high = mix(high.wrapping_add(low) ^ tail.wrapping_mul(GOLDEN));
    (u128::from(high) << 64) | u128::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_streams_never_change() {
        let mut random = Random::new(1, 2);
        assert_eq!([random.next(), random.next()], [11_886_474_078_194_648_222, 17_672_105_080_875_624_528]);
        assert_eq!(random.hex(4), "f0603bf6");
        assert_eq!(format!("{:032x}", hash(b"the same for ever")), "89d44818c82f2cf87d99507e1ea04e88");
    }

    #[test]
    fn long_tails_stay_in_bounds_and_favour_the_head() {
        let mut random = Random::new(7, 0);
        let mut head = 0;
        for _ in 0..2000 {
            let drawn = random.long_tail(1000);
            assert!(drawn < 1000);
            head += u64::from(drawn < 10);
        }
        assert!((500..1100).contains(&head), "{head} of 2000 among the first ten of 1000");
        assert_eq!(Random::new(7, 0).long_tail(1), 0);
        assert_eq!(Random::new(7, 0).long_tail(0), 0);
    }

    #[test]
    fn bytes_of_the_tail_and_the_length_count() {
        let hashes = [hash(b""), hash(b"\0"), hash(b"\0\0"), hash(b"12345678"), hash(b"12345678\0")];
        for (index, left) in hashes.iter().enumerate() {
            assert!(!hashes[index + 1..].contains(left));
        }
    }
}
