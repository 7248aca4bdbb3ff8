#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::civil::{Date, date};
use jiff::{Span, ToSpan};

use super::*;
use crate::array::{
    BlockWriter, Counts, DependencyGraph, Downloads, DownloadsShape, Edges, FIRST_DAY, Releases, Right,
};
use crate::lake::Layout;

const SHAPE: DownloadsShape = DownloadsShape { shard_rows: 4, shard_days: 8, chunk_rows: 2, chunk_days: 4 };
const NAMES: [&str; 6] = ["react", "vue", "@a/b", "left-pad", "é", "zlib"];
const TODAY: Date = date(2026, 11, 29);

fn layout() -> OriginLayout {
    Layout::origin("npm")
}

fn right() -> Right {
    Arc::new(|| Ok(()))
}

fn day(number: i64) -> Date {
    FIRST_DAY + Span::new().days(number)
}

fn axis() -> PackageAxis {
    let mut axis = PackageAxis::default();
    for name in NAMES {
        axis.add(name, TODAY);
    }
    axis.set_gone(3, Some(TODAY));
    axis
}

/// Opens the array. Its last days have no counts yet, and no shards.
async fn downloads(store: &Store) -> Downloads {
    Downloads::open_with(store, &layout(), &axis(), day(40), &right(), SHAPE).await.unwrap()
}

async fn record(writer: &mut BlockWriter, row: u32, since: i64, counts: &[Option<u64>]) {
    writer.record(Counts { row, since: day(since), counts: counts.to_vec() }).await.unwrap();
}

/// Writes all three arrays, of few packages.
async fn lake() -> Store {
    let store = Store::memory();
    Arc::new(axis()).write(&store, &layout()).await.unwrap();
    let downloads = downloads(&store).await;
    for block in downloads.blocks() {
        let mut writer = downloads.writer(&block, &right()).await.unwrap();
        for row in block.rows.clone().filter(|row| row % 4 != 2) {
            let counts: Vec<_> = (0..30).map(|day| (day != 11).then_some(u64::from(row) + (day % 5) * 77)).collect();
            record(&mut writer, row, 2, &counts).await;
        }
        record(&mut writer, block.rows.start + u32::from(block.rows.len() > 2) * 2, 5, &[Some(0), None]).await;
        writer.finish().await.unwrap();
    }
    downloads.finish().await.unwrap();
    let mut releases = Releases::default();
    for row in 0..6 {
        let days = (0..40).map(|month| Some(date(2012, 3, 4) + Span::new().months(month * (i64::from(row) + 1))));
        releases.add(row, days, TODAY);
    }
    releases.write_small(&store, &layout(), &axis(), TODAY, &right()).await.unwrap();
    let mut edges = Edges::default();
    for (from, to, kind) in [(0, 1, 0), (0, 1, 1), (1, 6, 2), (2, 0, 4), (5, 7, 3), (5, 0, 1)] {
        edges.push(from, to, kind);
    }
    let outside = vec!["node".to_owned(), "tape".to_owned()];
    DependencyGraph::new(Arc::new(axis()), outside, edges).write(&store, &layout(), &right()).await.unwrap();
    store
}

async fn checked(store: &Store, extent: ArrayExtent) -> ArraysProof {
    let listed = store.list_sized("").await.unwrap();
    check_arrays(store, &layout(), &listed, extent).await.unwrap()
}

fn files(proof: &ArraysProof) -> BTreeSet<&str> {
    proof.findings.iter().map(|finding| finding.file.as_str()).collect()
}

#[tokio::test]
async fn sound_arrays_have_no_faults() {
    let store = lake().await;
    for extent in [ArrayExtent::Whole, ArrayExtent::Names] {
        let proof = checked(&store, extent).await;
        assert_eq!((proof.findings, proof.notes), (vec![], Vec::<String>::new()), "{extent:?}");
        assert!(proof.objects > 25 && proof.size_bytes > 2_000, "{} objects", proof.objects);
    }
    assert_eq!(checked(&Store::memory(), ArrayExtent::Whole).await, ArraysProof::default());
}

#[tokio::test]
async fn a_flipped_bit_anywhere_in_any_object_is_found() {
    let store = lake().await;
    let objects = store.contents().await;
    assert!(objects.len() > 45, "{} objects", objects.len());
    for (path, bytes) in &objects {
        let step = (bytes.len() / 8).max(1);
        for at in (0..bytes.len()).step_by(step) {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1 << ((at / step) % 8);
            store.put(path, damaged).await.unwrap();
            let proof = checked(&store, ArrayExtent::Whole).await;
            assert!(files(&proof).contains(path.as_str()), "byte {at} of {path}: {:?}", proof.findings);
        }
        store.put(path, bytes.clone()).await.unwrap();
    }
    assert_eq!(checked(&store, ArrayExtent::Whole).await.findings, []);
}

#[tokio::test]
async fn every_object_that_is_gone_is_missed() {
    let store = lake().await;
    for (path, bytes) in store.contents().await {
        store.delete(&path).await.unwrap();
        let proof = checked(&store, ArrayExtent::Whole).await;
        assert!(!proof.findings.is_empty(), "{path} is not missed");
        let is_exact = !path.contains("releases.zarr/versions_published/c") && !path.contains("dependency_graph.zarr");
        assert!(!is_exact || files(&proof).contains(path.as_str()), "{path}: {:?}", proof.findings);
        store.put(&path, bytes).await.unwrap();
    }
}

#[tokio::test]
async fn names_tell_of_lost_names_coordinates_states_and_metadata() {
    let store = lake().await;
    for lost in [
        "package_index.parquet",
        "downloads.zarr/zarr.json",
        "downloads.zarr/day/zarr.json",
        "downloads.zarr/day/c/0",
        "downloads.zarr/package/c/1",
        "downloads.zarr/counted_since/c/1",
        "releases.zarr/month/c/0",
        "dependency_graph.zarr/out_indptr/c/0",
    ] {
        let path = format!("npm/{lost}");
        let bytes = store.get(&path).await.unwrap().unwrap();
        store.delete(&path).await.unwrap();
        let proof = checked(&store, ArrayExtent::Names).await;
        assert!(files(&proof).contains(path.as_str()), "{path}: {:?}", proof.findings);
        store.put(&path, bytes).await.unwrap();
    }
}

#[tokio::test]
async fn an_object_outside_of_an_array_is_a_fault_and_any_other_file_is_left_alone() {
    let store = lake().await;
    let shard = store.get("npm/downloads.zarr/downloads/c/0/0").await.unwrap().unwrap();
    for stray in
        ["downloads.zarr/downloads/c/0/6", "downloads.zarr/downloads/c/9/0", "downloads.zarr/counted_since/c/2"]
    {
        store.put(&format!("npm/{stray}"), shard.clone()).await.unwrap();
    }
    // Names are written before the metadata says that they count.
    store.put("npm/downloads.zarr/package/c/2", shard.clone()).await.unwrap();
    store.put("npm/releases.zarr/notes.txt", "mine").await.unwrap();
    let proof = checked(&store, ArrayExtent::Whole).await;
    let expected = ["counted_since/c/2", "downloads/c/0/6", "downloads/c/9/0"];
    assert_eq!(
        files(&proof),
        expected.map(|path| format!("npm/downloads.zarr/{path}")).iter().map(String::as_str).collect()
    );
    assert!(proof.findings.iter().all(|finding| finding.fault == ArrayFault::Foreign));
    assert_eq!(proof.notes, ["npm/releases.zarr/notes.txt is not part of the array, and is left alone"]);
}

#[tokio::test]
async fn a_block_that_is_being_written_is_not_judged() {
    let store = lake().await;
    let downloads = downloads(&store).await;
    let mut writer = downloads.writer(&downloads.blocks()[0], &right()).await.unwrap();
    record(&mut writer, 0, 31, &[Some(4)]).await;
    writer.flush().await.unwrap();
    store.delete("npm/downloads.zarr/downloads/c/0/1").await.unwrap();
    let proof = checked(&store, ArrayExtent::Whole).await;
    assert!(proof.findings.is_empty() && proof.notes[0].contains("1 of 2 blocks"), "{proof:?}");
}

#[tokio::test]
async fn another_programs_attributes_are_a_note_and_an_array_of_others_is_refused() {
    let store = lake().await;
    let path = "npm/releases.zarr/zarr.json";
    let text = store.get(path).await.unwrap().unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(&text).unwrap();
    json["attributes"]["remark"] = "mine".into();
    store.put(path, serde_json::to_string(&json).unwrap()).await.unwrap();
    let proof = checked(&store, ArrayExtent::Whole).await;
    assert!(proof.findings.is_empty() && proof.notes[0].contains("other software"), "{proof:?}");
    json["attributes"] = serde_json::json!({});
    store.put(path, serde_json::to_string(&json).unwrap()).await.unwrap();
    let proof = checked(&store, ArrayExtent::Whole).await;
    assert!(proof.findings[0].reason.contains("not of all-docs"), "{proof:?}");
    let refused = Releases::default().write_small(&store, &layout(), &axis(), TODAY, &right()).await.unwrap_err();
    assert!(refused.hint_text().unwrap().contains("move"), "{}", refused.report());
    assert_eq!(store.get(path).await.unwrap().unwrap(), serde_json::to_string(&json).unwrap());
}

#[tokio::test]
async fn a_lost_shard_of_counts_is_asked_for_again_and_the_rest_stays() {
    let store = lake().await;
    let before = downloads(&store).await.read(&[0, 1, 4], day(0)..=day(31)).await.unwrap();
    let path = "npm/downloads.zarr/downloads/c/0/1";
    store.delete(path).await.unwrap();
    let downloads = downloads(&store).await;
    let block = &downloads.blocks()[0];
    assert_eq!(downloads.place_of(path), Some((0, Some(1))));
    assert_eq!(downloads.place_of("npm/downloads.zarr/counted_since/c/1"), Some((1, None)));
    assert_eq!(downloads.place_of("npm/downloads.zarr/package/c/1"), None);
    let lost = downloads.mend_block(block, &BTreeSet::from([1]), &right()).await.unwrap();
    downloads.finish().await.unwrap();
    assert_eq!(lost, Some((day(8), day(15))));
    assert_eq!(checked(&store, ArrayExtent::Whole).await.findings, []);
    let states = downloads.states(block).await.unwrap();
    assert_eq!(states[0].requested, Some((day(16), day(31))), "the days after the lost ones");
    assert_eq!(states[0].first_known, Some(day(3)), "the counts before them are there");
    assert_eq!(states[2].requested, Some((day(5), day(6))), "a package without counts");
    let mut writer = downloads.writer(block, &right()).await.unwrap();
    for row in [0, 1, 3] {
        let counts: Vec<_> = (2..16).map(|day| (day != 13).then_some(u64::from(row) + ((day - 2) % 5) * 77)).collect();
        record(&mut writer, row, 2, &counts).await;
    }
    writer.finish().await.unwrap();
    downloads.finish().await.unwrap();
    assert_eq!(downloads.read(&[0, 1, 4], day(0)..=day(31)).await.unwrap(), before);
    assert_eq!(checked(&store, ArrayExtent::Whole).await.findings, []);
}

#[tokio::test]
async fn lost_states_and_metadata_are_made_again_from_what_is_left() {
    let store = lake().await;
    for lost in ["requested_since", "requested_until", "counted_since"] {
        store.delete(&format!("npm/downloads.zarr/{lost}/c/0")).await.unwrap();
    }
    store.delete("npm/downloads.zarr/zarr.json").await.unwrap();
    store.put("npm/downloads.zarr/package/c/0", "damaged").await.unwrap();
    Downloads::mend_metadata(&store, &layout()).await.unwrap();
    let downloads = downloads(&store).await;
    downloads.mend_coordinates(&axis(), &right()).await.unwrap();
    downloads.mend_block(&downloads.blocks()[0], &BTreeSet::new(), &right()).await.unwrap();
    downloads.finish().await.unwrap();
    assert_eq!(checked(&store, ArrayExtent::Whole).await.findings, []);
    let states = downloads.states(&downloads.blocks()[0]).await.unwrap();
    assert_eq!((states[0].requested, states[2].requested), (Some((day(3), day(31))), None));
}

#[tokio::test]
async fn a_lost_axis_is_made_again_from_the_names_in_the_arrays() {
    let store = lake().await;
    store.delete("npm/package_index.parquet").await.unwrap();
    let refused = PackageAxis::read(&store, &layout()).await.unwrap_err();
    assert!(refused.hint_text().unwrap().contains("all-docs arrays"), "{}", refused.report());
    // One array has lost a shard of names, and another one has them.
    store.put("npm/downloads.zarr/package/c/0", "damaged").await.unwrap();
    let later = TODAY + 3.days();
    let (found, is_recovered) = PackageAxis::read_or_recover(&store, &layout(), later).await.unwrap();
    assert!(is_recovered);
    assert_eq!((0..found.rows()).map(|row| found.name(row)).collect::<Vec<_>>(), NAMES);
    assert_eq!(found.since(0), Some(later));
    for group in ["releases", "dependency_graph"] {
        for path in store.list(&format!("npm/{group}.zarr")).await.unwrap() {
            store.delete(&path).await.unwrap();
        }
    }
    let lost = PackageAxis::read_or_recover(&store, &layout(), later).await.unwrap_err();
    assert!(lost.message().contains("row 0"), "{}", lost.report());
}
