//! Places that a copy must not read or overwrite.

use super::{assert_copied, copied, empty, lake, refused, server, try_copy};
use crate::error::ErrorKind;
use crate::lake::{LakeInfo, Layout, PartitionSet};
use crate::pipeline::CopyOptions;
use crate::pipeline::crash_tests::{Backend, layout, run};
use crate::store::Store;

#[tokio::test(flavor = "multi_thread")]
async fn a_place_in_the_lake_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| Store::open(folder.path().join(path).to_str().unwrap()).unwrap();
    let server = server();
    run(&server, &at("lake"), &["m"]).await.unwrap();
    for (from, to) in [("lake", "lake"), ("lake", "lake/copy"), ("lake", ""), ("lake", "lake/../lake")] {
        let error = refused(&at(from), &at(to)).await;
        assert_eq!(error.kind(), ErrorKind::Input, "{to}: {error:?}");
        assert!(error.message().contains("same place"), "{to}: {error:?}");
    }
    assert!(at("lake").list("copy").await.unwrap().is_empty());
    copied(&at("lake"), &at("lake-2")).await;
    assert_copied(&at("lake"), &at("lake-2"), "beside the lake").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_without_a_lake_is_not_copied_and_one_with_other_files_is_no_place_for_a_copy() {
    let (nothing, to) = (Store::memory(), Store::memory());
    let error = refused(&nothing, &to).await;
    assert_eq!((error.kind(), error.message()), (ErrorKind::Lake, "there is no lake to copy at memory:///"));
    assert!(error.hint_text().unwrap().contains("SRC DST"), "{error:?}");
    let server = server();
    let from = lake(&server).await;
    let folder = empty(Backend::Disk).await;
    folder.store.put("thesis.txt", "words").await.unwrap();
    let error = refused(&from, &folder.store).await;
    assert!(error.message().contains("thesis.txt"), "{error:?}");
    assert_eq!(folder.store.list("").await.unwrap(), ["thesis.txt"]);
    let unknown = CopyOptions { origin: Some("npm".to_owned()), ..CopyOptions::default() };
    let error = try_copy(&from, &to, &unknown).await.unwrap_err();
    assert!(error.hint_text().unwrap().contains("sample"), "{error:?}");
    assert!(to.list("").await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_registry_under_the_same_name_is_refused_and_another_server_of_documents_is_not() {
    let server = server();
    let from = lake(&server).await;
    let place = empty(Backend::Memory).await;
    let to = place.store.clone();
    copied(&from, &to).await;
    let before = to.contents().await;
    let change = async |store: &Store, change: &dyn Fn(&mut crate::lake::OriginInfo)| {
        let mut info: LakeInfo = store.read_record(Layout::INFO).await.unwrap().unwrap();
        info.origins.values_mut().for_each(change);
        store.put_record(Layout::INFO, &info).await.unwrap();
    };
    change(&from, &|urls| urls.registry_url = "https://documents.example.test/".to_owned()).await;
    copied(&from, &to).await;
    assert_copied(&from, &to, "with another server of documents").await;
    change(&from, &|urls| urls.replicate_url = "https://registry.example.test/".to_owned()).await;
    let error = refused(&from, &to).await;
    assert!(error.message().contains("https://registry.example.test/"), "{error:?}");
    assert!(error.hint_text().unwrap().contains("cache clear --origin sample"), "{error:?}");
    let after = to.contents().await;
    assert!(before.iter().all(|(path, bytes)| path == Layout::INFO || after[path] == *bytes));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_partitions_are_refused_unless_the_copy_is_empty() {
    let server = server();
    let from = lake(&server).await;
    let to = Store::memory();
    run(&server, &to, &["m"]).await.unwrap();
    let before = to.contents().await;
    let error = refused(&from, &to).await;
    assert_eq!(error.kind(), ErrorKind::Lake);
    assert!(error.message().contains("2 there, and 4 in the lake to copy"), "{error:?}");
    assert!(error.hint_text().unwrap().contains("cache clear --origin sample"), "{error:?}");
    assert_eq!(to.contents().await, before);

    // A lake whose ingest died after its scan holds partitions, and nothing in them.
    for path in to.list("").await.unwrap() {
        if path.ends_with(".parquet") || path.contains("/manifest/") || path == Layout::REQUESTS {
            to.delete(&path).await.unwrap();
        }
    }
    copied(&from, &to).await;
    assert_copied(&from, &to, "over an empty lake").await;

    // The set may say the same in other words.
    let mut set: PartitionSet = to.read_record(&layout().partition_set()).await.unwrap().unwrap();
    set.rows_per_partition = Some(7);
    to.put_record(&layout().partition_set(), &set).await.unwrap();
    assert_eq!(copied(&from, &to).await.partitions_current, 4);
    assert_copied(&from, &to, "over the same partitions").await;

    // Nothing is removed because the lake has been emptied.
    from.delete(&layout().partition_set()).await.unwrap();
    let error = refused(&from, &to).await;
    assert!(error.message().contains("holds nothing of sample yet"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lakes_of_a_newer_version_are_neither_copied_nor_overwritten() {
    let server = server();
    let from = lake(&server).await;
    let place = empty(Backend::Memory).await;
    let to = place.store.clone();
    copied(&from, &to).await;
    for newer in [&from, &to] {
        let text = newer.get(Layout::INFO).await.unwrap().unwrap();
        let mut info: LakeInfo = newer.read_record(Layout::INFO).await.unwrap().unwrap();
        info.format_version += 1;
        newer.put_record(Layout::INFO, &info).await.unwrap();
        let error = refused(&from, &to).await;
        assert!(error.message().contains("newer version"), "{error:?}");
        newer.put(Layout::INFO, text).await.unwrap();
    }
    assert_copied(&from, &to, "after refusals").await;
}
