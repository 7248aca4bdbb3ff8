//! Reads some rows and columns of an array of numbers: the index of a shard first, then only the chunks that are wanted,
//! those near each other by one read. All that is read of a shard is of one version of it. Not here: the form of a chunk
//! (`numbers`).

use std::ops::Range;

use parquet::file::reader::ChunkReader;

use super::form::{ArrayForm, damaged};
use super::numbers::{ChunkDecoder, Number, NumberShard};
use super::rows::{Piece, Rows, Tile, clipped, count};
use crate::error::{Error, Result};
use crate::store::{ShardFile, Store, blocking};

/// Chunks of an object in a bucket are read together if not more than this is between them: a request takes as long as a
/// megabyte or two.
const FAR_GAP_BYTES: u64 = 1 << 20;
/// The same of a file.
const LOCAL_GAP_BYTES: u64 = 16 << 10;
/// How often a shard is read again because it was replaced meanwhile.
const MAX_TRIES: usize = 5;

/// An array of numbers in a store. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct ArrayReader {
    store: Store,
    form: ArrayForm,
    shape: [u32; 2],
    shard: [u32; 2],
}

impl ArrayReader {
    /// Fails with [`crate::error::ErrorKind::Lake`] if the array has more than two dimensions.
    pub(super) fn new(store: &Store, form: ArrayForm) -> Result<ArrayReader> {
        let (shape, shard) = form.as_matrix()?;
        Ok(ArrayReader { store: store.clone(), form, shape, shard })
    }

    /// Returns the number of rows, and of columns.
    pub(super) fn shape(&self) -> [u32; 2] {
        self.shape
    }

    /// Returns the parts of shards that have some of the rows and columns, block of rows after block.
    pub(super) fn tiles(&self, rows: &Rows, columns: Range<u32>) -> Vec<Tile> {
        let rows = rows.within(0..self.shape[0]);
        let columns = columns.start..columns.end.min(self.shape[1]);
        let bounds = |axis: usize, place: u32| {
            let start = place * self.shard[axis];
            start..start.saturating_add(self.shard[axis]).min(self.shape[axis])
        };
        let mut tiles = Vec::new();
        let mut next = 0;
        for range in &rows {
            for block in next.max(range.start / self.shard[0])..range.end.div_ceil(self.shard[0]) {
                next = block + 1;
                let rows: Vec<_> = clipped(&rows, &bounds(0, block)).collect();
                for place in columns.start / self.shard[1]..columns.end.div_ceil(self.shard[1]) {
                    let bounds = bounds(1, place);
                    let columns = columns.start.max(bounds.start)..columns.end.min(bounds.end);
                    if !columns.is_empty() {
                        tiles.push(Tile { shard: [block, place], rows: rows.clone(), columns });
                    }
                }
            }
        }
        tiles
    }

    /// Reads the wanted cells of a shard, chunk by chunk. A chunk that is not stored gives none: all its cells have the fill
    /// value. Fails with [`crate::error::ErrorKind::Lake`] if the shard is damaged, or is replaced all the time.
    pub(super) async fn read_tile<T: Number>(&self, tile: &Tile) -> Result<Vec<Piece<T>>> {
        let dimensions = self.form.shape().len();
        let path = self.form.path(&tile.shard.map(u64::from)[..dimensions]);
        let part = Part::new(self.shard, tile);
        for _ in 0..MAX_TRIES {
            let opened = match self.form.numbers().filter(|numbers| !part.is_most_of(*numbers)) {
                Some(_) => self.store.open_shard(&path).await?,
                None => self.store.get(&path).await?.map(ShardFile::Bytes),
            };
            let Some(file) = opened else { return Ok(Vec::new()) };
            let (form, part, opened, name) = (self.form.clone(), part.clone(), file.clone(), path.clone());
            let read = blocking("the reader of an array", move || match form.numbers() {
                Some(numbers) => part.read(numbers, &opened, &name),
                None => part.decode(&form, &opened, &name),
            });
            match read.await {
                Err(_) if file.is_replaced() => {}
                read => return read,
            }
        }
        Err(Error::lake(format!("{path} was replaced again and again while it was read"))
            .hint("another process works on the lake; run the same command again"))
    }

    /// Reads ranges of the elements of an array of one dimension, one after another. Neither their starts nor their ends
    /// descend; they may overlap.
    pub(super) async fn read_elements<T: Number>(&self, ranges: &[Range<u32>]) -> Result<Vec<T>> {
        let mut elements = vec![self.form.fill::<T>()?; count(ranges)];
        // The place of each range among the elements.
        let starts: Vec<usize> =
            ranges.iter().scan(0, |next, range| Some(std::mem::replace(next, *next + range.len()))).collect();
        for tile in self.tiles(&Rows::joined(ranges.iter().cloned()), 0..1) {
            for piece in self.read_tile::<T>(&tile).await? {
                let mut cells = piece.cells.as_slice();
                for part in &piece.rows {
                    // A range of the piece may have several of the wanted ones.
                    let first = ranges.partition_point(|range| range.end <= part.start);
                    for (range, start) in ranges[first..].iter().zip(&starts[first..]) {
                        if range.start >= part.end {
                            break;
                        }
                        let common = range.start.max(part.start)..range.end.min(part.end);
                        let (from, to) = ((common.start - part.start) as usize, (common.end - part.start) as usize);
                        let place = start + (common.start - range.start) as usize;
                        elements[place..place + common.len()].copy_from_slice(&cells[from..to]);
                    }
                    cells = &cells[part.len()..];
                }
            }
        }
        Ok(elements)
    }
}

/// A tile, with its place in the array.
#[derive(Debug, Clone)]
struct Part {
    shard: [u32; 2],
    /// The first row and column of the shard.
    origin: [u32; 2],
    tile: Tile,
}

impl Part {
    fn new(shard: [u32; 2], tile: &Tile) -> Part {
        let origin = [tile.shard[0] * shard[0], tile.shard[1] * shard[1]];
        Part { shard, origin, tile: tile.clone() }
    }

    /// Returns the places in the index of the wanted chunks, ascending, with the first row and column of each.
    fn chunks(&self, numbers: NumberShard) -> Vec<(usize, [u32; 2])> {
        let [chunk_rows, chunk_columns] = numbers.chunk().map(|length| length as u32);
        let in_row = numbers.grid()[1] as u32;
        let within = |place: u32, axis: usize| place - self.origin[axis];
        let columns = within(self.tile.columns.start, 1) / chunk_columns
            ..within(self.tile.columns.end, 1).div_ceil(chunk_columns);
        let mut chunks = Vec::new();
        let mut next = 0;
        for range in &self.tile.rows {
            let rows = within(range.start, 0) / chunk_rows..within(range.end, 0).div_ceil(chunk_rows);
            for row in rows.start.max(next)..rows.end {
                next = row + 1;
                chunks.extend(columns.clone().map(|column| {
                    let first = [self.origin[0] + row * chunk_rows, self.origin[1] + column * chunk_columns];
                    ((row * in_row + column) as usize, first)
                }));
            }
        }
        chunks
    }

    /// Returns whether so many chunks are wanted that one read of the whole shard is best.
    fn is_most_of(&self, numbers: NumberShard) -> bool {
        self.chunks(numbers).len() * 2 >= numbers.chunks()
    }

    /// Reads and decodes the wanted chunks.
    fn read<T: Number>(&self, numbers: NumberShard, file: &ShardFile, path: &str) -> Result<Vec<Piece<T>>> {
        let read = |range: Range<u64>| {
            let bytes = file.get_bytes(range.start, (range.end - range.start) as usize);
            bytes.map_err(|error| file.failure(|| damaged(path, &error.to_string())))
        };
        let is_damaged = |cause| damaged(path, cause);
        let index_bytes = numbers.index_bytes() as u64;
        let index_start = file.size_bytes().checked_sub(index_bytes).ok_or_else(|| is_damaged("it is too short"))?;
        let index = numbers.index(&read(index_start..file.size_bytes())?, index_start).map_err(is_damaged)?;
        let chunks = self.chunks(numbers).into_iter();
        let mut stored: Vec<(Range<u64>, [u32; 2])> =
            chunks.filter_map(|(place, first)| Some((index.get(place)?.clone()?, first))).collect();
        stored.sort_unstable_by_key(|(place, _)| place.start);
        let gap = if matches!(file, ShardFile::Far(_)) { FAR_GAP_BYTES } else { LOCAL_GAP_BYTES };
        let size = numbers.chunk().map(|length| length as u32);
        let mut decoder = ChunkDecoder::<T>::new(numbers).map_err(is_damaged)?;
        let mut pieces = Vec::with_capacity(stored.len());
        for near in stored.chunk_by(|(one, _), (next, _)| next.start <= one.end.saturating_add(gap)) {
            let start = near.first().map_or(0, |(place, _)| place.start);
            let end = near.iter().map(|(place, _)| place.end).max().unwrap_or(start);
            let bytes = read(start..end)?;
            for (place, first) in near {
                let frame = &bytes[(place.start - start) as usize..(place.end - start) as usize];
                pieces.push(self.cut(decoder.decode(frame).map_err(is_damaged)?, *first, size));
            }
        }
        Ok(pieces)
    }

    /// Decodes a shard of any form as a whole.
    fn decode<T: Number>(&self, form: &ArrayForm, file: &ShardFile, path: &str) -> Result<Vec<Piece<T>>> {
        let length = file.size_bytes() as usize;
        let bytes = file.get_bytes(0, length).map_err(|error| file.failure(|| damaged(path, &error.to_string())))?;
        Ok(vec![self.cut(&form.decode_numbers(path, &bytes)?, self.origin, self.shard)])
    }

    /// Takes the wanted cells out of a chunk of this size whose first row and column are `first`.
    fn cut<T: Copy>(&self, chunk: &[T], first: [u32; 2], size: [u32; 2]) -> Piece<T> {
        let rows: Vec<_> = clipped(&self.tile.rows, &(first[0]..first[0].saturating_add(size[0]))).collect();
        let columns =
            self.tile.columns.start.max(first[1])..self.tile.columns.end.min(first[1].saturating_add(size[1]));
        let width = size[1] as usize;
        let mut cells = Vec::with_capacity(count(&rows) * columns.len());
        for range in &rows {
            let rows = (range.start - first[0]) as usize..(range.end - first[0]) as usize;
            if columns.len() == width {
                cells.extend_from_slice(&chunk[rows.start * width..rows.end * width]);
                continue;
            }
            let (from, to) = ((columns.start - first[1]) as usize, (columns.end - first[1]) as usize);
            for row in rows {
                cells.extend_from_slice(&chunk[row * width + from..row * width + to]);
            }
        }
        Piece { rows, columns, cells }
    }
}

#[cfg(test)]
mod tests;
