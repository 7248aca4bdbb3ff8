//! Reads releases: of some rows in some months. Not here: writing them.

use std::ops::RangeInclusive;

use jiff::civil::Date;

use super::{COUNTS, first_day_of, month_of};
use crate::array::group::Group;
use crate::array::reader::ArrayReader;
use crate::array::rows::{Piece, Rows, Tile};
use crate::error::Result;
use crate::lake::OriginLayout;
use crate::store::Store;

/// `releases.zarr` of an origin, open for reading. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StoredReleases {
    reader: ArrayReader,
    generation: u64,
}

impl StoredReleases {
    /// Opens the array by one request; `None` if there is none.
    pub async fn find(store: &Store, layout: &OriginLayout) -> Result<Option<StoredReleases>> {
        let Some(found) = Group::new(store, layout.releases()).find().await? else { return Ok(None) };
        let reader = ArrayReader::new(store, found.array(COUNTS)?)?;
        Ok(Some(StoredReleases { reader, generation: found.generation() }))
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> u32 {
        self.reader.shape()[0]
    }

    /// Returns the number of months.
    pub fn months(&self) -> u32 {
        self.reader.shape()[1]
    }

    /// Returns the generation that the values had when the array was opened. It is odd while values change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the first day of the month of a column.
    pub fn month(&self, column: u32) -> Date {
        first_day_of(column)
    }

    /// Returns the parts of shards that have some rows in the months of `days`, block after block.
    pub fn tiles(&self, rows: &Rows, days: RangeInclusive<Date>) -> Vec<Tile> {
        let start =
            month_of(*days.start()).map_or(if *days.start() < first_day_of(0) { 0 } else { u32::MAX }, u32::from);
        let end = month_of(*days.end())
            .map_or(if *days.end() < first_day_of(0) { 0 } else { u32::MAX }, |month| u32::from(month) + 1);
        self.reader.tiles(rows, start.min(end)..end)
    }

    /// Reads the wanted counts of a shard, chunk by chunk. Only the chunks that have some of them are read. A chunk of zeros
    /// gives nothing.
    ///
    /// Fails with [`crate::error::ErrorKind::Lake`] if the shard is damaged, or is replaced all the time.
    pub async fn read_tile(&self, tile: &Tile) -> Result<Vec<Piece<u32>>> {
        self.reader.read_tile(tile).await
    }
}
