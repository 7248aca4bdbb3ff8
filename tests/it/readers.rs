//! Real tools as readers of our files: Python's own JSON decoders, DuckDB, pandas, Polars, pyarrow and fastparquet.

use all_docs::sample::World;
use all_docs::table::TableKind;

use crate::support::{Env, python, run, run_python, shared_corpus};

/// 878 real packuments, and a range with more than 10,000 generated names beside them.
#[tokio::test(flavor = "multi_thread")]
async fn every_table_agrees_with_an_independent_reading_of_the_same_documents() {
    let (Some(corpus), Some(python)) = (shared_corpus(), python()) else { return };
    let file = corpus.join("packuments.ndjson.zst");
    let mut world = World::from_ndjson([&file]).unwrap();
    let names: Vec<String> = (0..12_000).map(|n| format!("generated-{n:05}")).collect();
    world.add_names(&names);
    let env = Env::new(world);
    let mut options = env.options(&["@babel", "c", "g", "generated-", "i", "q"]);
    options.partitions =
        all_docs::pipeline::PartitionMode::Derived { rows_per_partition: std::num::NonZeroU64::new(2_000).unwrap() };
    let summary = run(options).await.unwrap();
    assert_eq!(summary.counts.rows_scanned, 12_878);
    assert_eq!(env.names(TableKind::Packages).len(), 12_878);

    let served = env.folder.path().join("served.ndjson");
    let mut text = Vec::new();
    let world = env.server.world();
    let all: Vec<String> = world.names().map(str::to_owned).collect();
    for name in &all {
        text.extend_from_slice(&world.document(name).unwrap());
        text.push(b'\n');
    }
    drop(world);
    std::fs::write(&served, text).unwrap();
    let origin = env.lake().join("sample");
    let told = run_python(&python, "check_tables.py", &[origin.to_str().unwrap(), served.to_str().unwrap()]);
    assert!(told.contains("versions"), "{told}");
    let told = run_python(&python, "check_duckdb.py", &[origin.to_str().unwrap(), served.to_str().unwrap()]);
    assert!(told.contains("dependencies"), "{told}");
}

/// The README's ways to read a lake: a plain glob, with each of the tools, including types and nulls.
#[tokio::test(flavor = "multi_thread")]
async fn duckdb_pandas_and_pyarrow_read_each_table_by_a_plain_glob() {
    let Some(python) = python() else { return };
    let mut world = World::seeded(31, 300);
    world.add_odd_documents();
    let env = Env::new(world);
    env.ingest(&["@k", "c", "m"]).await;
    let told = run_python(&python, "read_lake.py", &[env.lake().join("sample").to_str().unwrap()]);
    for table in TableKind::ALL {
        assert!(told.contains(table.as_str()), "{told}");
    }
}

/// fastparquet lacks several encodings of texts. It must read every value of every table.
#[tokio::test(flavor = "multi_thread")]
async fn fastparquet_reads_each_table() {
    let Some(python) = python() else { return };
    let mut world = World::seeded(31, 300);
    world.add_odd_documents();
    let env = Env::new(world);
    env.ingest(&["@k", "c", "m"]).await;
    let told = run_python(&python, "read_with_fastparquet.py", &[env.lake().join("sample").to_str().unwrap()]);
    for table in TableKind::ALL {
        assert!(told.contains(table.as_str()), "{told}");
    }
}

/// A CSV result as DuckDB reads it, and as SQL reads it again.
#[cfg(feature = "query")]
#[tokio::test(flavor = "multi_thread")]
async fn duckdb_and_sql_read_csv_with_nulls_and_empty_texts() {
    use crate::support::{all_docs, stderr, stdout};

    let Some(python) = python() else { return };
    let env = Env::new(World::seeded(31, 3));
    env.ingest(&[]).await;
    let values = "(1, null), (2, ''), (3, ' x '), (4, 'a,b'), (5, 'say \"hi\"'), (6, 'NULL'), (7, chr(10) || chr(13))";
    let sql = format!("select * from (values {values}) t(n, text) order by n");
    let folder = env.folder.path();
    let run = |arguments: &[&str]| {
        let output = all_docs(folder).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    };
    run(&["query", &sql, "--output", "out.csv"]);
    run(&["query", "select null as alone union all select 'x'", "--output", "alone.csv"]);
    let duckdb = "import duckdb, json, sys; read = lambda file: duckdb.sql(f\"select * from read_csv('{file}', \
                  all_varchar=true, header=true, allow_quoted_nulls=false)\").fetchall(); \
                  print(json.dumps([read('out.csv'), sorted(read('alone.csv'), key=str)]))";
    let read = std::process::Command::new(&python).current_dir(folder).args(["-c", duckdb]).output().unwrap();
    assert!(read.status.success(), "{}", stderr(&read));
    let expected = serde_json::json!([
        [["1", null], ["2", ""], ["3", " x "], ["4", "a,b"], ["5", "say \"hi\""], ["6", "NULL"], ["7", "\n\r"]],
        [["x"], [null]]
    ]);
    let found: serde_json::Value = serde_json::from_str(&stdout(&read)).unwrap();
    let sorted = |rows: &serde_json::Value| {
        let mut rows = rows.as_array().unwrap().clone();
        rows.sort_by_key(ToString::to_string);
        rows
    };
    assert_eq!(found[0], expected[0]);
    assert_eq!(sorted(&found[1]), sorted(&expected[1]));
    let again = run(&["query", "select * from 'out.csv' order by n", "--format", "csv"]);
    assert_eq!(again, std::fs::read_to_string(folder.join("out.csv")).unwrap());
    assert_eq!(
        run(&["query", "select count(*) as n from 'alone.csv' where alone is null", "--format", "csv"]),
        "n\n1\n"
    );
}
