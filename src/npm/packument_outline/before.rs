//! The version before: the walk compares the next version with it.

use std::ops::Range;

use crate::npm::packument::{DistMember, Span};

/// The most members of the version before among which a key is searched. Versions have some 30 members, and a key that
/// is not found is only slower to read.
pub(super) const MAX_LOOK: usize = 256;

/// The last version that was an object.
#[derive(Default)]
pub(super) struct Before {
    /// Its members, as a range.
    pub(super) members: Range<usize>,
    /// Each member's own place, from the key's quote to the value's end; its span may be that of an earlier version.
    /// Empty where a key came twice.
    pub(super) places: Vec<Span>,
    /// The offset after its `}`.
    pub(super) end: usize,
    /// Empty; kept only for its allocation.
    pub(super) spare_places: Vec<Span>,
    /// Its `dist`, as in [`crate::npm::packument::VersionOutline`].
    pub(super) dist: Option<u32>,
    /// The index of `dist` among its members.
    pub(super) dist_member: Option<usize>,
    /// The keys of the last `dist`.
    pub(super) dist_keys: Vec<(Span, Option<DistMember>)>,
}

/// The members of the version before that have been met again. Nearly always they show that no key has come twice.
pub(super) struct Met {
    before: Range<usize>,
    places: [u64; MAX_LOOK / 64],
    has_new_keys: bool,
}

impl Met {
    pub(super) fn new(before: Range<usize>) -> Met {
        Met { before, places: [0; MAX_LOOK / 64], has_new_keys: false }
    }

    /// Returns whether a key may have come earlier in its version. `found` is the place of the key in the version
    /// before, if it has the key; this call marks it as met.
    #[inline]
    pub(super) fn may_repeat(&mut self, found: Option<usize>) -> bool {
        if self.before.len() > MAX_LOOK {
            return true;
        }
        // All members before were looked at, so a new key can only repeat another new one.
        let Some(found) = found else { return std::mem::replace(&mut self.has_new_keys, true) };
        let place = found - self.before.start;
        let Some(word) = self.places.get_mut(place / 64) else { return true };
        let bit = 1 << (place % 64);
        let is_met = *word & bit != 0;
        *word |= bit;
        is_met
    }
}

/// Returns the length of the common prefix of two texts, in bytes.
#[inline]
pub(super) fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    let (blocks, _) = one.as_chunks::<32>();
    let (other_blocks, _) = other.as_chunks::<32>();
    let mut common = 32 * blocks.iter().zip(other_blocks).take_while(|(one, other)| one == other).count();
    while let (Some(word), Some(other_word)) = (word_at(one, common), word_at(other, common)) {
        let difference = word ^ other_word;
        if difference != 0 {
            return common + (difference.trailing_zeros() / 8) as usize;
        }
        common += 8;
    }
    common + one.iter().zip(other).skip(common).take_while(|(one, other)| one == other).count()
}

fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|word| u64::from_le_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_prefix_ends_where_the_first_byte_differs() {
        let text: Vec<u8> = (0..=255).collect();
        for length in [0, 1, 7, 8, 31, 32, 33, 100, 256] {
            let whole = &text[..length];
            assert_eq!(common_prefix(whole, &text), length);
            assert_eq!(common_prefix(&text, whole), length);
            for differing in 0..length {
                let mut other = whole.to_vec();
                other[differing] ^= 0x80;
                assert_eq!(common_prefix(whole, &other), differing, "{length}");
            }
        }
    }

    #[test]
    fn a_member_is_met_once() {
        let mut met = Met::new(10..80);
        assert!(!met.may_repeat(Some(10)) && !met.may_repeat(Some(79)) && !met.may_repeat(None));
        assert!(met.may_repeat(Some(10)) && met.may_repeat(Some(79)) && met.may_repeat(None));
        assert!(!met.may_repeat(Some(74)), "another of the same bit in another word");
        assert!(Met::new(0..MAX_LOOK + 1).may_repeat(Some(0)), "too many to know");
    }
}
