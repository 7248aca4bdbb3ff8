//! Records counts of a block: in memory first, then in segments of staging, and at the end in the array. Not here: how the
//! segments become cells (`fold`).

use std::sync::Arc;

use bytes::Bytes;

use super::segment::{self, Counts, Record, SEGMENT_BYTES};
use super::states::{RowState, States};
use super::{Block, Downloads, FIRST_DAY, UNKNOWN};
use crate::array::shards::Right;
use crate::error::{Error, Result};
use crate::lake::Layout;
use crate::npm::{day_number, day_of_number};
use crate::store::blocking;

/// The bytes of segments that are kept, compressed, until they are folded into the array.
const MAX_STAGED_BYTES: usize = 64 << 20;

/// Records the counts of one block. Nothing that was flushed is lost with the process: the next writer of the block goes on
/// with it.
pub struct BlockWriter {
    pub(super) downloads: Downloads,
    pub(super) block: Block,
    pub(super) right: Right,
    pub(super) states: States,
    /// The objects of the states as they are stored.
    pub(super) held_states: [Option<Bytes>; 3],
    /// The segments in staging: their paths and bytes.
    pub(super) segments: Vec<(String, Bytes)>,
    text: Vec<u8>,
    next_segment: u32,
}

impl Downloads {
    /// Begins to write a block, whose lease the caller holds. Segments of a process that died are taken over. `right` fails
    /// when the lease is lost; it is called before each object is written.
    ///
    /// Fails with [`crate::error::ErrorKind::Lake`] if the states of the block are damaged.
    pub async fn writer(&self, block: &Block, right: &Right) -> Result<BlockWriter> {
        let (states, held_states) = self.read_states(block).await?;
        let mut writer = BlockWriter {
            downloads: self.clone(),
            block: block.clone(),
            right: Arc::clone(right),
            states,
            held_states,
            segments: Vec::new(),
            text: Vec::new(),
            next_segment: 0,
        };
        writer.take_over().await?;
        Ok(writer)
    }
}

impl BlockWriter {
    /// Returns the state of each row of the block, with all that was recorded.
    pub fn states(&self) -> Vec<RowState> {
        self.states.all(self.block.rows.len())
    }

    /// Returns the state of a row of the block.
    pub fn state(&self, row: u32) -> RowState {
        self.states.state(row.wrapping_sub(self.block.rows.start) as usize)
    }

    /// Records the counts of a package in memory, and writes a segment when there is a megabyte.
    ///
    /// Fails with [`crate::error::ErrorKind::Network`] if a count does not fit 32 bits, and with
    /// [`crate::error::ErrorKind::Internal`] for a row of another block, for days that are not of the axis, and if there
    /// were days between those asked for before and these.
    pub async fn record(&mut self, counts: Counts) -> Result<()> {
        let name = |row: u32| format!("row {row} of {}", self.downloads.group.folder());
        if !self.block.rows.contains(&counts.row) {
            return Err(Error::internal(format!("block {} has no {}", self.block.number, name(counts.row))));
        }
        let (since, row) = (day_number(counts.since), counts.row - self.block.rows.start);
        let mut numbers = Vec::with_capacity(counts.counts.len());
        for (day, count) in (since..).zip(&counts.counts) {
            let number = count.map_or(Some(UNKNOWN), |count| u32::try_from(count).ok().filter(|&n| n != UNKNOWN));
            numbers.push(number.ok_or_else(|| {
                Error::network(format!("the count of {} on {} is too large", name(counts.row), day_of_number(day)))
                    .hint("a count of more than 4 billion downloads a day is a mistake of the server")
            })?);
        }
        if numbers.is_empty() {
            return Ok(());
        }
        let start = self.text.len();
        segment::push(&mut self.text, row, since, numbers.into_iter());
        let record = segment::records(&self.text[start..]).next().flatten();
        let is_of_axis = |record: &Record| {
            record.since >= day_number(FIRST_DAY) && record.end() - 1 <= day_number(self.downloads.last_day())
        };
        match record.filter(|record| is_of_axis(record) && self.states.continues(row as usize, record)) {
            Some(record) => self.states.add(row as usize, &record),
            None => {
                self.text.truncate(start);
                return Err(Error::internal(format!(
                    "the counts of {} since {} are not of the axis, or leave a gap",
                    name(counts.row),
                    counts.since
                )));
            }
        }
        if self.text.len() >= SEGMENT_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Writes what is recorded into staging; durable when it returns.
    pub async fn flush(&mut self) -> Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        let packed = segment::pack(&self.text)?;
        let path = self.downloads.layout.staged_counts(self.block.number, self.next_segment);
        (self.right)()?;
        if !self.downloads.store().put_if_absent(&path, packed.clone()).await? {
            return Err(Error::lake(format!("another process records counts of block {}", self.block.number))
                .hint("this process stood still for so long that its lease lapsed; run the same command again"));
        }
        self.text.clear();
        self.next_segment += 1;
        self.segments.push((path, packed));
        let staged: usize = self.segments.iter().map(|(_, packed)| packed.len()).sum();
        if staged > MAX_STAGED_BYTES { self.fold().await } else { Ok(()) }
    }

    /// Writes all that is recorded into the array, and removes it from staging. If the process dies meanwhile, the next
    /// writer of the block does the same again.
    pub async fn finish(mut self) -> Result<()> {
        self.flush().await?;
        self.fold().await
    }

    /// Reads the segments of a process that died. A damaged one is removed as a whole: its counts are asked for again.
    async fn take_over(&mut self) -> Result<()> {
        let store = self.downloads.store().clone();
        for path in store.list(&self.downloads.layout.downloads_staging(self.block.number)).await? {
            let Some(number) = Layout::parse_staged_counts(&path) else { continue };
            let Some(packed) = store.get(&path).await? else { continue };
            self.next_segment = self.next_segment.max(number + 1);
            let bytes = packed.clone();
            let text = blocking("the reader of counts", move || Ok(segment::unpack(&bytes))).await?;
            let rows = self.block.rows.len();
            let records: Option<Vec<Record>> = text.as_deref().and_then(|text| segment::records(text).collect());
            match records.filter(|records| records.iter().all(|record| record.row < rows)) {
                Some(records) => {
                    records.iter().for_each(|record| self.states.add(record.row, record));
                    self.segments.push((path, packed));
                }
                None => {
                    tracing::warn!(path, "a segment of counts is damaged, and is discarded");
                    (self.right)()?;
                    store.delete(&path).await?;
                }
            }
        }
        Ok(())
    }
}
