//! DuckDB, pyarrow and Polars read the lake in its bucket.

use std::path::PathBuf;

use all_docs::pipeline::IngestOptions;
use all_docs::sample::World;
use all_docs::table::TableKind;

use super::fixture::Bucket;
use crate::support::{Env, ORIGIN, python, run, run_python};

/// Returns a Python with DuckDB 1.5 and its extension `httpfs`; `None`, with a notice, where there is none. CI fails then.
fn python_with_httpfs() -> Option<PathBuf> {
    match std::env::var_os("ALL_DOCS_HTTPFS_PYTHON") {
        Some(python) => Some(PathBuf::from(python)),
        None => {
            assert!(std::env::var_os("ALL_DOCS_REQUIRE_TOOLS").is_none(), "ALL_DOCS_HTTPFS_PYTHON is not set");
            eprintln!(
                "skipped: set ALL_DOCS_HTTPFS_PYTHON to a Python with tests/tools/requirements-httpfs.txt installed"
            );
            None
        }
    }
}

/// Fills a lake in S3, and lets a script compare it with a copy on a disk.
async fn reads_the_same_as_from_a_disk(bucket: Bucket, python: PathBuf, script: &str) {
    let mut world = World::seeded(31, 120);
    world.add_odd_documents();
    let env = Env::new(world);
    let store = bucket.store_behind();
    run(IngestOptions { store, ..env.options(&["@k", "c", "m"]) }).await.unwrap();
    let here = bucket.download(env.folder.path().join("copy")).await.join(ORIGIN);
    let there = format!("{}/{ORIGIN}", bucket.lake());
    let told = run_python(&python, script, &[bucket.url(), &there, here.to_str().unwrap()]);
    for table in TableKind::ALL {
        assert!(told.contains(table.as_str()), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn duckdb_reads_each_table_from_s3() {
    let Some(python) = python_with_httpfs() else { return };
    let Some(bucket) = Bucket::s3("duckdb") else { return };
    reads_the_same_as_from_a_disk(bucket, python, "read_s3_with_duckdb.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pyarrow_and_polars_read_each_table_from_s3() {
    let Some(python) = python() else { return };
    let Some(bucket) = Bucket::s3("pyarrow") else { return };
    reads_the_same_as_from_a_disk(bucket, python, "read_s3.py").await;
}
