//! Folds segments into the shards of a block: the counts first, shard by shard, then the states of the rows, and then the
//! segments are removed. Each step may be done twice. Not here: segments (`segment`).

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::segment::{self, Record};
use super::states::{NEVER, States};
use super::writer::BlockWriter;
use super::{Block, Downloads, FIRST_DAY};
use crate::array::shard_change::ShardChange;
use crate::array::shards::replace_shard;
use crate::error::{Error, Result};
use crate::npm::day_number;
use crate::store::blocking;

/// The shards of a block that are folded at once. Each takes 80 MB of memory, and a core.
const SHARDS_AT_ONCE: usize = 2;

impl BlockWriter {
    /// Writes all segments into the array, and removes them.
    pub(super) async fn fold(&mut self) -> Result<()> {
        if self.segments.is_empty() {
            return Ok(());
        }
        (self.right)()?;
        self.downloads.group.begin_change().await?;
        let packed: Arc<Vec<Bytes>> = Arc::new(self.segments.iter().map(|(_, packed)| packed.clone()).collect());
        let counted_since = Arc::new(self.states.counted_since.clone());
        let columns = {
            let (packed, counted_since) = (Arc::clone(&packed), Arc::clone(&counted_since));
            let shard_days = self.downloads.shard_days();
            blocking("the reader of counts", move || columns_of(&packed, &counted_since, shard_days)).await?
        };
        let folds = columns.into_iter().map(|column| self.fold_column(column, &packed, &counted_since));
        stream::iter(folds).buffer_unordered(SHARDS_AT_ONCE).try_collect::<()>().await?;
        self.write_states().await?;
        (self.right)()?;
        for (path, _) in std::mem::take(&mut self.segments) {
            self.downloads.store().delete(&path).await?;
        }
        Ok(())
    }

    /// Writes the counts of the days of one shard.
    async fn fold_column(&self, column: u32, packed: &Arc<Vec<Bytes>>, counted_since: &Arc<Vec<i32>>) -> Result<()> {
        let Downloads { counts, .. } = &self.downloads;
        let path = counts.path(&[self.block.number.into(), column.into()]);
        let held = self.downloads.store().get(&path).await?;
        let new = {
            let (form, held, path) = (counts.clone(), held.clone(), path.clone());
            let (packed, counted_since) = (Arc::clone(packed), Arc::clone(counted_since));
            let days = self.downloads.shard_days() as usize;
            let first_day = day_number(FIRST_DAY) + column as i32 * days as i32;
            blocking("the fold of counts", move || {
                let mut change = ShardChange::<u32>::new(&form, &path, held.as_ref())?;
                for_each(&packed, |record| {
                    // Zeros before the first download are unknown.
                    let since = counted_since.get(record.row).copied().filter(|&since| since != NEVER);
                    let Some(since) = since else { return Ok(()) };
                    let (from, to) = record.within(since.max(first_day), first_day + days as i32);
                    if from < to {
                        let columns = (from - first_day) as usize..(to - first_day) as usize;
                        let cells = change.cells(record.row, columns)?;
                        for (day, count) in record.known(from, to) {
                            cells[(day - from) as usize] = count;
                        }
                    }
                    Ok(())
                })?;
                change.encode()
            })
            .await?
        };
        replace_shard(self.downloads.store(), &path, held.as_ref(), new, &self.right).await.map(drop)
    }

    async fn write_states(&mut self) -> Result<()> {
        let States { requested_since, requested_until, counted_since } = &self.states;
        let places = self.downloads.states.iter().zip(&mut self.held_states);
        for (values, (form, held)) in [requested_since, requested_until, counted_since].into_iter().zip(places) {
            let new = form.encode_numbers(values)?;
            let path = form.path(&[self.block.number.into()]);
            let store = self.downloads.group.store();
            replace_shard(store, &path, held.as_ref(), new.clone(), &self.right).await?;
            *held = new;
        }
        Ok(())
    }
}

impl Downloads {
    /// Reads the states of the rows of a block, and the objects that hold them.
    pub(super) async fn read_states(&self, block: &Block) -> Result<(States, [Option<Bytes>; 3])> {
        let mut held = [None, None, None];
        let mut values = [Vec::new(), Vec::new(), Vec::new()];
        for ((form, held), values) in self.states.iter().zip(&mut held).zip(&mut values) {
            let path = form.path(&[block.number.into()]);
            *held = self.store().get(&path).await?;
            *values = match held {
                Some(held) => form.decode_numbers::<i32>(&path, held)?,
                None => vec![NEVER; form.shard_elements()],
            };
        }
        let [requested_since, requested_until, counted_since] = values;
        Ok((States { requested_since, requested_until, counted_since }, held))
    }
}

/// Returns the shards, by their place along the days, for which the segments have cells that are not leading zeros.
fn columns_of(packed: &[Bytes], counted_since: &[i32], shard_days: u32) -> Result<BTreeSet<u32>> {
    let mut columns = BTreeSet::new();
    let column_of = |day: i32| ((day - day_number(FIRST_DAY)) as u32) / shard_days;
    for_each(packed, |record| {
        let Some(&since) = counted_since.get(record.row).filter(|&&since| since != NEVER) else { return Ok(()) };
        let first = since.max(record.since);
        if first < record.end() {
            columns.extend(column_of(first)..=column_of(record.end() - 1));
        }
        Ok(())
    })?;
    Ok(columns)
}

/// Calls `see` with each record of the segments, in their order.
fn for_each(packed: &[Bytes], mut see: impl FnMut(Record<'_>) -> Result<()>) -> Result<()> {
    for packed in packed {
        // It was read, or written, by this process before.
        let text = segment::unpack(packed).ok_or_else(|| Error::internal("a segment of counts is damaged"))?;
        segment::records(&text).flatten().try_for_each(&mut see)?;
    }
    Ok(())
}
