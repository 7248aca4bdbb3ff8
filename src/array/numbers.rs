//! Shards of numbers: encodes and decodes them, and one chunk alone. All arrays of numbers that this tool makes have this
//! form. The bytes are those that `zarrs` makes of the same values. Not here: any other form (`form`), and where shards are
//! stored (`reader`).

use std::ops::Range;

use bytemuck::Pod;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;
use zarrs::array::{Element, ElementOwned};

use crate::error::{Context, ErrorKind, Result};

/// Two numbers of eight bytes for each chunk.
const ENTRY_BYTES: usize = 16;
/// A checksum: of the index, or of a chunk.
const CHECKSUM_BYTES: usize = 4;

/// A type of numbers.
pub(super) trait Number: Pod + PartialEq + Element + ElementOwned + DeserializeOwned + Send + 'static {
    /// Its name in the metadata of an array.
    const DATA_TYPE: &'static str;
}

impl Number for u8 {
    const DATA_TYPE: &'static str = "uint8";
}

impl Number for u32 {
    const DATA_TYPE: &'static str = "uint32";
}

impl Number for i32 {
    const DATA_TYPE: &'static str = "int32";
}

impl Number for i64 {
    const DATA_TYPE: &'static str = "int64";
}

/// The layout of a shard. An array of one dimension has one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NumberShard {
    /// The rows and columns of a shard.
    shard: [usize; 2],
    /// The rows and columns of a chunk. They divide those of a shard.
    chunk: [usize; 2],
    /// The level of zstd.
    level: i32,
    /// Whether the frame of zstd has a checksum of the elements.
    has_checksum: bool,
    /// Whether a CRC-32C of the frame follows it.
    has_crc: bool,
}

impl NumberShard {
    /// Reads the metadata of an array; `None` if its shards are of another form.
    pub(super) fn of(metadata: &Value) -> Option<NumberShard> {
        let [sharding] = metadata["codecs"].as_array()?.as_slice() else { return None };
        let sharding = (sharding["name"] == "sharding_indexed").then_some(&sharding["configuration"])?;
        let (to_bytes, zstd, has_crc) = match sharding["codecs"].as_array()?.as_slice() {
            [to_bytes, zstd] => (to_bytes, zstd, false),
            [to_bytes, zstd, crc] if crc["name"] == "crc32c" => (to_bytes, zstd, true),
            _ => return None,
        };
        let [index_to_bytes, checksum] = sharding["index_codecs"].as_array()?.as_slice() else { return None };
        // One byte has no order.
        let is_little = |codec: &Value, may_be_absent: bool| {
            let endian = &codec["configuration"]["endian"];
            codec["name"] == "bytes" && (endian == "little" || (may_be_absent && endian.is_null()))
        };
        let is_of_this_form = cfg!(target_endian = "little")
            && is_little(to_bytes, metadata["data_type"] == "uint8")
            && zstd["name"] == "zstd"
            && is_little(index_to_bytes, false)
            && checksum["name"] == "crc32c"
            && (sharding["index_location"].is_null() || sharding["index_location"] == "end")
            && metadata["chunk_grid"]["name"] == "regular";
        let shard = lengths(&metadata["chunk_grid"]["configuration"]["chunk_shape"])?;
        let chunk = lengths(&sharding["chunk_shape"])?;
        let divides = shard.iter().zip(chunk).all(|(shard, chunk)| chunk > 0 && shard.is_multiple_of(chunk));
        (is_of_this_form && divides).then_some(())?;
        Some(NumberShard {
            shard,
            chunk,
            level: i32::try_from(zstd["configuration"]["level"].as_i64()?).ok()?,
            has_checksum: zstd["configuration"]["checksum"].as_bool().unwrap_or_default(),
            has_crc,
        })
    }

    /// Returns the rows and columns of a chunk.
    pub(super) fn chunk(self) -> [usize; 2] {
        self.chunk
    }

    /// Returns the number of chunks along the rows, and along the columns. The index has one row of them after another.
    pub(super) fn grid(self) -> [usize; 2] {
        [self.shard[0] / self.chunk[0], self.shard[1] / self.chunk[1]]
    }

    /// Returns the number of chunks of a shard.
    pub(super) fn chunks(self) -> usize {
        let [along_rows, along_columns] = self.grid();
        along_rows * along_columns
    }

    /// Returns the size of the index at the end of a shard.
    pub(super) fn index_bytes(self) -> usize {
        index_bytes(self.chunks())
    }

    /// Returns the numbers of the chunks that have some columns of a row.
    pub(super) fn chunks_of(self, row: usize, columns: &Range<usize>) -> Range<usize> {
        let first = row / self.chunk[0] * self.grid()[1];
        first + columns.start / self.chunk[1]..first + columns.end.div_ceil(self.chunk[1])
    }

    fn is_contiguous(self) -> bool {
        self.chunk[1] == self.shard[1]
    }

    fn chunk_elements(self) -> usize {
        self.chunk[0] * self.chunk[1]
    }

    /// Returns the places of the rows of a chunk in a shard.
    fn chunk_rows(self, number: usize) -> impl Iterator<Item = Range<usize>> {
        let (in_row, width) = (self.grid()[1], self.chunk[1]);
        let (row, column) = (number / in_row * self.chunk[0], number % in_row * width);
        (row..row + self.chunk[0]).map(move |row| row * self.shard[1] + column).map(move |start| start..start + width)
    }

    /// Encodes the elements of a shard, row by row; `None` if all are `fill`.
    pub(super) fn encode<T: Number>(self, elements: &[T], fill: T) -> Result<Option<Bytes>> {
        self.encode_changed(elements, fill, |_| None)
    }

    /// The same, but takes a chunk as it was stored where `stored` returns its frame. Such elements are not read.
    pub(super) fn encode_changed<'a, T: Number>(
        self,
        elements: &[T],
        fill: T,
        stored: impl Fn(usize) -> Option<Option<&'a [u8]>>,
    ) -> Result<Option<Bytes>> {
        let cannot = || "cannot compress a chunk".to_owned();
        let mut compressor = zstd::bulk::Compressor::new(self.level).or_error(ErrorKind::Internal, cannot)?;
        compressor.include_checksum(self.has_checksum).or_error(ErrorKind::Internal, cannot)?;
        let (mut shard, mut index) = (Vec::new(), Vec::with_capacity(self.index_bytes()));
        let (mut gathered, mut packed) = (Vec::new(), Vec::new());
        packed.reserve(zstd::zstd_safe::compress_bound(self.chunk_elements() * size_of::<T>()));
        for number in 0..self.chunks() {
            let frame = match stored(number) {
                Some(frame) => frame,
                None => {
                    let chunk = self.gather(elements, number, &mut gathered);
                    if chunk.iter().all(|element| *element == fill) {
                        None
                    } else {
                        packed.clear();
                        let bytes = bytemuck::cast_slice(chunk);
                        compressor.compress_to_buffer(bytes, &mut packed).or_error(ErrorKind::Internal, cannot)?;
                        if self.has_crc {
                            packed.extend(crc32c::crc32c(&packed).to_le_bytes());
                        }
                        Some(packed.as_slice())
                    }
                }
            };
            let Some(frame) = frame else {
                index.extend([u8::MAX; ENTRY_BYTES]);
                continue;
            };
            index.extend((shard.len() as u64).to_le_bytes());
            index.extend((frame.len() as u64).to_le_bytes());
            shard.extend_from_slice(frame);
        }
        if shard.is_empty() {
            return Ok(None);
        }
        let checksum = crc32c::crc32c(&index);
        shard.extend(index);
        shard.extend(checksum.to_le_bytes());
        Ok(Some(shard.into()))
    }

    /// Returns the elements of a chunk, in `gathered` if they are not together in the shard.
    fn gather<'a, T: Copy>(self, elements: &'a [T], number: usize, gathered: &'a mut Vec<T>) -> &'a [T] {
        if self.is_contiguous() {
            return &elements[number * self.chunk_elements()..(number + 1) * self.chunk_elements()];
        }
        gathered.clear();
        self.chunk_rows(number).for_each(|row| gathered.extend_from_slice(&elements[row]));
        gathered
    }

    /// Decodes a shard into its elements, row by row. Fails with the reason why its bytes are damaged.
    pub(super) fn decode<T: Number>(self, shard: &[u8], fill: T) -> Result<Vec<T>, &'static str> {
        let places = self.places(shard)?;
        let mut elements = vec![fill; self.shard[0] * self.shard[1]];
        let mut decoder = ChunkDecoder::new(self)?;
        for (number, place) in places.into_iter().enumerate() {
            let Some(place) = place else { continue };
            self.decode_chunk(number, &shard[place.start as usize..place.end as usize], &mut decoder, &mut elements)?;
        }
        Ok(elements)
    }

    /// Decodes a chunk to its place among the elements of a shard.
    pub(super) fn decode_chunk<T: Number>(
        self,
        number: usize,
        frame: &[u8],
        decoder: &mut ChunkDecoder<T>,
        elements: &mut [T],
    ) -> Result<(), &'static str> {
        if self.is_contiguous() {
            let chunk = number * self.chunk_elements()..(number + 1) * self.chunk_elements();
            return decoder.decode_into(frame, &mut elements[chunk]);
        }
        let chunk = decoder.decode(frame)?;
        for (row, cells) in self.chunk_rows(number).zip(chunk.chunks_exact(self.chunk[1])) {
            elements[row].copy_from_slice(cells);
        }
        Ok(())
    }

    /// Returns the place of each chunk in a shard; `None` for a chunk that is not stored.
    pub(super) fn places(self, shard: &[u8]) -> Result<Vec<Option<Range<u64>>>, &'static str> {
        places(shard, self.chunks())
    }

    /// The same, from the last [`Self::index_bytes`] bytes of a shard. The chunks are before `index_start`.
    pub(super) fn index(self, end: &[u8], index_start: u64) -> Result<Vec<Option<Range<u64>>>, &'static str> {
        if end.len() != self.index_bytes() {
            return Err("it is too short");
        }
        index(end, index_start)
    }
}

/// Returns the place of each chunk in a shard of any codecs, whose index has a CRC-32C and is at its end; `None` for a chunk
/// that is not stored.
pub(super) fn places(shard: &[u8], chunks: usize) -> Result<Vec<Option<Range<u64>>>, &'static str> {
    let index_start = shard.len().checked_sub(index_bytes(chunks)).ok_or("it is too short")?;
    index(&shard[index_start..], index_start as u64)
}

fn index_bytes(chunks: usize) -> usize {
    chunks * ENTRY_BYTES + CHECKSUM_BYTES
}

fn index(end: &[u8], index_start: u64) -> Result<Vec<Option<Range<u64>>>, &'static str> {
    let (index, checksum) = end.split_last_chunk::<CHECKSUM_BYTES>().ok_or("it is too short")?;
    if crc32c::crc32c(index).to_le_bytes() != *checksum {
        return Err("the checksum of its index is wrong");
    }
    let number = |bytes: &[u8]| bytes.try_into().map_or(u64::MAX, u64::from_le_bytes);
    let place = |entry: &[u8]| {
        let (offset, length) = entry.split_at(ENTRY_BYTES / 2);
        let (offset, length) = (number(offset), number(length));
        if (offset, length) == (u64::MAX, u64::MAX) {
            return Ok(None);
        }
        let end = offset.checked_add(length).filter(|&end| end <= index_start).ok_or("its index is wrong")?;
        Ok(Some(offset..end))
    };
    index.chunks_exact(ENTRY_BYTES).map(place).collect()
}

/// Decodes chunks, one after another, in the same memory.
pub(super) struct ChunkDecoder<T> {
    decompressor: zstd::bulk::Decompressor<'static>,
    chunk: Vec<T>,
    elements: usize,
    has_crc: bool,
}

impl<T: Number> ChunkDecoder<T> {
    pub(super) fn new(form: NumberShard) -> Result<ChunkDecoder<T>, &'static str> {
        let decompressor = zstd::bulk::Decompressor::new().map_err(|_| "there is no memory for it")?;
        Ok(ChunkDecoder { decompressor, chunk: Vec::new(), elements: form.chunk_elements(), has_crc: form.has_crc })
    }

    /// Decodes a chunk into its elements, row by row.
    pub(super) fn decode(&mut self, frame: &[u8]) -> Result<&[T], &'static str> {
        let mut chunk = std::mem::take(&mut self.chunk);
        chunk.resize(self.elements, T::zeroed());
        let decoded = self.decode_into(frame, &mut chunk);
        self.chunk = chunk;
        decoded.map(|()| self.chunk.as_slice())
    }

    fn decode_into(&mut self, mut frame: &[u8], chunk: &mut [T]) -> Result<(), &'static str> {
        if self.has_crc {
            let (before, crc) = frame.split_last_chunk::<CHECKSUM_BYTES>().ok_or("a chunk is too short")?;
            if crc32c::crc32c(before).to_le_bytes() != *crc {
                return Err("the checksum of a chunk is wrong");
            }
            frame = before;
        }
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(chunk);
        match self.decompressor.decompress_to_buffer(frame, bytes) {
            Ok(read) if read == bytes.len() => Ok(()),
            Ok(_) => Err("a chunk has another size than it must have"),
            Err(_) => Err("a chunk cannot be decompressed"),
        }
    }
}

/// Returns one or two lengths as two.
fn lengths(shape: &Value) -> Option<[usize; 2]> {
    let length = |length: &Value| usize::try_from(length.as_u64()?).ok();
    match shape.as_array()?.as_slice() {
        [rows] => Some([length(rows)?, 1]),
        [rows, columns] => Some([length(rows)?, length(columns)?]),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
