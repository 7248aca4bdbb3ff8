//! `downloads.zarr`: the downloads of each package on each day, and for which days npm was asked.
//!
//! A cell is known or unknown; unknown cells hold [`UNKNOWN`]. Cells are set and never added to, so counts that are
//! recorded twice are counted once. Not here: the requests for counts (`pipeline`).

mod fold;
mod known;
mod read;
mod repair;
mod segment;
mod specs;
mod states;
#[cfg(test)]
mod tests;
mod writer;

use std::ops::Range;

use jiff::civil::{Date, date};
use serde_json::Value;

use super::axis::PackageAxis;
use super::form::ArrayForm;
use super::group::{Group, StoredGroup};
use super::packages::{self, write_names};
use super::reader::ArrayReader;
use super::shards::{Right, replace_shard};
use super::spec::grown;
use crate::error::{Error, Result};
use crate::lake::OriginLayout;
use crate::npm::{day_number, day_of_number};
use crate::store::Store;

pub(super) use known::{Known, known_cells};
pub use read::Recent;
pub use segment::Counts;
pub use specs::DownloadsShape;
pub(super) use specs::{COUNTED_SINCE, COUNTS, DAY, REQUESTED_SINCE, REQUESTED_UNTIL};
pub use states::RowState;
pub(super) use states::{NEVER, States};
pub use writer::BlockWriter;

/// The first day of the axis: the earliest that npm's API of download counts knows.
pub const FIRST_DAY: Date = date(2015, 1, 10);
/// The value of a cell that is not known.
pub const UNKNOWN: u32 = u32::MAX;

/// Attributes with what a run knew at its end: the packages that npm was asked about, those with counts, and the days of
/// these from the first download to the last day asked for.
pub const PACKAGES_ASKED: &str = "packages_asked";
/// See [`PACKAGES_ASKED`].
pub const PACKAGES_COUNTED: &str = "packages_counted";
/// See [`PACKAGES_ASKED`].
pub const DAYS_COUNTED: &str = "days_counted";

/// Rows of the package axis that are written together, under one lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its number, from 0.
    pub number: u32,
    /// Its rows.
    pub rows: Range<u32>,
}

/// The array of download counts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Downloads {
    layout: OriginLayout,
    group: Group,
    generation: u64,
    counts: ArrayForm,
    reader: ArrayReader,
    states: [ArrayForm; 3],
}

impl Downloads {
    /// Opens the array, and creates it if there is none. Afterwards it has a row for each name of the axis, and the days
    /// up to `last_day` at least; new cells are unknown. The caller holds the lease of the package axis;
    /// `right` is called before each object is written.
    pub async fn open(
        store: &Store,
        layout: &OriginLayout,
        axis: &PackageAxis,
        last_day: Date,
        right: &Right,
    ) -> Result<Downloads> {
        Downloads::open_with(store, layout, axis, last_day, right, DownloadsShape::default()).await
    }

    /// The same, with the chunks of an array that is created.
    pub async fn open_with(
        store: &Store,
        layout: &OriginLayout,
        axis: &PackageAxis,
        last_day: Date,
        right: &Right,
        shape: DownloadsShape,
    ) -> Result<Downloads> {
        let group = Group::new(store, layout.downloads());
        let days = u64::try_from(day_number(last_day) - day_number(FIRST_DAY) + 1).unwrap_or_default();
        let rows = u64::from(axis.rows());
        let held = group.find().await?;
        let held_rows = held.as_ref().map(size_of).transpose()?.unwrap_or_default().0;
        let plan = |held: Option<&StoredGroup>| -> Result<Option<Value>> {
            let Some(held) = held else { return Ok(Some(specs::created(shape, rows, days.max(1)))) };
            let (held_rows, held_days) = size_of(held)?;
            let is_greater = rows > held_rows || days > held_days;
            Ok(is_greater.then(|| grown(held.json(), &specs::lengths(rows.max(held_rows), days.max(held_days)))))
        };
        if let Some(planned) = plan(held.as_ref())? {
            // The objects of the coordinates come first: the metadata says how much of them counts.
            let form = |name| ArrayForm::of_group(&planned, group.folder(), name);
            write_days(store, &form(specs::DAY)?, right).await?;
            write_names(store, &form(packages::NAME)?, axis, held_rows, right).await?;
        }
        // Also if nothing is planned: a process that died may have left copies of older metadata.
        let (now, _) = group.update(plan).await?;
        Downloads::of(layout, group, &now)
    }

    /// Opens the array for reading, by one request; `None` if there is none. Writes nothing.
    pub async fn find(store: &Store, layout: &OriginLayout) -> Result<Option<Downloads>> {
        let group = Group::new(store, layout.downloads());
        let found = group.find().await?;
        found.map(|found| Downloads::of(layout, group, &found)).transpose()
    }

    fn of(layout: &OriginLayout, group: Group, stored: &StoredGroup) -> Result<Downloads> {
        let counts = stored.array(specs::COUNTS)?;
        let states = [specs::REQUESTED_SINCE, specs::REQUESTED_UNTIL, specs::COUNTED_SINCE];
        let [since, until, counted] = states.map(|name| stored.array(name));
        Ok(Downloads {
            layout: layout.clone(),
            generation: stored.generation(),
            reader: ArrayReader::new(group.store(), counts.clone())?,
            counts,
            states: [since?, until?, counted?],
            group,
        })
    }

    /// Returns the generation that the values had when the array was opened. It is odd while values change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the last day of the axis.
    pub fn last_day(&self) -> Date {
        let days = self.counts.shape().get(1).copied().unwrap_or_default();
        day_of_number(day_number(FIRST_DAY) + days as i32 - 1)
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> u32 {
        self.counts.shape().first().copied().unwrap_or_default() as u32
    }

    /// Returns the blocks of rows, in their order.
    pub fn blocks(&self) -> Vec<Block> {
        let (rows, block_rows) = (self.rows(), self.block_rows());
        let blocks = 0..rows.div_ceil(block_rows);
        blocks.map(|number| Block { number, rows: number * block_rows..rows.min((number + 1) * block_rows) }).collect()
    }

    /// Ends a run: the attribute `generation` becomes even again if a value has changed. A run that dies before that has
    /// lost nothing.
    pub async fn finish(&self) -> Result<()> {
        if self.group.find().await?.is_some_and(|group| group.is_settled()) {
            return Ok(());
        }
        let [mut asked, mut counted, mut days] = [0u64; 3];
        for block in self.blocks() {
            for state in self.states(&block).await? {
                asked += u64::from(state.requested.is_some());
                if let Some((first, (_, last))) = state.first_known.zip(state.requested) {
                    counted += 1;
                    days += u64::try_from(day_number(last) - day_number(first) + 1).unwrap_or_default();
                }
            }
        }
        let attributes = [(PACKAGES_ASKED, asked), (PACKAGES_COUNTED, counted), (DAYS_COUNTED, days)];
        self.group.set_attributes(&attributes.map(|(name, number)| (name, Value::from(number)))).await?;
        self.group.end_change().await.map(drop)
    }

    fn store(&self) -> &Store {
        self.group.store()
    }

    fn block_rows(&self) -> u32 {
        self.counts.shard_shape().first().copied().unwrap_or(1) as u32
    }

    /// Returns the number of days of a shard.
    fn shard_days(&self) -> u32 {
        self.counts.shard_shape().get(1).copied().unwrap_or(1) as u32
    }
}

/// Writes the coordinate `day`, once and far ahead: the metadata says how many of the days count.
async fn write_days(store: &Store, form: &ArrayForm, right: &Right) -> Result<()> {
    let path = form.path(&[0]);
    let days = form.encode_numbers(&days_of_axis(form.shard_elements()))?;
    let held = store.get(&path).await?;
    replace_shard(store, &path, held.as_ref(), days, right).await.map(drop)
}

/// Returns the values of the coordinate `day`.
pub(super) fn days_of_axis(length: usize) -> Vec<i64> {
    (i64::from(day_number(FIRST_DAY))..).take(length).collect()
}

/// Returns the rows and days of the array.
fn size_of(group: &StoredGroup) -> Result<(u64, u64)> {
    match group.array(specs::COUNTS)?.shape() {
        &[rows, days] => Ok((rows, days)),
        _ => Err(Error::lake(format!("{} is damaged: it has no two dimensions", specs::COUNTS))),
    }
}
