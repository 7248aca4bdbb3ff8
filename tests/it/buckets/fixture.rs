//! A lake in a bucket: of S3 or of Google Cloud Storage, with a proxy before the store.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use all_docs::store::{ObjectClient, Store, StoreOptions};
use object_store::aws::AmazonS3Builder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use crate::doubles::gcs::Gcs;
use crate::doubles::proxy::Proxy;
use crate::doubles::s3::S3;
use crate::support::{Env, all_docs};

/// The name that every bucket of Google Cloud Storage has. Each has a server of its own.
const BUCKET: &str = "a-bucket";
/// The place of the lake in its bucket.
const PREFIX: &str = "lakes/of npm";

enum Server {
    S3(S3),
    Gcs(Gcs),
}

/// A bucket, and the proxy before it.
pub struct Bucket {
    server: Server,
    pub proxy: Proxy,
}

impl Bucket {
    /// Returns a bucket of Google Cloud Storage.
    pub fn gcs() -> Bucket {
        let gcs = Gcs::start(BUCKET);
        Bucket { proxy: Proxy::start(&gcs.url), server: Server::Gcs(gcs) }
    }

    /// Returns a bucket of S3; `None`, with a notice, where there is no moto. `name` is of this test only.
    pub fn s3(name: &str) -> Option<Bucket> {
        let s3 = S3::start(name)?;
        Some(Bucket { proxy: Proxy::start(&s3.url), server: Server::S3(s3) })
    }

    fn name(&self) -> &str {
        match &self.server {
            Server::S3(s3) => &s3.bucket,
            Server::Gcs(gcs) => &gcs.bucket,
        }
    }

    /// Returns the location of the lake.
    pub fn lake(&self) -> String {
        let scheme = if matches!(self.server, Server::S3(_)) { "s3" } else { "gs" };
        format!("{scheme}://{}/{PREFIX}", self.name())
    }

    /// Returns the address of the store behind the proxy.
    pub fn url(&self) -> &str {
        match &self.server {
            Server::S3(s3) => &s3.url,
            Server::Gcs(gcs) => &gcs.url,
        }
    }

    /// Returns the client of the store, behind the proxy or not. It retries this often.
    pub fn client(&self, url: &str, retries: usize) -> Arc<dyn ObjectClient> {
        self.client_of(self.name(), url, retries)
    }

    /// Returns the client of another bucket.
    pub fn client_of(&self, name: &str, url: &str, retries: usize) -> Arc<dyn ObjectClient> {
        match &self.server {
            Server::S3(_) => {
                let builder = AmazonS3Builder::new()
                    .with_endpoint(url)
                    .with_bucket_name(name)
                    .with_access_key_id("test")
                    .with_secret_access_key("test")
                    .with_retry(hasty(retries))
                    .with_allow_http(true);
                Arc::new(builder.build().unwrap())
            }
            Server::Gcs(_) => {
                let builder = GoogleCloudStorageBuilder::new()
                    .with_service_account_key(Gcs::service_account_key(url))
                    .with_bucket_name(name)
                    .with_retry(hasty(retries))
                    .with_client_options(ClientOptions::new().with_allow_http(true));
                Arc::new(builder.build().unwrap())
            }
        }
    }

    /// Returns the store of the lake, through the proxy.
    pub fn store(&self) -> Store {
        self.store_at(&self.proxy.url)
    }

    /// Returns the store of the lake, not through the proxy.
    pub fn store_behind(&self) -> Store {
        self.store_at(self.url())
    }

    fn store_at(&self, url: &str) -> Store {
        self.open(&self.lake(), url)
    }

    /// Returns the store of another lake in the bucket, not through the proxy.
    pub fn store_of(&self, prefix: &str) -> Store {
        self.open(&format!("{}/{prefix}", self.lake()), self.url())
    }

    fn open(&self, lake: &str, url: &str) -> Store {
        let environment = self.environment(url).map(|(name, value)| (name.to_owned(), value));
        let options = StoreOptions {
            endpoint: self.endpoint(url).map(str::to_owned),
            environment: environment.collect(),
            ..StoreOptions::default()
        };
        Store::open_with(lake, &options).unwrap()
    }

    /// Returns the address to give for a server of S3. That of Google Cloud Storage is in its key.
    fn endpoint<'a>(&self, url: &'a str) -> Option<&'a str> {
        matches!(self.server, Server::S3(_)).then_some(url)
    }

    /// Returns the variables that a user would set for the server at `url`.
    fn environment(&self, url: &str) -> impl Iterator<Item = (&'static str, String)> {
        let variables = match &self.server {
            Server::S3(_) => [("AWS_ACCESS_KEY_ID", "test".to_owned()), ("AWS_SECRET_ACCESS_KEY", "test".to_owned())],
            Server::Gcs(_) => [
                ("GOOGLE_SERVICE_ACCOUNT_KEY", Gcs::service_account_key(url)),
                ("GOOGLE_ALLOW_HTTP", "true".to_owned()),
            ],
        };
        variables.into_iter()
    }

    /// Returns the names of the multipart uploads that were neither completed nor aborted.
    pub fn begun_uploads(&self) -> Vec<String> {
        match &self.server {
            Server::S3(s3) => s3.begun_uploads(),
            Server::Gcs(gcs) => gcs.begun_uploads(),
        }
    }

    /// Makes a command of the binary use the lake, through the proxy.
    pub fn reach(&self, command: &mut Command, scratch: &Path) {
        let foreign = ["AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"];
        for name in foreign.iter().chain(&["GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT"]) {
            command.env_remove(name);
        }
        command.arg("--lake").arg(self.lake()).arg("--scratch").arg(scratch);
        command.envs(self.environment(&self.proxy.url));
        if let Some(endpoint) = self.endpoint(&self.proxy.url) {
            command.args(["--endpoint", endpoint]);
        }
    }

    /// Returns the binary with these arguments, for the lake. Its scratch is a folder below `folder`.
    pub fn command(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = all_docs(folder);
        command.args(arguments);
        self.reach(&mut command, &folder.join("scratch"));
        command
    }

    /// Returns the binary with the arguments to ingest the registry of `env` into the lake, by exact partitions.
    pub fn ingest(&self, env: &Env, pivots: &[&str]) -> Command {
        let mut command = env.ingest_command(pivots);
        command.arg("--quiet");
        self.reach(&mut command, &env.folder.path().join("scratch"));
        command
    }

    /// Copies all objects of the lake into a folder, which must not exist.
    pub async fn download(&self, folder: PathBuf) -> PathBuf {
        let store = self.store_behind();
        for path in store.list("").await.unwrap() {
            let target = folder.join(&path);
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::write(target, store.get(&path).await.unwrap().unwrap()).unwrap();
        }
        folder
    }

    /// Returns the names of the objects of the lake.
    pub async fn names(&self) -> BTreeSet<String> {
        self.store_behind().list("").await.unwrap().into_iter().collect()
    }
}

/// Retries at once.
fn hasty(retries: usize) -> RetryConfig {
    let [shortest, longest] = [1, 2].map(Duration::from_millis);
    RetryConfig {
        backoff: BackoffConfig { init_backoff: shortest, max_backoff: longest, base: 2.0 },
        max_retries: retries,
        ..RetryConfig::default()
    }
}
