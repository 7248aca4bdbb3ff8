//! Copies of lakes of the sample registry, in memory and on a disk.
#![allow(clippy::unwrap_used)]

#[cfg(feature = "array")]
mod arrays;
mod copied;
mod crashes;
pub(in crate::pipeline) mod cut;
mod refused;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{CopyOptions, CopySummary, copy};
use crate::error::{Error, Result};
use crate::lake::{Layout, OriginInfo, Pivots};
use crate::pipeline::crash_tests::{Backend, Lake, layout, run};
use crate::pipeline::{IngestOptions, PartitionMode};
use crate::registry::{Credentials, Origin, Registry, RegistryConfig};
use crate::sample::{Options, SampleServer, World};
use crate::store::Store;

/// The pivots of the lakes: three partitions, and one more without a row.
const PIVOTS: [&str; 3] = ["m", "t", "zzzz"];

fn server() -> SampleServer {
    SampleServer::start(World::seeded(43, 30), Options::default()).unwrap()
}

/// Ingests into a lake in memory.
async fn lake(server: &SampleServer) -> Store {
    let store = Store::memory();
    run(server, &store, &PIVOTS).await.unwrap();
    store
}

/// Returns the options of an ingest with these pivots.
fn ingest_options(server: &SampleServer, store: &Store) -> IngestOptions {
    let mut origin = Origin::parse(server.url(), None).unwrap();
    layout().name().clone_into(&mut origin.name);
    let config = RegistryConfig::for_origin(&origin);
    let registry = Registry::new(origin, config, Credentials::default()).unwrap();
    let urls = OriginInfo { replicate_url: "sample".to_owned(), registry_url: "sample".to_owned() };
    IngestOptions {
        pivots: Some(Pivots::new(PIVOTS.map(str::to_owned).to_vec()).unwrap()),
        partitions: PartitionMode::Exact,
        ..IngestOptions::new(store.clone(), registry, urls)
    }
}

/// Changes a document of the first partition.
fn revise(server: &SampleServer) {
    let first = server.world().names().next().unwrap().to_owned();
    server.world().publish(&first, "77.0.0");
}

async fn try_copy(from: &Store, to: &Store, options: &CopyOptions) -> Result<CopySummary> {
    copy(from, to, options, Arc::default(), CancellationToken::new()).await
}

async fn copied(from: &Store, to: &Store) -> CopySummary {
    try_copy(from, to, &CopyOptions::default()).await.unwrap()
}

async fn refused(from: &Store, to: &Store) -> Error {
    try_copy(from, to, &CopyOptions::default()).await.unwrap_err()
}

/// Returns the objects that a copy must have: all but the count of requests, and the places of the feed.
async fn wanted(from: &Store) -> BTreeMap<String, Bytes> {
    let mut objects = from.contents().await;
    objects.remove(Layout::REQUESTS);
    objects.remove(&layout().follow());
    objects
}

/// Asserts that a copy has the bytes of the lake, and nothing else.
async fn assert_copied(from: &Store, to: &Store, after: &str) {
    let (wanted, mut held) = (wanted(from).await, to.contents().await);
    // Other processes may be writing, so a dead process's begun puts at these places are removed only after a minute.
    held.retain(|path, _| !Store::is_put_begun(path) || path.contains("/staging/") || path.contains("/manifest/"));
    let names = |objects: &BTreeMap<String, Bytes>| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&held), names(&wanted), "{after}");
    for (path, bytes) in &wanted {
        assert!(held[path] == *bytes, "{path} differs {after}");
    }
}

/// Returns the shards and manifests of a lake.
async fn rows(store: &Store) -> BTreeMap<String, Bytes> {
    let mut objects = store.contents().await;
    objects.retain(|path, _| path.ends_with(".parquet") || path.contains("/manifest/"));
    objects
}

/// Returns a place without a lake.
async fn empty(place: Backend) -> Lake {
    place.lake(&BTreeMap::new()).await
}

async fn digest(store: &Store, path: &str) -> String {
    format!("{:x}", Sha256::digest(store.get(path).await.unwrap().unwrap()))
}
