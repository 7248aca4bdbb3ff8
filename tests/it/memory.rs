//! Large documents in bounded memory: the promise is about the process, so the test measures the binary.

use std::path::Path;

use all_docs::diff::Selection;
use all_docs::npm::PackageName;
use all_docs::sample::{Options, SampleServer, World};
use all_docs::table::TableKind;

use crate::support::{Env, ORIGIN, python, read_table, run, run_python, stderr, texts};

/// The most memory that an ingest may use.
const LIMIT_BYTES: u64 = 1_000_000_000;

fn write_pivots(folder: &Path) -> String {
    let path = folder.join("pivots.json");
    std::fs::write(&path, "[\"m\", \"n\"]").unwrap();
    path.to_str().unwrap().to_owned()
}

/// Returns the rows of the lake's only origin, whose name depends on the port.
fn outcomes(lake: &Path) -> Vec<(String, String)> {
    let mut folders = std::fs::read_dir(lake).unwrap().map(|entry| entry.unwrap().path());
    let origin = folders.find(|path| path.is_dir()).unwrap();
    std::fs::rename(origin, lake.join(ORIGIN)).unwrap();
    let batches = read_table(lake, TableKind::Outcomes);
    let column = |name| texts(&batches, name).into_iter().map(Option::unwrap);
    column("name").zip(column("outcome")).collect()
}

#[test]
fn documents_of_100_mb_and_of_40_000_versions_take_less_than_a_gigabyte() {
    let Some(python) = python() else { return };
    let mut world = World::new();
    world.add_names(["a", "z"]);
    world.add_package_with_versions("many-versions", 40_000);
    for name in ["large-1", "large-2", "nothing-but-large", "other-large"] {
        world.add_package_of_size(name, 100_000_000);
    }
    let server = SampleServer::start(world, Options::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (pivots, lake) = (write_pivots(folder.path()), folder.path().join("lake"));
    let ingest = ["ingest", "--origin", server.url(), "--pivots", &pivots, "--partitions", "exact", "--lake"];
    let command = [&[env!("CARGO_BIN_EXE_all-docs")], &ingest[..], &[lake.to_str().unwrap()]].concat();
    let peak_bytes: u64 = run_python(&python, "peak_memory.py", &command).trim().parse().unwrap();
    assert!(outcomes(&lake).iter().all(|(_, outcome)| outcome == "present"));
    let versions = texts(&read_table(&lake, TableKind::Versions), "name");
    assert_eq!(versions.iter().filter(|name| name.as_deref() == Some("many-versions")).count(), 40_000);
    assert!(peak_bytes < LIMIT_BYTES, "{peak_bytes} bytes");
}

#[test]
fn a_document_over_the_limit_is_an_outcome_of_one_request() {
    let mut world = World::new();
    world.add_names(["a", "z"]);
    world.add_package_of_size("large", 5_000_000);
    let server = SampleServer::start(world, Options::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (pivots, lake) = (write_pivots(folder.path()), folder.path().join("lake"));
    let arguments = ["ingest", "--origin", server.url(), "--pivots", &pivots, "--max-document-bytes", "1000000"];
    let output = crate::support::run_binary(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    let expected = [("a", "present"), ("large", "oversize"), ("z", "present")];
    assert_eq!(outcomes(&lake), expected.map(|(name, outcome)| (name.to_owned(), outcome.to_owned())));
    assert_eq!(server.requests().iter().filter(|request| request.package.as_deref() == Some("large")).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_was_too_large_is_requested_again_with_a_higher_limit() {
    let mut world = World::new();
    world.add_names(["a", "also-large", "z"]);
    world.add_package_of_size("also-large", 3_000_000);
    world.add_package_of_size("large", 5_000_000);
    let env = Env::new(world);
    let ingest = async |limit_bytes, selection| {
        let mut options = env.options(&[]);
        options.registry = env.registry_with(|config| config.max_document_bytes = limit_bytes);
        options.selection = selection;
        run(options).await.unwrap();
        env.packuments_asked()
    };
    let only = |name: &str| Selection::Names([PackageName::from(name)].into());
    assert_eq!(ingest(1_000_000, Selection::All).await, ["a", "also-large", "large", "z"]);
    for limit_bytes in [1_000_000, 999_999] {
        assert!(ingest(limit_bytes, Selection::All).await.is_empty(), "{limit_bytes}");
    }
    // A larger limit refuses it, while the other one still stands as refused by the smaller.
    assert_eq!(ingest(2_000_000, only("large")).await, ["large"]);
    assert_eq!(ingest(2_000_000, Selection::All).await, ["also-large", "large"]);
    assert!(ingest(2_000_000, Selection::All).await.is_empty());
    assert_eq!(ingest(4_000_000, Selection::All).await, ["also-large", "large"]);
    assert!(ingest(4_000_000, Selection::All).await.is_empty());
    assert_eq!(ingest(6_000_000, Selection::All).await, ["large"]);
    assert!(ingest(60_000_000, Selection::All).await.is_empty());
    let outcomes = env.texts(TableKind::Outcomes, "outcome");
    assert_eq!(outcomes, vec![Some("present".to_owned()); 4]);
}
