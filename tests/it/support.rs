//! The fixtures of the tests: a sample registry, a lake in a temporary folder, the library's ingest and the real
//! binary.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use all_docs::error::Result;
use all_docs::lake::OriginInfo;
use all_docs::lake::Pivots;
use all_docs::pipeline::{IngestOptions, IngestSummary, PartitionMode, Progress, ingest};
use all_docs::registry::{Credentials, Origin, Registry, RegistryConfig};
use all_docs::sample::{Action, Options, SampleServer, World};
use all_docs::store::Store;
use all_docs::table::TableKind;
use arrow::array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sha2::Digest;
use tokio_util::sync::CancellationToken;

/// The name of the tests' registry in the lake.
pub const ORIGIN: &str = "sample";

/// A registry and a lake.
pub struct Env {
    pub server: SampleServer,
    pub folder: tempfile::TempDir,
}

impl Env {
    pub fn new(world: World) -> Env {
        let server = SampleServer::start(world, Options::default()).unwrap();
        Env { server, folder: tempfile::tempdir().unwrap() }
    }

    pub fn lake(&self) -> PathBuf {
        self.folder.path().join("lake")
    }

    pub fn store(&self) -> Store {
        Store::open(self.lake().to_str().unwrap()).unwrap()
    }

    pub fn registry(&self) -> Registry {
        self.registry_with(|_| {})
    }

    /// Returns the registry with a changed configuration.
    pub fn registry_with(&self, change: impl FnOnce(&mut RegistryConfig)) -> Registry {
        let mut origin = Origin::parse(self.server.url(), None).unwrap();
        origin.name = ORIGIN.to_owned();
        let mut config = RegistryConfig::for_origin(&origin);
        change(&mut config);
        Registry::new(origin, config, Credentials::default()).unwrap()
    }

    /// Returns the options of an ingest of everything, with these pivots.
    pub fn options(&self, pivots: &[&str]) -> IngestOptions {
        IngestOptions {
            pivots: Some(Pivots::new(pivots.iter().map(|&key| key.to_owned()).collect()).unwrap()),
            partitions: PartitionMode::Exact,
            ..IngestOptions::new(
                self.store(),
                self.registry(),
                OriginInfo { replicate_url: ORIGIN.to_owned(), registry_url: ORIGIN.to_owned() },
            )
        }
    }

    /// Ingests, and fails the test when the ingest fails.
    pub async fn ingest(&self, pivots: &[&str]) -> IngestSummary {
        run(self.options(pivots)).await.unwrap()
    }

    /// Returns the names whose documents were requested since the last call, sorted, once for each request.
    pub fn packuments_asked(&self) -> Vec<String> {
        let requests = self.server.requests();
        self.server.clear_requests();
        let mut names: Vec<String> = requests.into_iter().filter_map(|request| request.package).collect();
        names.sort();
        names
    }

    /// Returns all rows of a table over all of its shards, one batch a read batch, shards in the order of their names.
    pub fn table(&self, table: TableKind) -> Vec<RecordBatch> {
        read_table(&self.lake(), table)
    }

    /// Returns a column of text over a whole table.
    pub fn texts(&self, table: TableKind, column: &str) -> Vec<Option<String>> {
        texts(&self.table(table), column)
    }

    /// Returns the names in a table.
    pub fn names(&self, table: TableKind) -> Vec<String> {
        self.texts(table, "name").into_iter().map(Option::unwrap).collect()
    }
}

/// Returns a response that is later than any test waits.
pub fn never() -> Action {
    Action::Slow { before_headers_ms: 600_000, between_chunks_ms: 0, chunk_bytes: 1 << 20 }
}

/// Runs an ingest to its end.
pub async fn run(options: IngestOptions) -> Result<IngestSummary> {
    ingest(options, Arc::new(Progress::default()), CancellationToken::new()).await
}

pub fn read_table(lake: &Path, table: TableKind) -> Vec<RecordBatch> {
    let folder = lake.join(ORIGIN).join(table.as_str());
    let mut shards = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = std::fs::File::open(&path).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let start = path.file_stem().unwrap().to_str().unwrap().to_owned();
        shards.push((start, reader.map(|batch| batch.unwrap()).collect::<Vec<_>>()));
    }
    shards.sort_by(|one, other| one.0.cmp(&other.0));
    shards.into_iter().flat_map(|(_, batches)| batches).collect()
}

pub fn texts(batches: &[RecordBatch], column: &str) -> Vec<Option<String>> {
    use arrow::array::{Array, AsArray};
    let mut values = Vec::new();
    for batch in batches {
        let array = batch.column_by_name(column).unwrap().as_string::<i32>();
        values.extend((0..array.len()).map(|row| array.is_valid(row).then(|| array.value(row).to_owned())));
    }
    values
}

/// Returns every file of a lake with the digest of its bytes, except those that carry times, attempts and counts of
/// requests.
pub fn lake_bytes(lake: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut pending = vec![lake.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
                continue;
            }
            let name = path.strip_prefix(lake).unwrap().to_str().unwrap().to_owned();
            let of_times =
                ["/manifest/", "/outcomes/", "/events/", "/feed/", "all-docs.json", "requests.json", "/follow.json"];
            let carries_times = of_times.iter().any(|part| name.contains(part));
            // A killed process may leave one where others may be writing: beside the lake metadata, and among the
            // leases. It is removed after a minute.
            let is_put_begun = name.starts_with(".put-") || name.contains("/leases/.put-");
            // Drawn at random, for a queue.
            let is_mark = name.ends_with("/items/lake.json");
            if !carries_times && !is_put_begun && !is_mark {
                let digest = sha2::Sha256::digest(std::fs::read(path).unwrap());
                files.insert(name, digest.iter().map(|byte| format!("{byte:02x}")).collect());
            }
        }
    }
    files
}

/// Fails with the names of the files that differ.
pub fn assert_same_lake(one: &Path, other: &Path) {
    let (one, other) = (lake_bytes(one), lake_bytes(other));
    assert!(!one.is_empty(), "the lake is empty");
    let names = one.keys().chain(other.keys()).collect::<std::collections::BTreeSet<_>>();
    let differing: Vec<_> = names
        .into_iter()
        .filter(|name| one.get(*name) != other.get(*name))
        .map(|name| match (one.get(name), other.get(name)) {
            (Some(_), Some(_)) => name.clone(),
            (Some(_), None) => format!("{name} (only in the first)"),
            (None, _) => format!("{name} (only in the second)"),
        })
        .collect();
    assert!(differing.is_empty(), "these files differ: {differing:?}");
}

/// Returns the binary, with an environment that is free of its own settings.
pub fn all_docs(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_all-docs"));
    command.current_dir(folder);
    for name in ["ALL_DOCS_LAKE", "ALL_DOCS_ORIGIN", "ALL_DOCS_PIVOTS", "ALL_DOCS_CONFIG", "ALL_DOCS_REGISTRY"] {
        command.env_remove(name);
    }
    let of_buckets = ["ALL_DOCS_ENDPOINT", "ALL_DOCS_LAKE_OPTION", "ALL_DOCS_SCRATCH", "SERVICE_ACCOUNT"];
    let prefixes = ["AWS_", "CLOUDFLARE_", "CLOUDSDK_", "GCE_", "GOOGLE_", "R2_"];
    for name in std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
        if of_buckets.contains(&name.as_str()) || prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    // It must not coordinate with the processes of other tests.
    command.env("ALL_DOCS_RUNTIME_DIR", folder);
    command.env("ALL_DOCS_CACHE_DIR", folder.join("cache"));
    command
}

/// Returns the folder of the one origin of a lake that the binary ingested.
pub fn origin_folder(lake: &Path) -> PathBuf {
    let folders = std::fs::read_dir(lake).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let folders: Vec<PathBuf> = folders.collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    folders[0].clone()
}

/// Renames the one origin of a lake, which the binary named after its address, so lakes can be compared.
pub fn same_name(env: &Env) {
    std::fs::rename(origin_folder(&env.lake()), env.lake().join(ORIGIN)).unwrap();
}

impl Env {
    /// Returns the binary with the arguments to ingest this registry into this lake, by exact partitions.
    pub fn ingest_command(&self, pivots: &[&str]) -> Command {
        let file = self.folder.path().join("pivots.json");
        let text = if pivots.is_empty() { "[null]".to_owned() } else { serde_json::to_string(pivots).unwrap() };
        std::fs::write(&file, text).unwrap();
        let mut command = all_docs(self.folder.path());
        command.args(["ingest", "--partitions", "exact", "--origin", self.server.url(), "--pivots"]).arg(file);
        command
    }

    /// Returns the binary with the arguments to follow this registry into this lake.
    pub fn follow_command(&self, arguments: &[&str]) -> Command {
        let mut command = all_docs(self.folder.path());
        command.args(["follow", "--origin", self.server.url()]).args(arguments);
        command
    }
}

/// Runs the binary to its end.
pub fn run_binary(folder: &Path, arguments: &[&str]) -> Output {
    all_docs(folder).args(arguments).output().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Returns the folder of real documents; `None`, with a notice, where it is absent. CI fails then, unless told
/// otherwise.
pub fn shared_corpus() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let shared = std::env::var_os("ALL_DOCS_SHARED").map_or(default, PathBuf::from);
    let corpus = shared.join("corpus");
    if corpus.join("packuments.ndjson.zst").exists() {
        return Some(corpus);
    }
    let required = std::env::var_os("ALL_DOCS_REQUIRE_TOOLS").is_some();
    assert!(!required || std::env::var_os("ALL_DOCS_ALLOW_NO_CORPUS").is_some(), "no corpus at {}", corpus.display());
    eprintln!("skipped: no real packuments at {}; set ALL_DOCS_SHARED", corpus.display());
    None
}

/// Returns a Python with DuckDB, pandas, Polars and pyarrow; `None`, with a notice, where there is none. CI fails then.
pub fn python() -> Option<PathBuf> {
    match std::env::var_os("ALL_DOCS_PYTHON") {
        Some(python) => Some(PathBuf::from(python)),
        None => {
            assert!(std::env::var_os("ALL_DOCS_REQUIRE_TOOLS").is_none(), "ALL_DOCS_PYTHON is not set");
            eprintln!("skipped: set ALL_DOCS_PYTHON to a Python with tests/tools/requirements.txt installed");
            None
        }
    }
}

/// Runs a script of `tests/tools` and fails with what it printed when it fails.
pub fn run_python(python: &Path, script: &str, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools").join(script);
    let output = Command::new(python).arg(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}\n{}", stdout(&output), stderr(&output));
    stdout(&output)
}
