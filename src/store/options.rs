//! How a store is reached, and what its use has cost so far. Not here: the location itself (`location`).

use std::collections::BTreeMap;
use std::path::PathBuf;

/// How a store is reached. The command line fills it; the library reads no environment.
#[derive(Clone, Default)]
pub struct StoreOptions {
    /// The folder for shards under construction, and for copies of shards that are read as a whole. Only a store that is
    /// not a local disk uses it. Without it: a folder in the system's folder for temporary files.
    pub scratch: Option<PathBuf>,
    /// The folder of the cache of a store that is not a local disk, [`super::ObjectCache`]. Without it nothing is cached.
    pub cache: Option<PathBuf>,
    /// The address of the server of a bucket, in place of the provider's own.
    pub endpoint: Option<String>,
    /// Options of the client, by the names that `object_store` gives them. They are stronger than the environment.
    pub options: BTreeMap<String, String>,
    /// The variables of the environment that concern stores, by their names. They may hold secrets.
    pub environment: BTreeMap<String, String>,
    /// The user's home folder, where the files of credentials are.
    pub home: Option<PathBuf>,
}

impl std::fmt::Debug for StoreOptions {
    /// Shows the names of options and variables, never their values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreOptions")
            .field("scratch", &self.scratch)
            .field("cache", &self.cache)
            .field("endpoint", &self.endpoint)
            .field("options", &self.options.keys())
            .field("environment", &self.environment.keys())
            .field("home", &self.home)
            .finish()
    }
}

/// The operations of a store since it was opened, as they were sent: each try of a retried operation counts. Zero on a
/// local disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreUsage {
    /// Objects put whatever was there.
    pub puts: u64,
    /// Objects put where nothing was to be.
    pub creates: u64,
    /// Objects put in place of one version.
    pub updates: u64,
    /// Objects read, as a whole or a range of each.
    pub gets: u64,
    /// Requests for the metadata of one object.
    pub heads: u64,
    /// Pages of listings, of 1,000 objects each.
    pub lists: u64,
    /// Objects deleted. A store may delete 1,000 of them by one request.
    pub deletes: u64,
    /// Multipart uploads begun.
    pub uploads_begun: u64,
    /// Parts of multipart uploads.
    pub parts: u64,
    /// Multipart uploads completed.
    pub uploads_completed: u64,
    /// Multipart uploads aborted.
    pub uploads_aborted: u64,
    /// Operations that were sent again. Each is also counted under its kind.
    pub retries: u64,
    /// Bytes of bodies sent.
    pub bytes_up: u64,
    /// Bytes of bodies received.
    pub bytes_down: u64,
}
