//! A segment: counts that were received for a block and are not in the array yet, in one object of staging. It is one
//! frame of zstd, with a checksum, of records of little-endian numbers of four bytes: row in the block, first day, number
//! of days, and the count of each day. Not here: when segments are written (`writer`) and removed (`fold`).

use bytes::Bytes;
use jiff::civil::Date;

use super::UNKNOWN;
use crate::error::{Context, ErrorKind, Result};

/// The size of a segment in memory. Beyond it, it is written.
pub(super) const SEGMENT_BYTES: usize = 1 << 20;
/// The greatest size that a segment may claim: one record more than [`SEGMENT_BYTES`].
const MAX_SEGMENT_BYTES: u64 = 4 << 20;
const ZSTD_LEVEL: i32 = 1;

/// The counts of one package in the days from `since` on, as npm said them: `None` where it said nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// The row of the package.
    pub row: u32,
    /// The first day.
    pub since: Date,
    /// The count of each day. Zeros are zeros, also before the first download.
    pub counts: Vec<Option<u64>>,
}

/// A record of a segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    /// The row within the block.
    pub(super) row: usize,
    /// The number of the first day.
    pub(super) since: i32,
    /// The counts as numbers of four bytes; [`UNKNOWN`] where there is none.
    counts: &'a [u8],
}

impl<'a> Record<'a> {
    pub(super) fn days(self) -> i32 {
        (self.counts.len() / 4) as i32
    }

    /// Returns the day after the last one.
    pub(super) fn end(self) -> i32 {
        self.since + self.days()
    }

    /// Returns the first day, and the day after the last one, of those that are from `from` to the day before `to`.
    pub(super) fn within(self, from: i32, to: i32) -> (i32, i32) {
        (from.max(self.since), to.min(self.end()))
    }

    /// Returns the known counts of the days from `from` to the day before `to`, each with its day.
    pub(super) fn known(self, from: i32, to: i32) -> impl Iterator<Item = (i32, u32)> + use<'a> {
        let skipped = (from - self.since).clamp(0, self.days());
        let taken = (to - self.since).clamp(skipped, self.days());
        let counts = self.counts.get(skipped as usize * 4..taken as usize * 4).unwrap_or_default();
        let counts = counts.chunks_exact(4).map(|bytes| bytes.try_into().map_or(UNKNOWN, u32::from_le_bytes));
        (self.since + skipped..).zip(counts).filter(|&(_, count)| count != UNKNOWN)
    }

    /// Returns the first day with a count that is not zero.
    pub(super) fn first_count(self) -> Option<i32> {
        self.known(self.since, self.end()).find(|&(_, count)| count > 0).map(|(day, _)| day)
    }
}

/// Appends a record to the text of a segment.
pub(super) fn push(text: &mut Vec<u8>, row: u32, since: i32, counts: impl ExactSizeIterator<Item = u32>) {
    text.extend(row.to_le_bytes());
    text.extend(since.to_le_bytes());
    text.extend((counts.len() as u32).to_le_bytes());
    text.extend(counts.flat_map(u32::to_le_bytes));
}

/// Returns the records of the text of a segment; `None` after the first one that is none.
pub(super) fn records(mut text: &[u8]) -> impl Iterator<Item = Option<Record<'_>>> {
    let mut next = move || {
        let (row, rest) = text.split_first_chunk::<4>()?;
        let (since, rest) = rest.split_first_chunk::<4>()?;
        let (days, rest) = rest.split_first_chunk::<4>()?;
        let (counts, rest) = rest.split_at_checked(u32::from_le_bytes(*days) as usize * 4)?;
        text = rest;
        let (row, since) = (u32::from_le_bytes(*row) as usize, i32::from_le_bytes(*since));
        since.checked_add((counts.len() / 4) as i32)?;
        Some((Record { row, since, counts }, text.is_empty()))
    };
    let mut is_over = text.is_empty();
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let found = next();
        is_over = found.is_none_or(|(_, is_last)| is_last);
        Some(found.map(|(record, _)| record))
    })
}

/// Compresses the text of a segment.
pub(super) fn pack(text: &[u8]) -> Result<Bytes> {
    let pack = || {
        let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
        compressor.include_checksum(true)?;
        compressor.compress(text)
    };
    pack().map(Bytes::from).or_error(ErrorKind::Internal, || "cannot compress counts".to_owned())
}

/// Returns the text of a packed segment; `None` if it is damaged.
pub(super) fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let claimed = zstd::zstd_safe::get_frame_content_size(packed).ok()??;
    let size = usize::try_from(claimed).ok().filter(|_| claimed <= MAX_SEGMENT_BYTES)?;
    zstd::bulk::decompress(packed, size).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_records_of_a_segment_are_read_back() {
        let mut text = Vec::new();
        push(&mut text, 7, -2, [0, UNKNOWN, 5, 0].into_iter());
        push(&mut text, 9, 100, std::iter::empty());
        let packed = pack(&text).unwrap();
        let text = unpack(&packed).unwrap();
        let read: Vec<Record> = records(&text).map(Option::unwrap).collect();
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].row, read[0].since, read[0].end(), read[0].first_count()), (7, -2, 2, Some(0)));
        assert_eq!(read[0].known(-9, 9).collect::<Vec<_>>(), [(-2, 0), (0, 5), (1, 0)]);
        assert_eq!(read[0].known(0, 1).collect::<Vec<_>>(), [(0, 5)]);
        assert_eq!((read[0].known(5, 9).count(), read[0].known(-9, -5).count()), (0, 0));
        assert_eq!((read[1].row, read[1].days(), read[1].first_count()), (9, 0, None));
    }

    #[test]
    fn a_damaged_segment_is_none_whatever_its_bytes() {
        let mut text = Vec::new();
        push(&mut text, 7, 0, [1, 2, 3].into_iter());
        assert!(records(&text[..text.len() - 1]).any(|record| record.is_none()));
        assert_eq!(records(&[]).count(), 0);
        let packed = pack(&text).unwrap();
        for at in 0..packed.len() * 8 {
            let mut damaged = packed.to_vec();
            damaged[at / 8] ^= 1 << (at % 8);
            assert!(unpack(&damaged).is_none_or(|read| read == text), "bit {at}");
        }
    }
}
