#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;
use zarrs::array::codec::{ShardingCodecOptions, SubchunkWriteOrder};
use zarrs::array::{
    Array, ArrayBytes, ArrayMetadata, ArrayMetadataV3, ArrayToBytesCodecTraits, CodecOptions, CodecSpecificOptions,
};

use super::*;

fn metadata(data_type: &str, shard: &[u64], chunk: &[u64], fill: Value, codecs: Value) -> Value {
    let index_codecs = json!([{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]);
    let sharding = json!({"chunk_shape": chunk, "codecs": codecs, "index_codecs": index_codecs});
    json!({
        "zarr_format": 3,
        "node_type": "array",
        "shape": shard,
        "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard}},
        "chunk_key_encoding": {"name": "default"},
        "fill_value": fill,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
    })
}

fn codecs(level: i32, has_checksum: bool, has_crc: bool) -> Value {
    let mut codecs = vec![
        json!({"name": "bytes", "configuration": {"endian": "little"}}),
        json!({"name": "zstd", "configuration": {"level": level, "checksum": has_checksum}}),
    ];
    codecs.extend(has_crc.then(|| json!({"name": "crc32c"})));
    codecs.into()
}

fn of_library(metadata: &Value) -> Array<()> {
    let metadata = ArrayMetadataV3::deserialize(metadata).unwrap();
    let array = Array::new_with_metadata(Arc::new(()), "/", ArrayMetadata::V3(metadata)).unwrap();
    let in_order = ShardingCodecOptions::default().with_subchunk_write_order(SubchunkWriteOrder::C);
    array.with_codec_specific_options(&CodecSpecificOptions::default().with_option(in_order))
}

/// Encodes by this module and by the library, and decodes what the other one has encoded.
fn agree<T: Number + std::fmt::Debug>(shape: ([u64; 2], [u64; 2], bool), fill: T, elements: &[T], codecs: Value)
where
    Value: From<T>,
{
    let (shard, chunk, has_columns) = shape;
    let dimensions = if has_columns { 2 } else { 1 };
    let metadata = metadata(T::DATA_TYPE, &shard[..dimensions], &chunk[..dimensions], fill.into(), codecs);
    let (form, array) = (NumberShard::of(&metadata).unwrap(), of_library(&metadata));
    let (data_type, fill_value) = (array.data_type(), array.fill_value());
    let chunk_shape = array.chunk_shape(&vec![0; dimensions]).unwrap();
    let options = CodecOptions::default().with_concurrent_target(1);
    let ours = form.encode(elements, fill).unwrap();
    let bytes = T::into_array_bytes(data_type, elements.to_vec()).unwrap();
    let Some(ours) = ours else {
        assert!(elements.iter().all(|element| *element == fill));
        return;
    };
    let theirs = array.codecs().encode(bytes, &chunk_shape, data_type, fill_value, &options).unwrap();
    assert_eq!(ours, theirs.as_ref(), "the bytes");
    let decoded: ArrayBytes<'_> =
        array.codecs().decode((&*ours).into(), &chunk_shape, data_type, fill_value, &options).unwrap();
    assert_eq!(T::from_array_bytes(data_type, decoded).unwrap(), elements, "read by the library");
    assert_eq!(form.decode(&theirs, fill).unwrap(), elements, "read by this module");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_bytes_are_those_of_the_library_and_each_reads_the_other(
        grid in [1u64..4, 1u64..4],
        chunk in [1u64..9, 1u64..9],
        has_columns in any::<bool>(),
        seed in proptest::collection::vec(any::<u32>(), 1..60),
        density in 0u32..4,
        level in 1i32..4,
        has_checksum in any::<bool>(),
        has_crc in any::<bool>(),
    ) {
        let width = if has_columns { [grid[1] * chunk[1], chunk[1]] } else { [1, 1] };
        let shape = ([grid[0] * chunk[0], width[0]], [chunk[0], width[1]], has_columns);
        let length = (shape.0[0] * shape.0[1]) as usize;
        let fill = 7u32;
        let cell = |place: usize| {
            let random = seed[place % seed.len()].wrapping_mul(place as u32 / 5 + 1);
            if random % 4 < density { random } else { fill }
        };
        let elements: Vec<u32> = (0..length).map(cell).collect();
        let codecs = codecs(level, has_checksum, has_crc);
        agree(shape, fill, &elements, codecs.clone());
        agree(shape, 7, &elements.iter().map(|&cell| cell as u8).collect::<Vec<_>>(), codecs.clone());
        agree(shape, 7, &elements.iter().map(|&cell| cell as i32).collect::<Vec<_>>(), codecs.clone());
        agree(shape, 7, &elements.iter().map(|&cell| i64::from(cell) << 9).collect::<Vec<_>>(), codecs);
    }
}

#[test]
fn shards_of_another_form_are_left_to_the_library() {
    let ours = metadata("uint32", &[8], &[4], json!(0), codecs(1, true, false));
    assert!(NumberShard::of(&ours).is_some());
    let changes: [(&str, Value); 8] = [
        ("/codecs/0/configuration/index_location", json!("start")),
        ("/codecs/0/configuration/index_codecs", json!([{"name": "bytes", "configuration": {"endian": "little"}}])),
        ("/codecs/0/configuration/codecs/0/configuration/endian", json!("big")),
        ("/codecs/0/configuration/codecs/1", json!({"name": "gzip", "configuration": {"level": 1}})),
        ("/codecs/0/configuration/codecs/0/name", json!("transpose")),
        ("/codecs/0/configuration/chunk_shape", json!([3])),
        ("/codecs/0/name", json!("bytes")),
        ("/chunk_grid/configuration/chunk_shape", json!([8, 8, 8])),
    ];
    for (pointer, value) in changes {
        let mut other = ours.clone();
        match other.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => other["codecs"][0]["configuration"]["index_location"] = value,
        }
        assert_eq!(NumberShard::of(&other), None, "{pointer}");
    }
}

#[test]
fn with_a_crc_every_flipped_bit_is_found() {
    let form = NumberShard::of(&metadata("uint32", &[8, 4], &[2, 2], json!(0), codecs(1, false, true))).unwrap();
    let elements: Vec<u32> = (0..32).map(|cell| cell * 77 % 50).collect();
    let shard = form.encode(&elements, 0).unwrap().unwrap();
    for bit in 0..shard.len() * 8 {
        let mut damaged = shard.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(form.decode(&damaged, 0u32).is_err(), "bit {bit}");
    }
    for length in 0..shard.len() {
        assert!(form.decode(&shard[..length], 0u32).is_err(), "{length} bytes");
    }
}
