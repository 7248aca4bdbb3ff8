#![allow(clippy::single_range_in_vec_init, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::civil::Date;
use jiff::{Span, ToSpan};
use serde_json::Value;

use super::*;
use crate::array::rows::{Piece, Rows};
use crate::error::ErrorKind;
use crate::lake::Layout;
use crate::store::{Failure, MemoryBucket};

const SHAPE: DownloadsShape = DownloadsShape { shard_rows: 4, shard_days: 8, chunk_rows: 2, chunk_days: 4 };

fn layout() -> OriginLayout {
    Layout::origin("npm")
}

fn right() -> Right {
    Arc::new(|| Ok(()))
}

fn day(number: i64) -> Date {
    FIRST_DAY + Span::new().days(number)
}

fn axis(rows: u32) -> PackageAxis {
    let mut axis = PackageAxis::default();
    for row in 0..rows {
        axis.add(&format!("package-{row}"), FIRST_DAY);
    }
    axis
}

async fn open(store: &Store, rows: u32, days: i64) -> Downloads {
    Downloads::open_with(store, &layout(), &axis(rows), day(days - 1), &right(), SHAPE).await.unwrap()
}

/// Records counts and returns the writer.
async fn record(downloads: &Downloads, block: u32, all: &[(u32, i64, &[Option<u64>])]) -> BlockWriter {
    let mut writer = downloads.writer(&downloads.blocks()[block as usize], &right()).await.unwrap();
    for &(row, since, counts) in all {
        writer.record(Counts { row, since: day(since), counts: counts.to_vec() }).await.unwrap();
    }
    writer
}

/// Returns the known counts: row and day, then the count.
async fn known(downloads: &Downloads) -> BTreeMap<(u32, usize), u32> {
    let rows: Vec<u32> = (0..downloads.rows()).collect();
    let all = downloads.read(&rows, FIRST_DAY..=downloads.last_day()).await.unwrap();
    let cells = all.into_iter().zip(0..).flat_map(|(counts, row)| {
        counts.into_iter().enumerate().filter_map(move |(day, count)| Some(((row, day), count?)))
    });
    cells.collect()
}

async fn metadata(store: &Store, path: &str) -> Value {
    let text = store.get(&format!("npm/downloads.zarr/{path}zarr.json")).await.unwrap().unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[tokio::test]
async fn counts_are_read_back_and_zeros_before_the_first_download_are_unknown() {
    let store = Store::memory();
    let downloads = open(&store, 6, 20).await;
    assert_eq!((downloads.rows(), downloads.last_day(), downloads.blocks().len()), (6, day(19), 2));
    let first = [Some(0), Some(0), Some(7), None, Some(0), Some(3)];
    record(&downloads, 0, &[(1, 5, &first), (0, 0, &[Some(0), Some(0)])]).await.finish().await.unwrap();
    record(&downloads, 1, &[(5, 18, &[Some(4_294_967_294), None])]).await.finish().await.unwrap();
    let expected = [((1, 7), 7), ((1, 9), 0), ((1, 10), 3), ((5, 18), 4_294_967_294)];
    assert_eq!(known(&downloads).await, BTreeMap::from(expected));
    let block = &downloads.blocks()[0];
    let states = downloads.states(block).await.unwrap();
    assert_eq!(states.len(), 4);
    assert_eq!(states[0], RowState { requested: Some((day(0), day(1))), first_known: None });
    assert_eq!(states[1], RowState { requested: Some((day(5), day(10))), first_known: Some(day(7)) });
    assert_eq!(states[2], RowState::default());
    let recent = downloads.recent(day(9)..=day(18)).await.unwrap();
    assert_eq!(recent[1], Recent { sum: 3, known_days: 2 });
    assert_eq!((recent[0], recent[5].known_days, recent.len()), (Recent::default(), 1, 6));
    assert!(store.list("npm/staging").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_newer_count_replaces_an_older_one_and_no_count_replaces_nothing() {
    let downloads = open(&Store::memory(), 2, 20).await;
    record(&downloads, 0, &[(0, 6, &[Some(1), Some(2), Some(3)])]).await.finish().await.unwrap();
    let again = record(&downloads, 0, &[(0, 7, &[None, Some(5), Some(0)]), (0, 7, &[None, Some(5), Some(0)])]).await;
    assert_eq!(again.state(0).requested, Some((day(6), day(9))));
    again.finish().await.unwrap();
    assert_eq!(known(&downloads).await, BTreeMap::from([((0, 6), 1), ((0, 7), 2), ((0, 8), 5), ((0, 9), 0)]));
    // Days before: what was unknown as a leading zero is a known zero once an earlier download is known.
    record(&downloads, 0, &[(0, 3, &[Some(9), Some(0), Some(0)])]).await.finish().await.unwrap();
    assert_eq!(known(&downloads).await.into_values().collect::<Vec<_>>(), [9, 0, 0, 1, 2, 5, 0]);
}

#[tokio::test]
async fn counts_that_do_not_fit_or_leave_a_gap_are_refused_and_nothing_of_them_is_recorded() {
    let downloads = open(&Store::memory(), 6, 20).await;
    let mut writer = record(&downloads, 0, &[(0, 5, &[Some(1)])]).await;
    let mut refused = async |row, since, counts: &[Option<u64>]| {
        let counts = Counts { row, since: day(since), counts: counts.to_vec() };
        writer.record(counts).await.unwrap_err().kind()
    };
    assert_eq!(refused(1, 5, &[Some(1), Some(4_294_967_295)]).await, ErrorKind::Network);
    assert_eq!(refused(1, 5, &[Some(u64::MAX)]).await, ErrorKind::Network);
    assert_eq!(refused(0, 7, &[Some(1)]).await, ErrorKind::Internal, "a gap after");
    assert_eq!(refused(0, 3, &[Some(1)]).await, ErrorKind::Internal, "a gap before");
    assert_eq!(refused(4, 3, &[Some(1)]).await, ErrorKind::Internal, "another block");
    assert_eq!(refused(1, -1, &[Some(1)]).await, ErrorKind::Internal, "before the axis");
    assert_eq!(refused(1, 19, &[Some(1), Some(1)]).await, ErrorKind::Internal, "after the axis");
    writer.finish().await.unwrap();
    assert_eq!(known(&downloads).await, BTreeMap::from([((0, 5), 1)]));
}

#[tokio::test]
async fn names_and_days_are_appended_and_nothing_else_is_written() {
    let store = Store::memory();
    let downloads = open(&store, 3, 10).await;
    record(&downloads, 0, &[(0, 0, &[Some(1)]), (2, 6, &[Some(3), Some(4), Some(5)])]).await.finish().await.unwrap();
    let before = known(&downloads).await;
    store.take_reached();
    let grown = open(&store, 9, 17).await;
    let mut written: Vec<String> = store.take_reached().into_iter().map(|reached| reached.path).collect();
    written.retain(|path| !path.ends_with("zarr.json"));
    assert_eq!(written, ["c/0", "c/1", "c/2"].map(|shard| format!("npm/downloads.zarr/package/{shard}")));
    assert_eq!(known(&grown).await, before);
    assert_eq!((grown.rows(), grown.last_day()), (9, day(16)));
    record(&grown, 2, &[(8, 16, &[Some(6)])]).await.finish().await.unwrap();
    store.take_reached();
    record(&grown, 0, &[(2, 9, &[Some(7)])]).await.finish().await.unwrap();
    let written: Vec<String> = store.take_reached().into_iter().map(|reached| reached.path).collect();
    let shards: Vec<&String> = written.iter().filter(|path| path.contains("zarr/downloads/c")).collect();
    assert_eq!(shards, ["npm/downloads.zarr/downloads/c/0/1"], "{written:?}");
    // A shorter axis takes nothing away, and an unchanged one writes nothing.
    store.take_reached();
    assert_eq!((open(&store, 2, 3).await.rows(), store.take_reached().len()), (9, 0));
    assert_eq!(known(&grown).await.len(), before.len() + 2);
}

#[tokio::test]
async fn the_metadata_of_the_group_has_that_of_each_array_and_a_generation() {
    let store = Store::memory();
    let downloads = open(&store, 3, 10).await;
    let group = metadata(&store, "").await;
    let arrays = group["consolidated_metadata"]["metadata"].as_object().unwrap();
    assert_eq!(arrays.len(), 6);
    for (name, json) in arrays {
        assert_eq!(*json, metadata(&store, &format!("{name}/")).await);
    }
    assert_eq!(arrays["downloads"]["shape"], serde_json::json!([3, 10]));
    downloads.finish().await.unwrap();
    assert_eq!(metadata(&store, "").await["attributes"]["generation"], 0, "nothing was written");
    record(&downloads, 0, &[(0, 0, &[Some(1)])]).await.finish().await.unwrap();
    downloads.finish().await.unwrap();
    assert_eq!(metadata(&store, "").await["attributes"]["generation"], 2);
    // Opening the array mends the rest of a dead process.
    store.put("npm/downloads.zarr/day/zarr.json", "{}").await.unwrap();
    open(&store, 3, 10).await;
    assert_eq!(metadata(&store, "day/").await, group["consolidated_metadata"]["metadata"]["day"]);
}

#[tokio::test]
async fn a_lost_lease_or_another_writer_stops_the_writer() {
    let store = Store::memory();
    let downloads = open(&store, 3, 10).await;
    let block = &downloads.blocks()[0];
    let lost: Right = Arc::new(|| Err(Error::lake("lost")));
    let mut writer = downloads.writer(block, &lost).await.unwrap();
    writer.record(Counts { row: 0, since: day(0), counts: vec![Some(1)] }).await.unwrap();
    assert_eq!(writer.flush().await.unwrap_err().message(), "lost");
    let one = record(&downloads, 0, &[(0, 0, &[Some(1)])]).await;
    record(&downloads, 0, &[(1, 0, &[Some(2)])]).await.finish().await.unwrap();
    assert_eq!(one.finish().await.unwrap_err().kind(), ErrorKind::Lake, "its states are not those that it read");
    assert_eq!(known(&downloads).await[&(1, 0)], 2);
}

#[tokio::test]
async fn a_damaged_shard_is_an_error_for_every_bit() {
    let store = Store::memory();
    let downloads = open(&store, 4, 8).await;
    let counts: Vec<_> = (0..8).map(|day| Some(day * 77)).collect();
    record(&downloads, 0, &[(0, 0, &counts), (3, 0, &counts)]).await.finish().await.unwrap();
    let path = "npm/downloads.zarr/downloads/c/0/0";
    let bytes = store.get(path).await.unwrap().unwrap();
    let whole = known(&downloads).await;
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        store.put(path, damaged).await.unwrap();
        let read = downloads.read(&[0, 1, 2, 3], day(0)..=day(7)).await;
        let is_same = |read: Vec<Vec<Option<u32>>>| read.iter().flatten().flatten().count() == whole.len();
        // A bit of a frame may mean nothing; a value is never another one.
        assert!(read.map_or_else(|error| error.kind() == ErrorKind::Lake, is_same), "bit {bit}");
    }
}

/// A run of two blocks that asks only for what is missing, as a run of downloads does.
async fn run(store: &Store) -> Result<()> {
    let downloads = Downloads::open_with(store, &layout(), &axis(6), day(17), &right(), SHAPE).await?;
    for block in downloads.blocks() {
        let mut writer = downloads.writer(&block, &right()).await?;
        for row in block.rows.clone() {
            let windows = [(0, 9), (9, 18)].map(|(since, end)| (day(since), day(end)));
            let asked = writer.state(row).requested;
            for (since, end) in
                windows.into_iter().filter(|(_, end)| asked.is_none_or(|(_, until)| until < *end - 1.day()))
            {
                let days = since.until(end).unwrap().get_days();
                let counts = (0..days).map(|day| (day % 5 != 4).then_some(u64::from(row) * 100 + day as u64)).collect();
                writer.record(Counts { row, since, counts }).await?;
            }
            writer.flush().await?;
        }
        writer.finish().await?;
    }
    downloads.finish().await
}

#[tokio::test]
async fn after_a_death_at_any_step_another_run_ends_in_the_same_values() {
    let quiet = Store::memory();
    run(&quiet).await.unwrap();
    let expected = quiet.contents().await;
    let counted = known(&open(&quiet, 6, 18).await).await;
    assert_eq!(counted.len(), 6 * (8 + 8) - 1, "row 0 begins with a zero");
    let mut steps = 0;
    loop {
        let bucket = Arc::new(MemoryBucket::new());
        let dying = Store::of_memory(&bucket).failing_at(steps + 1, Failure::Death);
        let ended = run(&dying).await;
        let Some(died_at) = dying.failed_at() else {
            ended.unwrap();
            break;
        };
        assert!(ended.is_err(), "at {died_at}");
        let store = Store::of_memory(&bucket);
        // Whatever is known at that moment is right.
        if store.get("npm/downloads.zarr/zarr.json").await.unwrap().is_some() {
            let now = known(&open(&store, 6, 18).await).await;
            assert!(now.iter().all(|(cell, count)| counted[cell] == *count), "at {died_at}");
        }
        run(&store).await.unwrap();
        let mut found = store.contents().await;
        // The run that died may have made one more.
        let path = "npm/downloads.zarr/zarr.json";
        let generation = |objects: &BTreeMap<String, Bytes>| {
            let json: Value = serde_json::from_slice(&objects[path]).unwrap();
            json["attributes"]["generation"].as_u64().unwrap()
        };
        assert!(generation(&found).is_multiple_of(2), "at {died_at}");
        found.insert(path.to_owned(), expected[path].clone());
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "at {died_at}");
        assert!(found == expected, "at {died_at}");
        steps += 1;
    }
    assert!(steps > 30, "only {steps} steps were made to fail");
}

#[tokio::test]
async fn reading_opens_what_is_there_and_creates_nothing() {
    let store = Store::memory();
    assert!(Downloads::find(&store, &layout()).await.unwrap().is_none());
    let downloads = open(&store, 9, 20).await;
    let counts: Vec<_> = (1..=20).map(Some).collect();
    record(&downloads, 0, &[(1, 0, &counts), (3, 0, &counts)]).await.finish().await.unwrap();
    record(&downloads, 2, &[(8, 0, &counts[..5])]).await.finish().await.unwrap();
    store.take_reached();
    let found = Downloads::find(&store, &layout()).await.unwrap().unwrap();
    assert_eq!((found.rows(), found.last_day(), found.generation()), (9, day(19), 1));
    let tiles = found.tiles(&Rows::All, FIRST_DAY..=day(99));
    let places: Vec<_> = tiles.iter().map(|tile| (tile.rows().to_vec(), tile.columns(), tile.cells())).collect();
    let expected = [(0, 4), (4, 8), (8, 9)].map(|(start, end)| {
        [0..8, 8..16, 16..20].map(|days: std::ops::Range<u32>| {
            (vec![start..end], days.clone(), u64::from(end - start) * days.len() as u64)
        })
    });
    assert_eq!(places, expected.concat());
    assert!(found.tiles(&Rows::All, day(-9)..=day(-1)).is_empty());
    assert!(found.tiles(&Rows::All, day(20)..=day(99)).is_empty());
    assert!(found.tiles(&Rows::range(9..20), day(0)..=day(9)).is_empty());
    let mut pieces = Vec::new();
    for tile in found.tiles(&Rows::of([1, 2, 8, 7]), day(3)..=day(8)) {
        pieces.extend(found.read_tile(&tile).await.unwrap());
    }
    let expected = [
        Piece { rows: vec![1..2], columns: 3..4, cells: vec![4] },
        Piece { rows: vec![1..2], columns: 4..8, cells: vec![5, 6, 7, 8] },
        Piece { rows: vec![2..3], columns: 3..4, cells: vec![UNKNOWN] },
        Piece { rows: vec![2..3], columns: 4..8, cells: vec![UNKNOWN; 4] },
        Piece { rows: vec![1..2], columns: 8..9, cells: vec![9] },
        Piece { rows: vec![2..3], columns: 8..9, cells: vec![UNKNOWN] },
        Piece { rows: vec![8..9], columns: 3..4, cells: vec![4] },
        Piece { rows: vec![8..9], columns: 4..8, cells: vec![5, UNKNOWN, UNKNOWN, UNKNOWN] },
    ];
    assert_eq!(pieces, expected);
    assert_eq!(found.day(3), day(3));
    assert!(store.take_reached().is_empty());
}

#[tokio::test]
async fn only_the_wanted_chunks_of_a_shard_are_decoded() {
    let folder = tempfile::tempdir().unwrap();
    for store in [Store::memory(), Store::open(folder.path().to_str().unwrap()).unwrap()] {
        store.create_root().await.unwrap();
        let downloads = open(&store, 4, 8).await;
        let counts: Vec<_> = (1..=8).map(Some).collect();
        record(&downloads, 0, &[(0, 0, &counts), (3, 0, &counts)]).await.finish().await.unwrap();
        let path = "npm/downloads.zarr/downloads/c/0/0";
        let mut bytes = store.get(path).await.unwrap().unwrap().to_vec();
        bytes[9] ^= 1;
        store.put(path, bytes).await.unwrap();
        let read = async |rows: &[u32], from: i64, to: i64| downloads.read(rows, day(from)..=day(to)).await;
        assert_eq!(read(&[3], 4, 5).await.unwrap(), [[Some(5), Some(6)]]);
        assert_eq!(read(&[3, 0, 3], 7, 7).await.unwrap(), [[Some(8)]; 3]);
        let error = read(&[0], 0, 0).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lake, "{}", error.report());
        assert!(error.report().contains(path), "{}", error.report());
    }
}
