//! The client that the store uses, and requests by hand, against the doubles: each rule that the lake rests on.

use std::sync::Arc;

use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion};

use futures::{StreamExt, TryStreamExt};

use super::fixture::Bucket;
use crate::doubles::proxy::{Fault, Operation, counts};

fn payload(text: &str) -> PutPayload {
    PutPayload::from(text.to_owned())
}

async fn text(store: &dyn ObjectStore, path: &str) -> String {
    let bytes = store.get(&Path::from(path)).await.unwrap().bytes().await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn conditions_ranges_lists_and_uploads(store: Arc<dyn ObjectStore>) {
    let path = Path::from("npm/a b+c%&é/x.parquet");
    let create = || store.put_opts(&path, payload("one"), PutMode::Create.into());
    let first = create().await.unwrap();
    assert!(matches!(create().await, Err(Error::AlreadyExists { .. })));
    let update = |at: &object_store::PutResult, to: &str| {
        let version = UpdateVersion { e_tag: at.e_tag.clone(), version: at.version.clone() };
        let (store, path, to) = (Arc::clone(&store), path.clone(), payload(to));
        async move { store.put_opts(&path, to, PutMode::Update(version).into()).await }
    };
    let second = update(&first, "two").await.unwrap();
    assert!(matches!(update(&first, "three").await, Err(Error::Precondition { .. })));
    let found = store.get(&path).await.unwrap();
    assert_eq!((found.meta.e_tag.clone(), found.meta.version.clone()), (second.e_tag.clone(), second.version));
    assert_eq!(found.bytes().await.unwrap(), "two");

    let with = |range: GetRange| GetOptions { range: Some(range), ..GetOptions::default() };
    let found = store.get_opts(&path, with(GetRange::Suffix(2))).await.unwrap();
    assert_eq!((found.range.clone(), found.meta.size), (1..3, 3));
    assert_eq!(found.bytes().await.unwrap(), "wo");
    let found = store.get_opts(&path, with(GetRange::Suffix(65_536))).await.unwrap();
    assert_eq!(found.bytes().await.unwrap(), "two");
    assert_eq!(store.get_range(&path, 0..2).await.unwrap(), "tw");
    assert!(store.get_opts(&path, with(GetRange::Bounded(7..9))).await.is_err());
    let options = GetOptions { if_match: Some("\"another\"".to_owned()), ..with(GetRange::Bounded(0..2)) };
    assert!(matches!(store.get_opts(&path, options).await, Err(Error::Precondition { .. })));
    let options = GetOptions { if_none_match: second.e_tag, ..GetOptions::default() };
    assert!(matches!(store.get_opts(&path, options).await, Err(Error::NotModified { .. })));
    assert!(matches!(store.get(&Path::from("npm/none")).await, Err(Error::NotFound { .. })));

    // More than a page, and names in the order of their bytes.
    let names: Vec<Path> = (0..1_234).map(|n| Path::from(format!("many/{:02}/{n:05}", n % 7))).collect();
    futures::stream::iter(&names)
        .for_each_concurrent(8, async |name| drop(store.put(name, "".into()).await.unwrap()))
        .await;
    let mut sorted = names.clone();
    sorted.sort();
    let listed = |after: Option<Path>| {
        let all = match after {
            Some(after) => store.list_with_offset(Some(&Path::from("many")), &after),
            None => store.list(Some(&Path::from("many"))),
        };
        all.map_ok(|meta| meta.location).try_collect::<Vec<Path>>()
    };
    assert_eq!(listed(None).await.unwrap(), sorted);
    assert_eq!(listed(Some(sorted[1_100].clone())).await.unwrap(), sorted[1_101..]);
    let folders = store.list_with_delimiter(Some(&Path::from("many"))).await.unwrap();
    assert_eq!((folders.common_prefixes.len(), folders.objects.len()), (7, 0));

    let large = Path::from("large");
    let part = vec![b'p'; 5 << 20];
    let mut upload = store.put_multipart(&large).await.unwrap();
    upload.put_part(part.clone().into()).await.unwrap();
    upload.put_part("end".into()).await.unwrap();
    assert!(matches!(store.head(&large).await, Err(Error::NotFound { .. })), "it is there before it is complete");
    upload.complete().await.unwrap();
    assert_eq!(store.head(&large).await.unwrap().size, (5 << 20) + 3);
    assert_eq!(store.get_range(&large, (5 << 20) - 1..(5 << 20) + 3).await.unwrap(), "pend");
    let mut small_first = store.put_multipart(&large).await.unwrap();
    small_first.put_part("small".into()).await.unwrap();
    small_first.put_part("end".into()).await.unwrap();
    assert!(small_first.complete().await.is_err());
    small_first.abort().await.unwrap();
    assert_eq!(store.head(&large).await.unwrap().size, (5 << 20) + 3);

    store.delete(&large).await.unwrap();
    assert!(matches!(store.head(&large).await, Err(Error::NotFound { .. })));
}

/// Of sixteen puts at once that demand the same, one succeeds.
async fn races_have_one_winner(store: Arc<dyn ObjectStore>) {
    for round in 0..8 {
        let path = Path::from(format!("race/{round}"));
        // An S3 object that is replaced by the same bytes keeps its ETag, so no two puts here have the same.
        let race = |mode: PutMode, text: &'static str| {
            let puts = (0..16).map(|n| {
                let (store, path, mode) = (Arc::clone(&store), path.clone(), mode.clone());
                tokio::spawn(async move {
                    store.put_opts(&path, payload(&format!("{text} {n}")), mode.into()).await.map(|put| (n, put))
                })
            });
            futures::future::join_all(puts)
        };
        let created: Vec<_> =
            race(PutMode::Create, "created").await.into_iter().filter_map(|put| put.unwrap().ok()).collect();
        let [(winner, put)] = &created[..] else { panic!("{} created the object", created.len()) };
        assert_eq!(text(&*store, path.as_ref()).await, format!("created {winner}"));
        let version = UpdateVersion { e_tag: put.e_tag.clone(), version: put.version.clone() };
        let raced = race(PutMode::Update(version), "updated").await.into_iter().filter_map(|put| put.unwrap().ok());
        let updated: Vec<_> = raced.collect();
        let [(winner, _)] = &updated[..] else { panic!("{} replaced the object", updated.len()) };
        assert_eq!(text(&*store, path.as_ref()).await, format!("updated {winner}"));
    }
}

/// Each fault does just what it says, and the client notices it.
async fn faults_are_as_scripted(bucket: &Bucket) {
    let proxy = &bucket.proxy;
    let [with_retries, without] = [3, 0].map(|retries| bucket.client(&proxy.url, retries));
    let path = Path::from("faults/object");
    for fault in Fault::ALL {
        let once = |operation: Operation| {
            let mut is_next = true;
            proxy.play(move |found, _| (found == operation && std::mem::take(&mut is_next)).then_some(fault));
        };
        let bytes = format!("{fault:?}");
        once(Operation::Put);
        let put = without.put(&path, payload(&bytes)).await;
        // The response to a put has no body that could be cut.
        assert_eq!(put.is_ok(), fault == Fault::CutResponse, "{fault:?}: {put:?}");
        proxy.play(|_, _| None);
        let is_done = without.get(&path).await.ok().map(|found| found.meta.size) == Some(bytes.len() as u64);
        assert_eq!(is_done, matches!(fault, Fault::LoseResponse | Fault::CutResponse), "{fault:?}");
        once(Operation::Put);
        with_retries.put(&path, payload(&bytes)).await.unwrap();
        once(Operation::Get);
        assert_eq!(text(&*with_retries, path.as_ref()).await, bytes);
        without.delete(&path).await.unwrap();
    }
    let passed = proxy.take_passed();
    assert_eq!(passed.iter().filter(|passed| passed.fault.is_some()).count(), 3 * Fault::ALL.len());
    let counted = counts(&passed);
    // Of the puts with retries, one needs none: its response was only said to be cut.
    assert_eq!(counted[&Operation::Put], 3 * Fault::ALL.len() - 1);
    assert_eq!(counted[&Operation::Delete], Fault::ALL.len());
}

/// A bucket that does not exist is told from an object that does not.
async fn another_bucket_is_missing(bucket: &Bucket) {
    let error = bucket.client_of("another", bucket.url(), 0).get(&Path::from("x")).await.unwrap_err();
    assert!(error.to_string().contains("NoSuchBucket"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn google_cloud_storage_is_as_documented() {
    let bucket = Bucket::gcs();
    let client = bucket.client(bucket.url(), 0);
    conditions_ranges_lists_and_uploads(client.clone()).await;
    races_have_one_winner(client.clone()).await;
    assert_eq!(bucket.begun_uploads(), Vec::<String>::new());
    assert!(matches!(client.delete(&Path::from("npm/none")).await, Err(Error::NotFound { .. })));
    another_bucket_is_missing(&bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_is_as_documented() {
    let Some(bucket) = Bucket::s3("servers") else { return };
    let client = bucket.client(bucket.url(), 0);
    conditions_ranges_lists_and_uploads(client.clone()).await;
    races_have_one_winner(client.clone()).await;
    assert_eq!(bucket.begun_uploads(), Vec::<String>::new());
    // Unlike Google's.
    client.delete(&Path::from("npm/none")).await.unwrap();
    another_bucket_is_missing(&bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_fails_requests_to_google_cloud_storage() {
    faults_are_as_scripted(&Bucket::gcs()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_fails_requests_to_s3() {
    let Some(bucket) = Bucket::s3("faults") else { return };
    faults_are_as_scripted(&bucket).await;
}
