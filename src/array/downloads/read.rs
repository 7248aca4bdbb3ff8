//! Reads counts: of some rows in some days, and the sums of recent days. Not here: writing (`writer`, `fold`).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;

use super::states::RowState;
use super::{Block, Downloads, FIRST_DAY, UNKNOWN};
use crate::array::day::number_of;
use crate::error::Result;
use crate::store::blocking;

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

    /// Returns the downloads of each row in `days`.
    pub async fn recent(&self, days: RangeInclusive<Date>) -> Result<Vec<Recent>> {
        let places = self.shards(&days).flat_map(|column| self.blocks().into_iter().map(move |block| (block, column)));
        let sums = places.map(|(block, column)| {
            let days = days.clone();
            async move {
                let add = move |cells: Cells| {
                    let sum = |row| {
                        let known = cells.row(row).iter().filter(|&&count| count != UNKNOWN);
                        known.fold(Recent::default(), |sum, &count| Recent {
                            sum: sum.sum + u64::from(count),
                            known_days: sum.known_days + 1,
                        })
                    };
                    (0..cells.rows()).map(sum).collect::<Vec<_>>()
                };
                Ok((block.clone(), self.with_shard(block.number, column, days, add).await?))
            }
        });
        let all = vec![Recent::default(); self.rows() as usize];
        let add = |mut all: Vec<Recent>, (block, sums): (Block, Option<Vec<Recent>>)| {
            for (sum, of_shard) in all[block.rows.start as usize..].iter_mut().zip(sums.into_iter().flatten()) {
                sum.sum += of_shard.sum;
                sum.known_days += of_shard.known_days;
            }
            std::future::ready(Ok(all))
        };
        stream::iter(sums).buffered(SHARDS_AT_ONCE).try_fold(all, add).await
    }

    /// Returns the counts of some rows in `days`, in the order of `rows`; `None` where a count is not known.
    pub async fn read(&self, rows: &[u32], days: RangeInclusive<Date>) -> Result<Vec<Vec<Option<u32>>>> {
        let length = (number_of(*days.end()) - number_of(*days.start()) + 1).max(0) as usize;
        let mut found = vec![vec![None; length]; rows.len()];
        let mut by_block: BTreeMap<u32, Vec<(usize, usize)>> = BTreeMap::new();
        for (place, &row) in rows.iter().enumerate().filter(|&(_, &row)| row < self.rows()) {
            let in_block = (row % self.block_rows()) as usize;
            by_block.entry(row / self.block_rows()).or_default().push((place, in_block));
        }
        for (block, places) in by_block {
            for column in self.shards(&days) {
                let wanted = places.clone();
                let take = move |cells: Cells| {
                    let take = |(place, row)| (place, cells.row(row).to_vec());
                    (cells.first_day, wanted.into_iter().map(take).collect::<Vec<_>>())
                };
                let taken = self.with_shard(block, column, days.clone(), take).await?;
                for (first_day, (place, counts)) in
                    taken.into_iter().flat_map(|(day, rows)| rows.into_iter().map(move |row| (day, row)))
                {
                    let from = (first_day - number_of(*days.start())) as usize;
                    for (cell, count) in found[place][from..].iter_mut().zip(counts) {
                        *cell = Some(count).filter(|&count| count != UNKNOWN);
                    }
                }
            }
        }
        Ok(found)
    }

    /// Returns the shards that have some of `days`, by their place along the days.
    fn shards(&self, days: &RangeInclusive<Date>) -> std::ops::Range<u32> {
        let first = (number_of(*days.start()).max(number_of(FIRST_DAY)) - number_of(FIRST_DAY)) as u32;
        let last = number_of(*days.end()).min(number_of(self.last_day())) - number_of(FIRST_DAY);
        let end = u32::try_from(last + 1).unwrap_or_default().div_ceil(self.shard_days());
        (first / self.shard_days()).min(end)..end
    }

    /// Calls `see` with the cells of a shard; `None` if there is no such shard, and so no known cell.
    async fn with_shard<T: Send + 'static>(
        &self,
        block: u32,
        column: u32,
        days: RangeInclusive<Date>,
        see: impl FnOnce(Cells) -> T + Send + 'static,
    ) -> Result<Option<T>> {
        let (form, shard_days) = (self.counts.clone(), self.shard_days() as i32);
        let path = form.path(&[block.into(), column.into()]);
        let Some(bytes) = self.store().get(&path).await? else { return Ok(None) };
        blocking("the reader of counts", move || {
            let counts = form.decode::<u32>(&path, &bytes)?;
            let shard_start = number_of(FIRST_DAY) + column as i32 * shard_days;
            let first_day = number_of(*days.start()).max(shard_start);
            let end = (number_of(*days.end()) + 1).clamp(first_day, (shard_start + shard_days).max(first_day));
            let taken = (first_day - shard_start) as usize..(end - shard_start) as usize;
            Ok(Some(see(Cells { counts, shard_days: shard_days as usize, first_day, taken })))
        })
        .await
    }
}

/// The cells of a shard, and which of its days are wanted.
struct Cells {
    counts: Vec<u32>,
    shard_days: usize,
    /// The number of the first wanted day.
    first_day: i32,
    taken: std::ops::Range<usize>,
}

impl Cells {
    fn rows(&self) -> usize {
        self.counts.len() / self.shard_days
    }

    fn row(&self, row: usize) -> &[u32] {
        self.counts[row * self.shard_days..].get(self.taken.clone()).unwrap_or_default()
    }
}
