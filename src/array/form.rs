//! An array as its metadata describes it: encodes and decodes whole shards, and names their objects. `zarrs` encodes and
//! decodes texts, booleans, and numbers in a form that this tool does not make. Not here: the form of numbers (`numbers`),
//! storing shards (`shards`), and reading parts of them (`reader`).

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use zarrs::array::codec::{ShardingCodecOptions, SubchunkWriteOrder};
use zarrs::array::{
    Array, ArrayMetadata, ArrayMetadataV3, ArrayShardedExt, ArrayToBytesCodecTraits, CodecOptions,
    CodecSpecificOptions, DataTypeSize, Element, ElementOwned,
};

use super::numbers::{self, Number, NumberShard};
use crate::error::{Context, Error, ErrorKind, Result};

/// The greatest size of a chunk of texts, decoded. A damaged chunk may claim any.
const MAX_TEXT_CHUNK_BYTES: u64 = 256 << 20;

/// The role of an object in the folder of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// A shard.
    Inside,
    /// A shard outside of the array.
    Outside,
    /// A shard of the generation of a graph before this one, or of the next one.
    OtherGeneration,
}

/// The codecs, shape and grid of one array.
#[derive(Debug, Clone)]
pub(super) struct ArrayForm {
    array: Arc<Array<()>>,
    folder: String,
    data_type: String,
    fill: Value,
    numbers: Option<NumberShard>,
}

impl ArrayForm {
    /// Reads the metadata of an array whose objects are in `folder`. Fails with [`ErrorKind::Lake`] if it is damaged, or
    /// needs what this version does not have.
    fn parse(folder: String, metadata: &Value) -> Result<ArrayForm> {
        let cannot = || format!("cannot read the metadata of {folder}");
        let parsed = ArrayMetadataV3::deserialize(metadata).or_error(ErrorKind::Lake, cannot)?;
        let array = Array::new_with_metadata(Arc::new(()), "/", ArrayMetadata::V3(parsed));
        let array = array.or_error(ErrorKind::Lake, cannot)?;
        // In any other order the bytes of a shard would depend on the threads.
        let in_order = ShardingCodecOptions::default().with_subchunk_write_order(SubchunkWriteOrder::C);
        let array = array.with_codec_specific_options(&CodecSpecificOptions::default().with_option(in_order));
        Ok(ArrayForm {
            array: Arc::new(array),
            folder,
            data_type: metadata["data_type"].as_str().unwrap_or_default().to_owned(),
            fill: metadata["fill_value"].clone(),
            numbers: NumberShard::of(metadata),
        })
    }

    /// Reads the metadata of an array from that of its group, which is in `folder`.
    pub(super) fn of_group(group: &Value, folder: &str, name: &str) -> Result<ArrayForm> {
        ArrayForm::parse(format!("{folder}/{name}"), &group["consolidated_metadata"]["metadata"][name])
    }

    /// Returns the shape of the array.
    pub(super) fn shape(&self) -> &[u64] {
        self.array.shape()
    }

    /// Returns the shape of a shard.
    pub(super) fn shard_shape(&self) -> Vec<u64> {
        let first = vec![0; self.array.dimensionality()];
        self.array
            .chunk_shape(&first)
            .map(|shape| shape.iter().map(|length| length.get()).collect())
            .unwrap_or_default()
    }

    /// Returns the number of elements of a shard.
    pub(super) fn shard_elements(&self) -> usize {
        self.shard_shape().iter().product::<u64>() as usize
    }

    /// Returns the rows and columns of the array, and those of a shard; an array of one dimension has one column. Fails with
    /// [`ErrorKind::Lake`] if it has other dimensions, or more than 4 billion rows.
    pub(super) fn as_matrix(&self) -> Result<([u32; 2], [u32; 2])> {
        let two = |lengths: &[u64]| {
            let lengths: Option<Vec<u32>> = lengths.iter().map(|&length| u32::try_from(length).ok()).collect();
            match *lengths?.as_slice() {
                [rows] => Some([rows, 1]),
                [rows, columns] => Some([rows, columns]),
                _ => None,
            }
        };
        two(self.shape())
            .zip(two(&self.shard_shape()).filter(|shard| !shard.contains(&0)))
            .ok_or_else(|| Error::lake(format!("{} is damaged: it has other dimensions", self.folder)))
    }

    /// Returns the form of the shards if it is the one in which this tool writes numbers.
    pub(super) fn numbers(&self) -> Option<NumberShard> {
        self.numbers
    }

    /// Returns the value of the cells that are not stored. Fails with [`ErrorKind::Lake`] if the array has another type.
    pub(super) fn fill<T: Number>(&self) -> Result<T> {
        let fill = serde_json::from_value(self.fill.clone()).ok().filter(|_| self.data_type == T::DATA_TYPE);
        fill.ok_or_else(|| {
            Error::lake(format!("{} is damaged: it has other numbers than {}", self.folder, T::DATA_TYPE))
        })
    }

    /// Returns the name of the data type.
    pub(super) fn data_type(&self) -> &str {
        &self.data_type
    }

    /// Returns the places of all shards.
    pub(super) fn places(&self) -> Vec<Vec<u64>> {
        let mut places = vec![Vec::new()];
        for (length, shard) in self.shape().iter().zip(self.shard_shape()) {
            let along = length.div_ceil(shard.max(1));
            let longer = |place: Vec<u64>| (0..along).map(move |next| [place.as_slice(), &[next]].concat());
            places = places.into_iter().flat_map(longer).collect();
        }
        places
    }

    /// Returns what the object at a path is to the array; `None` if it has not the name of a shard.
    pub(super) fn key_of(&self, path: &str) -> Option<Key> {
        let dimensions = self.shape().len();
        let key = |separator: char| format!("c{}", format!("{separator}0").repeat(dimensions));
        let first = self.path(&vec![0; dimensions]);
        let (folder, own, other) = match (first.strip_suffix(&key('/')), first.strip_suffix(&key('.'))) {
            (Some(folder), _) => (folder, '/', '.'),
            (None, folder) => (folder?, '.', '/'),
        };
        let rest = path.strip_prefix(folder)?.strip_prefix('c')?;
        let place = |separator: char| -> Option<Vec<u64>> {
            let parts = rest.strip_prefix(separator)?.split(separator).map(|part| part.parse().ok());
            parts.collect::<Option<Vec<u64>>>().filter(|place| place.len() == dimensions)
        };
        let is_inside = |place: &[u64]| {
            let ends = place.iter().zip(self.shape()).zip(self.shard_shape());
            ends.into_iter().all(|((place, length), shard)| *place < length.div_ceil(shard.max(1)))
        };
        match (place(own), place(other)) {
            (Some(place), _) if is_inside(&place) => Some(Key::Inside),
            (Some(_), _) => Some(Key::Outside),
            (None, other) => other.map(|_| Key::OtherGeneration),
        }
    }

    /// Returns the path of the object of a shard.
    pub(super) fn path(&self, shard: &[u64]) -> String {
        format!("{}/{}", self.folder, self.array.chunk_key(shard).as_str())
    }

    /// Encodes the numbers of a shard, in C order; `None` if all are the fill value: such a shard has no object.
    ///
    /// The same numbers make the same bytes.
    pub(super) fn encode_numbers<T: Number>(&self, elements: &[T]) -> Result<Option<Bytes>> {
        match self.numbers {
            Some(numbers) => numbers.encode(elements, self.fill()?),
            None => self.encode(elements.to_vec()),
        }
    }

    /// Decodes a shard into its numbers, in C order. Fails with [`ErrorKind::Lake`] if it is damaged.
    pub(super) fn decode_numbers<T: Number>(&self, path: &str, bytes: &Bytes) -> Result<Vec<T>> {
        match self.numbers {
            Some(numbers) => numbers.decode(bytes, self.fill()?).map_err(|cause| damaged(path, cause)),
            None => self.decode(path, bytes),
        }
    }

    /// Encodes the elements of a shard, in C order; `None` if all are the fill value: such a shard has no object.
    ///
    /// The same elements make the same bytes.
    pub(super) fn encode<T: Element>(&self, elements: Vec<T>) -> Result<Option<Bytes>> {
        let cannot = || format!("cannot encode a shard of {}", self.folder);
        let data_type = self.array.data_type();
        let bytes = T::into_array_bytes(data_type, elements).or_error(ErrorKind::Internal, cannot)?;
        if bytes.is_fill_value(self.array.fill_value()) {
            return Ok(None);
        }
        let shape = self.first_shard()?;
        let encoded = self.array.codecs().encode(bytes, &shape, data_type, self.array.fill_value(), &one_thread());
        Ok(Some(encoded.or_error(ErrorKind::Internal, cannot)?.into_owned().into()))
    }

    /// Decodes a shard into its elements, in C order. Fails with [`ErrorKind::Lake`] if it is damaged.
    pub(super) fn decode<T: ElementOwned>(&self, path: &str, bytes: &Bytes) -> Result<Vec<T>> {
        let is_damaged = || format!("{path} is damaged");
        self.check_frames(bytes).map_err(|cause| damaged(path, cause))?;
        let shape = self.first_shard()?;
        let (codecs, data_type) = (self.array.codecs(), self.array.data_type());
        let decoded = codecs
            .decode(Cow::Borrowed(bytes), &shape, data_type, self.array.fill_value(), &one_thread())
            .or_error(ErrorKind::Lake, is_damaged)?;
        T::from_array_bytes(data_type, decoded).or_error(ErrorKind::Lake, is_damaged)
    }

    fn first_shard(&self) -> Result<zarrs::array::ChunkShape> {
        let first = vec![0; self.array.dimensionality()];
        self.array.chunk_shape(&first).or_error(ErrorKind::Internal, || format!("{} has no chunks", self.folder))
    }

    /// Checks that each chunk of a shard claims the size that it must have. The library allocates what a chunk claims
    /// before its checksum can be checked.
    fn check_frames(&self, bytes: &[u8]) -> std::result::Result<(), &'static str> {
        let Some(chunk) = self.array.subchunk_shape().filter(|_| self.array.is_exclusively_sharded()) else {
            return Ok(());
        };
        let chunk_elements: u64 = chunk.iter().map(|length| length.get()).product();
        let chunks = self.shard_elements() / (chunk_elements.max(1) as usize);
        for place in numbers::places(bytes, chunks)?.into_iter().flatten() {
            let frame = &bytes[place.start as usize..place.end as usize];
            let claimed = zstd::zstd_safe::get_frame_content_size(frame).ok().flatten();
            let is_right = match self.array.data_type().size() {
                DataTypeSize::Fixed(size) => claimed == Some(chunk_elements * size as u64),
                DataTypeSize::Variable => claimed.is_some_and(|claimed| claimed <= MAX_TEXT_CHUNK_BYTES),
            };
            if !is_right {
                return Err("a chunk has another size than it must have");
            }
        }
        Ok(())
    }
}

/// Returns the error for a shard whose bytes are damaged.
pub(super) fn damaged(path: &str, cause: &str) -> Error {
    Error::lake(format!("{path} is damaged: {cause}"))
}

/// Each shard is one task, and several are in progress at once.
fn one_thread() -> CodecOptions {
    CodecOptions::default().with_concurrent_target(1)
}
