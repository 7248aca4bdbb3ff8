//! The promises of a store in S3 and in Google Cloud Storage.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::fixture::Bucket;
use crate::store::conformance::conforms;

/// Checks every promise. The listing has `objects` objects.
async fn holds(bucket: &Bucket, objects: usize) {
    let lakes = AtomicUsize::new(0);
    let fresh = async || bucket.store_of(&format!("lake {}", lakes.fetch_add(1, Ordering::Relaxed)));
    conforms(fresh, objects).await;
    assert_eq!(bucket.begun_uploads(), Vec::<String>::new());
}

/// Three pages are enough here: moto needs milliseconds for each object.
#[tokio::test(flavor = "multi_thread")]
async fn s3_conforms() {
    let Some(bucket) = Bucket::s3("conformance") else { return };
    holds(&bucket, 2_500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn google_cloud_storage_conforms() {
    holds(&Bucket::gcs(), 10_000).await;
}
