//! A lake of the generated registry, for benches without a lake of their own.

use std::sync::Arc;

use all_docs::lake::{OriginInfo, Pivots};
use all_docs::pipeline::{IngestOptions, PartitionMode, Progress, ingest};
use all_docs::registry::{Credentials, Origin, Registry, RegistryConfig};
use all_docs::sample::{Options, SampleServer, World};
use all_docs::store::Store;
use tokio_util::sync::CancellationToken;

/// The packages of the generated registry.
const PACKAGES: usize = 2_000;

/// Makes the lake. It is removed when the folder is dropped.
pub async fn generate() -> (String, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let location = folder.path().join("lake").to_str().unwrap().to_owned();
    let server = SampleServer::start(World::seeded(1, PACKAGES), Options::default()).unwrap();
    let mut origin = Origin::parse(server.url(), None).unwrap();
    origin.name = "npm".to_owned();
    let config = RegistryConfig::for_origin(&origin);
    let options = IngestOptions {
        pivots: Some(Pivots::new(vec!["m".to_owned()]).unwrap()),
        partitions: PartitionMode::Exact,
        ..IngestOptions::new(
            Store::open(&location).unwrap(),
            Registry::new(origin, config, Credentials::default()).unwrap(),
            OriginInfo { replicate_url: "sample".to_owned(), registry_url: "sample".to_owned() },
        )
    };
    ingest(options, Arc::new(Progress::default()), CancellationToken::new()).await.unwrap();
    (location, folder)
}
