#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::array::spec::ArraySpec;

/// The metadata of an array, in the form of this tool or in one that only the library reads.
fn metadata(shape: [u64; 2], shard: [u64; 2], chunk: [u64; 2], is_ours: bool) -> Value {
    let spec = ArraySpec {
        name: "x",
        data_type: "uint32",
        dimensions: &["row", "column"],
        shard: shard.to_vec(),
        chunk: chunk.to_vec(),
        fill: json!(9),
        attributes: json!({}),
        separator: '/',
    };
    let mut metadata = spec.metadata(&shape);
    if !is_ours {
        metadata["codecs"] = metadata["codecs"][0]["configuration"]["codecs"].clone();
    }
    json!({ "consolidated_metadata": { "metadata": { "x": metadata } } })
}

/// The value of a cell; some chunks have only the fill value.
fn cell(row: u64, column: u64) -> u32 {
    if (row / 3 + column / 4).is_multiple_of(3) { 9 } else { (row * 1_000 + column) as u32 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_rows_and_columns_are_those_of_the_whole_array(
        shape in [1u64..40, 1u64..40],
        chunk in [1u64..6, 1u64..6],
        grid in [1u64..5, 1u64..4],
        is_ours in any::<bool>(),
        wanted in proptest::collection::vec(0u32..45, 0..12),
        is_all in any::<bool>(),
        columns in [0u32..45, 0u32..45],
    ) {
        let shard = [chunk[0] * grid[0], chunk[1] * grid[1]];
        let form = ArrayForm::of_group(&metadata(shape, shard, chunk, is_ours), "g", "x").unwrap();
        prop_assert_eq!(form.numbers().is_some(), is_ours);
        let rows = if is_all { Rows::All } else { Rows::of(wanted.iter().copied()) };
        let columns = columns[0].min(columns[1])..columns[0].max(columns[1]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let read = async {
            let store = Store::memory();
            for block in 0..shape[0].div_ceil(shard[0]) {
                for place in 0..shape[1].div_ceil(shard[1]) {
                    let rows = block * shard[0]..(block + 1) * shard[0];
                    let cells = rows.flat_map(|row| {
                        (place * shard[1]..(place + 1) * shard[1]).map(move |column| cell(row, column))
                    });
                    if let Some(bytes) = form.encode_numbers(&cells.collect::<Vec<_>>()).unwrap() {
                        store.put(&form.path(&[block, place]), bytes).await.unwrap();
                    }
                }
            }
            let reader = ArrayReader::new(&store, form.clone()).unwrap();
            let mut found = std::collections::BTreeMap::new();
            let mut cells = 0;
            for tile in reader.tiles(&rows, columns.clone()) {
                cells += tile.cells();
                for piece in reader.read_tile::<u32>(&tile).await.unwrap() {
                    assert_eq!(piece.cells.len(), count(&piece.rows) * piece.columns.len());
                    for (row, counts) in piece.iter() {
                        for (column, &count) in piece.columns.clone().zip(counts) {
                            assert_eq!(found.insert((row, column), count), None, "a cell is read once");
                        }
                    }
                }
            }
            (found, cells)
        };
        let (found, cells) = runtime.block_on(read);
        let rows: Vec<u32> = rows.within(0..shape[0] as u32).into_iter().flatten().collect();
        let columns = columns.start..columns.end.min(shape[1] as u32);
        prop_assert_eq!(cells, rows.len() as u64 * columns.len() as u64);
        for &row in &rows {
            for column in columns.clone() {
                let expected = cell(row.into(), column.into());
                // A cell of a chunk that is not stored has the fill value.
                prop_assert_eq!(found.get(&(row, column)).copied().unwrap_or(9), expected, "{} {}", row, column);
            }
        }
        prop_assert!(found.keys().all(|(row, column)| rows.contains(row) && columns.contains(column)));
    }

    #[test]
    fn any_ranges_of_elements_are_read_in_their_order(
        length in 1u64..60,
        chunk in 1u64..6,
        grid in 1u64..5,
        starts in proptest::collection::vec((0u32..60, 0u32..4), 0..9),
    ) {
        let mut metadata = metadata([length, 1], [chunk * grid, 1], [chunk, 1], true);
        let array = &mut metadata["consolidated_metadata"]["metadata"]["x"];
        array["shape"] = json!([length]);
        array["dimension_names"] = json!(["row"]);
        array["chunk_grid"]["configuration"]["chunk_shape"] = json!([chunk * grid]);
        array["codecs"][0]["configuration"]["chunk_shape"] = json!([chunk]);
        let form = ArrayForm::of_group(&metadata, "g", "x").unwrap();
        let mut ranges: Vec<Range<u32>> = starts
            .iter()
            .map(|&(start, length)| start..start + length)
            .filter(|range| u64::from(range.end) <= length)
            .collect();
        ranges.sort_by_key(|range| (range.start, range.end));
        // The ends ascend as the starts do, as those of nodes.
        ranges.dedup_by(|next, before| next.end < before.end);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let found = runtime.block_on(async {
            let store = Store::memory();
            for block in 0..length.div_ceil(chunk * grid) {
                let cells: Vec<u32> = (block * chunk * grid..(block + 1) * chunk * grid).map(|row| cell(row, 0)).collect();
                if let Some(bytes) = form.encode_numbers(&cells).unwrap() {
                    store.put(&form.path(&[block]), bytes).await.unwrap();
                }
            }
            ArrayReader::new(&store, form.clone()).unwrap().read_elements::<u32>(&ranges).await.unwrap()
        });
        let expected: Vec<u32> = ranges.into_iter().flatten().map(|row| cell(row.into(), 0)).collect();
        prop_assert_eq!(found, expected);
    }
}
