//! Reads counts: of some rows in some days, and the sums of recent days. Not here: writing (`writer`, `fold`).

use std::collections::HashMap;
use std::ops::{Range, RangeInclusive};

use futures::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;

use super::states::RowState;
use super::{Block, Downloads, FIRST_DAY, UNKNOWN};
use crate::array::rows::{Piece, Rows, Tile};
use crate::error::Result;
use crate::npm::{day_number, day_of_number};

/// The shards that are read at once. Each takes 70 MB of memory, and a core.
const SHARDS_AT_ONCE: usize = 2;

/// The downloads of a package in some days, as far as they are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recent {
    /// The sum of the known counts.
    pub sum: u64,
    /// The number of days whose count is known.
    pub known_days: u32,
}

impl Downloads {
    /// Returns the states of the rows of a block. Counts that a process recorded and did not finish are not among them.
    pub async fn states(&self, block: &Block) -> Result<Vec<RowState>> {
        let (states, _) = self.read_states(block).await?;
        Ok(states.all(block.rows.len()))
    }

    /// Returns the day of a column.
    pub fn day(&self, column: u32) -> Date {
        day_of_number(day_number(FIRST_DAY).saturating_add_unsigned(column))
    }

    /// Returns the parts of shards that have counts of some rows in `days`, block after block.
    pub fn tiles(&self, rows: &Rows, days: RangeInclusive<Date>) -> Vec<Tile> {
        self.reader.tiles(rows, self.columns(&days))
    }

    /// Reads the wanted counts of a shard, chunk by chunk; [`UNKNOWN`] is no count. Only the chunks that have some of them
    /// are read. A chunk without any known count gives nothing.
    ///
    /// Fails with [`crate::error::ErrorKind::Lake`] if the shard is damaged, or is replaced all the time.
    pub async fn read_tile(&self, tile: &Tile) -> Result<Vec<Piece<u32>>> {
        self.reader.read_tile(tile).await
    }

    /// Returns the downloads of each row in `days`.
    pub async fn recent(&self, days: RangeInclusive<Date>) -> Result<Vec<Recent>> {
        let mut all = vec![Recent::default(); self.rows() as usize];
        let tiles = self.tiles(&Rows::All, days);
        let mut pieces = stream::iter(tiles.into_iter().map(|tile| async move { self.read_tile(&tile).await }))
            .buffered(SHARDS_AT_ONCE);
        while let Some(pieces) = pieces.try_next().await? {
            for (row, counts) in pieces.iter().flat_map(Piece::iter) {
                let Some(recent) = all.get_mut(row as usize) else { continue };
                for &count in counts.iter().filter(|&&count| count != UNKNOWN) {
                    recent.sum += u64::from(count);
                    recent.known_days += 1;
                }
            }
        }
        Ok(all)
    }

    /// Returns the counts of some rows in `days`, in the order of `rows`; `None` where a count is not known.
    pub async fn read(&self, rows: &[u32], days: RangeInclusive<Date>) -> Result<Vec<Vec<Option<u32>>>> {
        let first_day = day_number(*days.start());
        let length = (day_number(*days.end()) - first_day + 1).max(0) as usize;
        let mut found: HashMap<u32, Vec<Option<u32>>> = rows.iter().map(|&row| (row, vec![None; length])).collect();
        let tiles = self.tiles(&Rows::of(rows.iter().copied()), days);
        let mut pieces = stream::iter(tiles.into_iter().map(|tile| async move { self.read_tile(&tile).await }))
            .buffered(SHARDS_AT_ONCE);
        while let Some(pieces) = pieces.try_next().await? {
            for piece in pieces {
                let from = (day_number(self.day(piece.columns.start)) - first_day) as usize;
                for (row, counts) in piece.iter() {
                    let cells = found.get_mut(&row).and_then(|cells| cells.get_mut(from..));
                    for (cell, &count) in cells.into_iter().flatten().zip(counts) {
                        *cell = Some(count).filter(|&count| count != UNKNOWN);
                    }
                }
            }
        }
        Ok(rows.iter().map(|row| found.get(row).cloned().unwrap_or_default()).collect())
    }

    /// Returns the columns of days; those before and after the axis are left out.
    fn columns(&self, days: &RangeInclusive<Date>) -> Range<u32> {
        let place = |day: Date| (day_number(day) - day_number(FIRST_DAY)).max(0) as u32;
        let end = if *days.end() < FIRST_DAY { 0 } else { place(*days.end()) + 1 };
        place(*days.start()).min(end)..end
    }
}
