//! The promises of a store on a local disk and in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use all_docs::store::{MemoryBucket, Store, StoreOptions};
use object_store::path::Path;
use url::Url;

use super::conformance;

/// As many objects as need ten pages.
const LONG_LISTING: usize = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_local_disk_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let number = AtomicUsize::new(0);
    let fresh = async || {
        let number = number.fetch_add(1, Ordering::Relaxed);
        Store::open(folder.path().join(format!("lake {number}")).to_str().unwrap()).unwrap()
    };
    conformance::conforms(fresh, LONG_LISTING).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_conforms() {
    conformance::conforms(async || Store::memory(), LONG_LISTING).await;
    assert!(Store::open_with("memory:///", &StoreOptions::default()).unwrap().list("").await.unwrap().is_empty());
}

/// Two lakes in one bucket and one scratch folder do not see each other.
#[tokio::test(flavor = "multi_thread")]
async fn lakes_that_share_a_bucket_and_a_scratch_folder_are_apart() {
    let (bucket, scratch) = (MemoryBucket::new(), tempfile::tempdir().unwrap());
    let lake = |name: &str| {
        let url = Url::parse(&format!("s3://bucket/{name}/")).unwrap();
        Store::of_objects(Arc::new(bucket.clone()), url, Path::from(name), Some(scratch.path().to_owned()))
    };
    let number = AtomicUsize::new(0);
    let fresh = async || lake(&format!("lakes/{}", number.fetch_add(1, Ordering::Relaxed)));
    conformance::conforms(fresh, 100).await;
    let (one, two, beside) = (lake("one"), lake("two"), lake("on"));
    for (store, text) in [(&one, "1"), (&two, "2")] {
        store.put("a", text).await.unwrap();
        conformance::stage(store, "s/x", &text.into()).await;
    }
    assert_eq!(beside.list("").await.unwrap(), Vec::<String>::new());
    two.delete_folder("").await.unwrap();
    assert_eq!(one.list("").await.unwrap(), ["a", "s/x"]);
    assert_eq!(lake("one").get("s/x").await.unwrap().unwrap(), "1", "the next process of a lake finds what was staged");
}
