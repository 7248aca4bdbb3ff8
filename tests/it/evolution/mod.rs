//! Lakes of other versions: those of an earlier version are read, verified, updated and rebuilt, and those of a newer
//! version are refused and left unchanged.

mod earlier;
mod newer;
mod rebuild;
mod rebuild_processes;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use all_docs::sample::{Action, Fault, FaultScript, World};
use all_docs::table::TableKind;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::support::{Env, run_binary, shared_corpus, stderr, stdout};

/// The one origin of the old lakes.
const OLD: &str = "old";
/// The registry's content for a document that the old lake does not hold.
const ABSENT: &str = "absent";

/// A folder with an old lake in it, called `lake`, and the registry that it came from.
struct OldLake {
    env: Env,
    /// The inner boundaries of its partitions.
    boundaries: Vec<String>,
}

impl OldLake {
    /// Returns the lake of format 1 in `tests/data`.
    fn kept() -> OldLake {
        OldLake::unpack(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/lake-format-1.tar.zst"))
    }

    /// Returns the one among the shared files; `None` where they are absent.
    fn shared() -> Option<OldLake> {
        let corpus = shared_corpus()?;
        Some(OldLake::unpack(&corpus.parent().unwrap().join("lake-format-1/lake.tar.zst")))
    }

    /// Returns all that exist.
    fn all() -> Vec<OldLake> {
        std::iter::once(OldLake::kept()).chain(OldLake::shared()).collect()
    }

    fn unpack(archive: &Path) -> OldLake {
        let folder = tempfile::tempdir().unwrap();
        let mut decoder = zstd::Decoder::new(File::open(archive).unwrap()).unwrap();
        decoder.window_log_max(27).unwrap();
        tar::Archive::new(decoder).unpack(folder.path()).unwrap();
        let origin = folder.path().join("lake").join(OLD);
        let set: serde_json::Value = json(&origin.join("partitions.json"));
        let boundaries = serde_json::from_value(set["boundaries"].clone()).unwrap();
        let (world, faults) = registry_of(&origin);
        let mut env = Env::new(world);
        env.server.set_faults(faults);
        env.folder = folder;
        OldLake { env, boundaries }
    }

    fn origin(&self) -> PathBuf {
        self.env.lake().join(OLD)
    }

    /// Runs the binary beside the lake. Returns its exit code, and all of its output.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = run_binary(self.env.folder.path(), arguments);
        (output.status.code(), stdout(&output) + &stderr(&output))
    }

    /// Does the same for a command that must succeed.
    fn must(&self, arguments: &[&str]) -> String {
        let (code, told) = self.run(arguments);
        assert!(matches!(code, Some(0 | 6)), "{arguments:?}: {code:?}\n{told}");
        told
    }

    /// Returns `--origin` for the registry, as the lake calls it.
    fn registry(&self) -> String {
        format!("{OLD}={}", self.env.server.url())
    }

    /// Makes a new lake of the same registry in the same partitions, by this version.
    async fn fresh(&self) -> Env {
        let (world, faults) = registry_of_server(&self.env);
        let fresh = Env::new(world);
        fresh.server.set_faults(faults);
        let boundaries: Vec<&str> = self.boundaries.iter().map(String::as_str).collect();
        fresh.ingest(&boundaries).await;
        fresh
    }

    /// Asserts that every shard has the bytes of a fresh lake's, except those of `outcomes`, which carry times.
    async fn assert_as_fresh(&self) {
        let fresh = self.fresh().await;
        let (own, other) = (shards(&self.origin()), shards(&fresh.lake().join(crate::support::ORIGIN)));
        assert_eq!(own.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
        let differing: Vec<&String> = own
            .iter()
            .filter(|(path, bytes)| !path.starts_with("outcomes/") && other[*path] != **bytes)
            .map(|(path, _)| path)
            .collect();
        assert!(differing.is_empty(), "{differing:?}");
    }
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Makes a registry that serves a lake's content: each name at its revision, with its document. Names without a
/// document in the lake are not found.
fn registry_of(origin: &Path) -> (World, FaultScript) {
    let mut world = World::new();
    let documents = rows(origin, TableKind::Packuments);
    let column = |name: &str| documents.column_by_name(name).unwrap().clone();
    let (names, texts, bytes) = (column("name"), column("json"), column("bytes"));
    let (names, texts, bytes) = (names.as_string::<i32>(), texts.as_string::<i32>(), bytes.as_binary::<i32>());
    let body = |row: usize| match texts.is_valid(row) {
        true => texts.value(row).as_bytes().to_vec(),
        false => bytes.value(row).to_vec(),
    };
    let held: BTreeMap<&str, usize> = (0..names.len()).map(|row| (names.value(row), row)).collect();
    let listed = rows(origin, TableKind::Docs);
    let text = |name: &str| listed.column_by_name(name).unwrap().as_string::<i32>().clone();
    let mut missing = Vec::new();
    for (name, rev) in text("name").iter().flatten().zip(text("rev").iter().flatten()) {
        match held.get(name) {
            Some(row) => world.put_raw(name, rev, body(*row)),
            None => {
                world.put_raw(name, rev, ABSENT);
                missing.push(Fault::packument(name, Action::status(404)));
            }
        }
    }
    (world, FaultScript::of(missing))
}

/// Makes the same of the content of another registry.
fn registry_of_server(env: &Env) -> (World, FaultScript) {
    let (mut world, mut missing) = (World::new(), Vec::new());
    let served = env.server.world();
    for name in served.names() {
        let document = served.document(name).unwrap();
        if document == ABSENT {
            missing.push(Fault::packument(name, Action::status(404)));
        }
        world.put_raw(name, &served.revision(name).unwrap(), document);
    }
    (world, FaultScript::of(missing))
}

/// Returns all rows of a table in the order of its partitions.
fn rows(origin: &Path, table: TableKind) -> RecordBatch {
    let mut shards: Vec<PathBuf> =
        fs::read_dir(origin.join(table.as_str())).unwrap().map(|entry| entry.unwrap().path()).collect();
    shards.sort();
    let mut batches = Vec::new();
    for path in shards {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
        batches.extend(reader.map(Result::unwrap));
    }
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

/// Returns the bytes of every shard below an origin's folder.
fn shards(origin: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = files(origin);
    files.retain(|path, _| path.ends_with(".parquet") && !path.starts_with("events/"));
    files
}

/// Returns every regular file below a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.is_file() {
                // The socket by which processes share the gate of a host is no file of a lake.
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    for (path, bytes) in files(from) {
        let path = to.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Returns the stems of an origin's partitions, sorted.
fn stems(origin: &Path) -> Vec<String> {
    let entries = fs::read_dir(origin.join("manifest")).unwrap().map(|entry| entry.unwrap().path());
    let mut stems: Vec<String> = entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    stems.sort();
    stems
}

/// Changes a JSON file.
fn edit(path: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let mut value = json(path);
    change(&mut value);
    fs::write(path, serde_json::to_vec_pretty(&value).unwrap()).unwrap();
}
