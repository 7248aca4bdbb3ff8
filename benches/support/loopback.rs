//! The settings of an ingest from a sample registry over loopback.

use all_docs::lake::{OriginInfo, Pivots};
use all_docs::pipeline::{IngestOptions, PartitionMode};
use all_docs::registry::{Credentials, Origin, Registry, RegistryConfig};
use all_docs::store::Store;

/// Returns the options to ingest from the registry at `url` into the folder `lake`, with a partition between each two pivots.
pub fn ingest_options(url: &str, lake: &str, pivots: Vec<String>) -> IngestOptions {
    ingest_options_with(url, Store::open(lake).unwrap(), pivots, |_| {})
}

/// The same into any store, with a configuration that `configure` changes.
pub fn ingest_options_with(
    url: &str,
    store: Store,
    pivots: Vec<String>,
    configure: impl FnOnce(&mut RegistryConfig),
) -> IngestOptions {
    let mut origin = Origin::parse(url, None).unwrap();
    origin.name = "sample".to_owned();
    let mut config = RegistryConfig::for_origin(&origin);
    configure(&mut config);
    IngestOptions {
        pivots: Some(Pivots::new(pivots).unwrap()),
        partitions: PartitionMode::Exact,
        ..IngestOptions::new(
            store,
            Registry::new(origin, config, Credentials::default()).unwrap(),
            OriginInfo { replicate_url: "sample".to_owned(), registry_url: "sample".to_owned() },
        )
    }
}
