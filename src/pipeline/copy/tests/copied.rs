//! The contents of a copy when it has ended.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{PIVOTS, assert_copied, copied, empty, ingest_options, lake, revise, rows, server, try_copy};
use crate::commit::{read_manifest, read_manifests};
use crate::diff::Selection;
use crate::lake::{Layout, Partition};
use crate::pipeline::crash_tests::{Backend, layout, run};
use crate::pipeline::verify::verify;
use crate::pipeline::{CopyOptions, IngestOptions, ingest};
use crate::store::{Failure, Step, Store};
use crate::table::TableKind;

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_has_the_bytes_of_the_lake_and_another_run_has_nothing_to_do() {
    let server = server();
    let from = lake(&server).await;
    from.put("queries/views/mine.sql", "-- A view.\nselect 1 as one").await.unwrap();
    from.put("queries/notes.txt", "not a query").await.unwrap();
    let before = from.contents().await;
    for place in [Backend::Memory, Backend::Disk] {
        let to = empty(place).await;
        let dry = CopyOptions { dry_run: true, ..CopyOptions::default() };
        let planned = try_copy(&from, &to.store, &dry).await.unwrap();
        assert!(to.store.contents().await.is_empty(), "a dry run writes nothing");
        let summary = copied(&from, &to.store).await;
        assert_eq!((summary.partitions_total, summary.partitions_copied, summary.queries_copied), (4, 4, 1));
        assert_eq!(summary.shards_copied, 4 * TableKind::ALL.len() as u64);
        for counts in [
            |summary: &super::CopySummary| (summary.partitions_copied, summary.partitions_total),
            |summary: &super::CopySummary| (summary.shards_copied, summary.bytes_copied),
            |summary: &super::CopySummary| (summary.queries_copied, summary.partitions_removed),
        ] {
            assert_eq!(counts(&planned), counts(&summary));
        }
        from.delete("queries/notes.txt").await.unwrap();
        assert_copied(&from, &to.store, "after a copy").await;
        from.put("queries/notes.txt", "not a query").await.unwrap();
        let proof = verify(&to.store, None, Arc::default(), CancellationToken::new()).await.unwrap();
        assert!(proof.is_sound(), "{proof:?}");

        to.store.take_reached();
        let again = copied(&from, &to.store).await;
        assert_eq!((again.partitions_current, again.partitions_copied, again.bytes_copied), (4, 0, 0));
        let touched = to.store.take_reached();
        let is_of_run = |path: &str| path.starts_with("sample/staging") || Store::is_put_begun(path);
        let rest: Vec<_> = touched.iter().filter(|step| !is_of_run(&step.path)).map(|step| &step.path).collect();
        let is_probe = |path: &&String| place == Backend::Disk && !path.contains('.');
        assert!(rest.iter().all(is_probe), "{rest:?}");
    }
    assert_eq!(from.contents().await, before, "the lake is only read");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_copies_only_shards_that_differ_and_replaces_what_the_copy_has_of_its_own() {
    let server = server();
    let from = lake(&server).await;
    let place = empty(Backend::Disk).await;
    let to = place.store.clone();
    copied(&from, &to).await;
    revise(&server);
    run(&server, &from, &PIVOTS).await.unwrap();
    let summary = copied(&from, &to).await;
    assert_eq!((summary.partitions_copied, summary.partitions_current), (1, 3));
    assert!(summary.shards_copied >= 3 && summary.shards_copied < TableKind::ALL.len() as u64, "{summary:?}");
    assert_copied(&from, &to, "after an update").await;

    // A shard is lost in the copy, and an ingest changes another partition there.
    let partitions: Vec<_> = read_manifests(&from, &layout()).await.unwrap();
    to.delete(&layout().shard(TableKind::Stars, &partitions[1].partition)).await.unwrap();
    to.put(&layout().manifest(&partitions[2].partition), "{\"format_version\":1}").await.unwrap();
    let error = super::refused(&from, &to).await;
    assert!(error.report().contains("manifest"), "{}", error.report());
    to.delete(&layout().manifest(&partitions[2].partition)).await.unwrap();
    let summary = copied(&from, &to).await;
    assert_eq!((summary.partitions_copied, summary.shards_copied), (2, 1 + TableKind::ALL.len() as u64));
    assert_copied(&from, &to, "after a loss").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_lake_no_longer_holds_is_removed_from_the_copy() {
    let server = server();
    let from = lake(&server).await;
    let place = empty(Backend::Memory).await;
    let to = place.store.clone();
    copied(&from, &to).await;
    let gone = read_manifests(&from, &layout()).await.unwrap().remove(1).partition;
    from.delete(&layout().manifest(&gone)).await.unwrap();
    for table in TableKind::ALL {
        from.delete(&layout().shard(table, &gone)).await.unwrap();
    }
    let summary = copied(&from, &to).await;
    assert_eq!((summary.partitions_removed, summary.partitions_current, summary.partitions_copied), (1, 3, 0));
    assert_copied(&from, &to, "after a removal").await;
    assert!(read_manifest(&to, &layout(), &gone).await.unwrap().is_none());
}

/// A partition of names alone has one table. The others of an earlier copy must not stay, since a glob reads them.
#[tokio::test(flavor = "multi_thread")]
async fn tables_that_a_partition_no_longer_has_are_removed_from_the_copy() {
    let server = server();
    let place = empty(Backend::Disk).await;
    let to = place.store.clone();
    copied(&lake(&server).await, &to).await;
    let names_alone = Store::memory();
    let options = IngestOptions { selection: Selection::None, ..ingest_options(&server, &names_alone) };
    ingest(options, Arc::default(), CancellationToken::new()).await.unwrap();
    let summary = copied(&names_alone, &to).await;
    assert_eq!(summary.partitions_copied, 4);
    assert_copied(&names_alone, &to, "after a copy of names alone").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_copy_is_interrupted_and_resumes() {
    let server = server();
    let from = lake(&server).await;
    let to = empty(Backend::Disk).await;
    let first = Partition { start: None, end: Some(PIVOTS[0].to_owned()) };
    let manifest = layout().manifest(&first);
    let held =
        to.store.failing_at_such(move |step| step.step == Step::Rename && step.path == manifest, 0, Failure::Held);
    let stop = CancellationToken::new();
    let (task_from, task_to, task_stop) = (from.clone(), held.clone(), stop.clone());
    let running = tokio::spawn(async move {
        super::copy(&task_from, &task_to, &CopyOptions::default(), Arc::default(), task_stop).await
    });
    held.until(|| held.failed_at().is_some()).await;
    stop.cancel();
    held.let_go();
    let summary = running.await.unwrap().unwrap();
    assert_eq!(summary.interrupted, summary.partitions_copied < summary.partitions_total, "{summary:?}");
    assert!(summary.partitions_copied >= 1, "{summary:?}");
    let rest = copied(&from, &to.store).await;
    assert_eq!(rest.partitions_current, summary.partitions_copied);
    assert_copied(&from, &to.store, "after a stop").await;

    // A run that is stopped before it began copies nothing.
    let place = empty(Backend::Memory).await;
    let to = place.store.clone();
    let summary = super::copy(&from, &to, &CopyOptions::default(), Arc::default(), stop).await.unwrap();
    assert!(summary.interrupted, "{summary:?}");
    assert!(rows(&to).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_copies_at_once_end_in_the_same_bytes() {
    let server = server();
    let from = lake(&server).await;
    for place in [Backend::Memory, Backend::Disk] {
        let to = empty(place).await;
        let (one, two) = tokio::join!(copied(&from, &to.store), copied(&from, &to.store));
        assert!(one.partitions_copied + two.partitions_copied >= 4);
        assert_eq!((one.partitions_total, two.partitions_total), (4, 4));
        assert_copied(&from, &to.store, "after two copies").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_origin_of_several_is_copied_alone_and_the_default_one_stays_the_default() {
    let server = server();
    let from = lake(&server).await;
    // A second origin that sorts before the first.
    for (path, bytes) in from.contents().await {
        if let Some(rest) = path.strip_prefix("sample/").filter(|rest| *rest != "follow.json") {
            from.put(&format!("another/{rest}"), bytes).await.unwrap();
        }
    }
    let mut info: crate::lake::LakeInfo = from.read_record(Layout::INFO).await.unwrap().unwrap();
    let urls = crate::lake::OriginInfo {
        replicate_url: "http://example.test/".to_owned(),
        registry_url: "http://example.test/".to_owned(),
    };
    info.origins.insert("another".to_owned(), urls);
    info.note_current("another");
    from.put_record(Layout::INFO, &info).await.unwrap();
    let place = empty(Backend::Disk).await;
    let to = place.store.clone();
    let summary = copied(&from, &to).await;
    assert_eq!(summary.origins, ["sample", "another"]);
    assert_copied(&from, &to, "after a copy of two origins").await;
    let place = empty(Backend::Memory).await;
    let to = place.store.clone();
    let only = CopyOptions { origin: Some("another".to_owned()), ..CopyOptions::default() };
    let summary = try_copy(&from, &to, &only).await.unwrap();
    assert_eq!(summary.origins, ["another"]);
    assert!(to.list("sample").await.unwrap().is_empty());
    assert_eq!(to.list("another").await.unwrap(), from.list("another").await.unwrap());
    let info: crate::lake::LakeInfo = to.read_record(Layout::INFO).await.unwrap().unwrap();
    assert_eq!((info.default_origin.as_str(), info.origins.len()), ("another", 1));
}
