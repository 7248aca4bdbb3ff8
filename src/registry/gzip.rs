//! Inflates gzip: piece by piece as it arrives, or in one step after all of it has arrived.
//!
//! Not here: reading from the network (`body`), and counting memory (`whole`).

use bytes::{Buf, Bytes};
use flate2::{Decompress, FlushDecompress, Status};

use super::classify::Fault;

/// The beginning of a gzip member: two bytes of magic, and deflate, the only method in use.
const MEMBER_START: [u8; 3] = [0x1f, 0x8b, 0x08];

/// The window size of gzip, as a power of two: the largest of the format.
const WINDOW_BITS: u8 = 15;

/// The greatest expansion of one byte by deflate (zlib's technical notes).
const MOST_BYTES_OF_ONE: usize = 1_032;

/// Inflates a stream of members piece by piece.
pub(super) struct Inflate {
    decompress: Decompress,
    /// Whether the last member that began has ended.
    pub(super) member_ended: bool,
    more_output: bool,
    pub(super) piece: Vec<u8>,
}

impl Inflate {
    /// Creates an inflater with pieces of at most `piece_bytes`.
    pub(super) fn new(piece_bytes: usize) -> Self {
        Inflate {
            decompress: Decompress::new_gzip(WINDOW_BITS),
            member_ended: false,
            more_output: false,
            piece: Vec::with_capacity(piece_bytes),
        }
    }

    /// Inflates a piece from `wire` and removes the consumed bytes; false if more are needed.
    pub(super) fn next_piece(&mut self, wire: &mut Bytes) -> Result<bool, Fault> {
        self.piece.clear();
        // A full piece may leave output behind that needs no further input.
        while !wire.is_empty() || self.more_output {
            if self.member_ended {
                // Another member follows, or padding, which every other reader of gzip ignores too.
                if wire.first() != MEMBER_START.first() {
                    wire.clear();
                    break;
                }
                self.decompress = Decompress::new_gzip(WINDOW_BITS);
                self.member_ended = false;
            }
            let read_before = self.decompress.total_in();
            let status = self
                .decompress
                .decompress_vec(wire, &mut self.piece, FlushDecompress::None)
                .map_err(|error| Fault::Garbled(error.to_string()))?;
            let read = usize::try_from(self.decompress.total_in() - read_before).unwrap_or(usize::MAX);
            wire.advance(read.min(wire.len()));
            self.member_ended = status == Status::StreamEnd;
            self.more_output = self.piece.len() == self.piece.capacity() && !self.member_ended;
            if self.piece.len() == self.piece.capacity() {
                return Ok(true);
            }
            if read == 0 && !self.member_ended && !wire.is_empty() {
                return Err(Fault::Garbled("the compressed body makes no progress".to_owned()));
            }
        }
        Ok(!self.piece.is_empty())
    }
}

/// Returns the inflated size that a single member claims in its last bytes. `None` if that size is impossible, or if
/// more than one member may be there.
pub(super) fn claimed_bytes(encoded: &[u8]) -> Option<usize> {
    let claim = usize::try_from(u32::from_le_bytes(*encoded.last_chunk()?)).ok()?;
    let is_possible = claim > 0 && claim / MOST_BYTES_OF_ONE <= encoded.len();
    // The three bytes may occur anywhere by chance, once in 16 MB: such a body is inflated in pieces.
    let has_more = memchr::memmem::find(encoded.get(1..)?, &MEMBER_START).is_some();
    (is_possible && !has_more).then_some(claim)
}

/// Inflates a single member of exactly `inflated_bytes` and checks its checksum; `None` for any other input.
pub fn inflate_at_once(encoded: &[u8], inflated_bytes: usize) -> Option<Vec<u8>> {
    let mut inflated = vec![0; inflated_bytes];
    let made = libdeflater::Decompressor::new().gzip_decompress(encoded, &mut inflated);
    (made == Ok(inflated_bytes)).then_some(inflated)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::scripted::gzip;
    use super::*;

    fn in_pieces(encoded: &[u8]) -> Option<Vec<u8>> {
        let (mut inflate, mut wire) = (Inflate::new(7), Bytes::copy_from_slice(encoded));
        let mut whole = Vec::new();
        while inflate.next_piece(&mut wire).ok()? {
            whole.extend_from_slice(&inflate.piece);
        }
        inflate.member_ended.then_some(whole)
    }

    fn at_once(encoded: &[u8]) -> Option<Vec<u8>> {
        inflate_at_once(encoded, claimed_bytes(encoded)?)
    }

    proptest! {
        #[test]
        fn inflating_in_one_step_equals_inflating_in_pieces(
            text in prop::collection::vec(0_u8..4, 1..300), other in prop::collection::vec(0_u8..4, 0..9),
            padding in prop::collection::vec(prop::sample::select(&[0_u8, 4, 255][..]), 0..9), bit in 0_usize..4_000,
        ) {
            let single = gzip(&text);
            prop_assert_eq!(at_once(&single), Some(text.clone()));
            prop_assert_eq!(in_pieces(&single), Some(text));
            let mut damaged = single.clone();
            if let Some(byte) = damaged.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
            let several = [single.as_slice(), &gzip(&other), &padding].concat();
            let cut = &single[..single.len() - 1];
            for encoded in [[single.as_slice(), &padding].concat().as_slice(), &several, &damaged, cut] {
                // It may decline, but never differs.
                if let Some(whole) = at_once(encoded) {
                    prop_assert_eq!(in_pieces(encoded), Some(whole));
                }
            }
        }
    }

    #[test]
    fn of_the_same_member_twice_neither_is_lost() {
        let twice = gzip(b"same").repeat(2);
        assert_eq!(claimed_bytes(&twice), None);
        assert_eq!(in_pieces(&twice).unwrap(), b"samesame");
    }

    #[test]
    fn no_claim_reserves_what_the_body_cannot_become() {
        let mut small = gzip(b"small");
        let length = small.len();
        small[length - 4..].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(claimed_bytes(&small), None);
        assert_eq!(claimed_bytes(b"\x1f"), None);
    }
}
