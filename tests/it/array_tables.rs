//! The tables of SQL over the arrays: their rows, against zarr, numpy and DuckDB; what of the arrays they read; and arrays
//! that are absent, or replaced meanwhile.

use std::path::PathBuf;
use std::sync::Arc;

use all_docs::array::{Counts, DependencyGraph, Downloads, DownloadsShape, Edges, PackageAxis, Right};
use all_docs::error::{ErrorKind, Result};
use all_docs::lake::{LakeInfo, Layout};
use all_docs::pipeline::{arrays, open_downloads, read_lake};
use all_docs::query::{Session, SessionOptions};
use all_docs::sample::World;
use all_docs::store::Store;
use arrow::array::{AsArray, RecordBatch};
use arrow::json::ArrayWriter;
use futures::{StreamExt, TryStreamExt};
use jiff::ToSpan;
use jiff::civil::{Date, date};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::buckets::fixture::Bucket;
use crate::support::{Env, ORIGIN, run_binary, run_python, stderr, stdout};

/// The last day of the axis.
const TODAY: Date = date(2026, 11, 28);

/// A query of the issue's: the downloads of deprecated packages.
const JOIN: &str = "select p.name, sum(d.downloads) from downloads d join packages p using (name)
    where d.day >= date '2026-01-01' and p.deprecated is not null group by 1 order by 2 desc limit 1000";

fn right() -> Right {
    Arc::new(|| Ok(()))
}

/// Makes a lake of a few hundred packages and their arrays. Those of downloads have small shards of 64 rows and 128 days, with
/// chunks of 16 rows and 32 days.
pub async fn lake() -> Env {
    let mut world = World::seeded(78, 330);
    // Names that others depend on, and that the lake has never held.
    let names: Vec<String> = world.names().map(str::to_owned).collect();
    names.iter().step_by(10).for_each(|name| world.delete(name));
    let env = Env::new(world);
    env.ingest(&["h", "q"]).await;
    let (store, layout) = (env.store(), Layout::origin(ORIGIN));
    let shape = DownloadsShape { shard_rows: 64, shard_days: 128, chunk_rows: 16, chunk_days: 32 };
    Downloads::open_with(&store, &layout, &PackageAxis::default(), TODAY, &right(), shape).await.unwrap();
    let (_, downloads) = open_downloads(&store, &layout, TODAY, TODAY, &[]).await.unwrap();
    for block in downloads.blocks() {
        let mut writer = downloads.writer(&block, &right()).await.unwrap();
        for row in block.rows.clone().filter(|row| row % 7 != 3) {
            // Leading zeros, zeros between, and days that are not known.
            let count = |day: u64| match day {
                0..3 => Some(0),
                _ if (day + u64::from(row)).is_multiple_of(11) => None,
                _ if day.is_multiple_of(5) => Some(0),
                _ => Some(day * u64::from(row % 17) * 1_009 % 100_003),
            };
            let counts = (0..300).map(count).collect();
            writer.record(Counts { row, since: TODAY - 299.days(), counts }).await.unwrap();
        }
        writer.finish().await.unwrap();
    }
    downloads.finish().await.unwrap();
    arrays(&store, None, CancellationToken::new()).await.unwrap();
    env
}

async fn session(store: &Store) -> Session {
    let info = read_lake(store).await.unwrap().unwrap();
    Session::open(store, &info, &SessionOptions { threads: 2, ..SessionOptions::default() }).unwrap()
}

async fn rows(session: &Session, sql: &str) -> Result<Vec<Value>> {
    let batches: Vec<RecordBatch> = session.query(sql).await?.try_collect().await?;
    let mut writer = ArrayWriter::new(Vec::new());
    writer.write_batches(&batches.iter().collect::<Vec<_>>()).unwrap();
    writer.finish().unwrap();
    Ok(serde_json::from_slice(&writer.into_inner()).unwrap_or_default())
}

/// Copies a lake into a store in memory, which counts what is read of it.
async fn in_memory(lake: &Store) -> Store {
    let store = Store::memory();
    for path in lake.list("").await.unwrap() {
        store.put(&path, lake.get(&path).await.unwrap().unwrap()).await.unwrap();
    }
    store
}

fn pythons() -> Vec<PathBuf> {
    match std::env::var_os("ALL_DOCS_ARRAYS_PYTHONS") {
        Some(pythons) => std::env::split_paths(&pythons).collect(),
        None => {
            assert!(std::env::var_os("ALL_DOCS_REQUIRE_TOOLS").is_none(), "ALL_DOCS_ARRAYS_PYTHONS is not set");
            eprintln!("skipped: ALL_DOCS_ARRAYS_PYTHONS is not set");
            Vec::new()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_are_those_that_zarr_numpy_and_duckdb_find() {
    let env = lake().await;
    let folder = env.folder.path();
    let results = folder.join("results");
    std::fs::create_dir(&results).unwrap();
    let write = |name: &str, arguments: &[&str]| {
        let path = results.join(format!("{name}.csv"));
        let output = ["--lake", "lake", "--output", path.to_str().unwrap()];
        let output = run_binary(folder, &[&["query"], &output[..], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
    };
    for (name, sql) in [
        ("downloads", "select * from downloads"),
        ("releases", "select * from releases"),
        ("graph", "select * from graph"),
        ("package_index", "select name, row from package_index"),
        ("join", JOIN),
        ("downloads_of_name", "select name from package_index where row = 20"),
    ] {
        write(name, &[sql]);
    }
    for report in ["most_downloaded", "trending", "abandoned_but_used", "bus_factor"] {
        write(report, &["--view", report]);
    }
    let name = std::fs::read_to_string(results.join("downloads_of_name.csv")).unwrap();
    let name = format!("name={}", name.lines().nth(1).unwrap());
    write("downloads_of", &["--view", "downloads_of", "--param", &name, "--param", "since=2026-10-01"]);
    let origin = crate::support::origin_folder(&env.lake());
    for python in pythons() {
        let told = run_python(&python, "check_array_tables.py", &[origin.to_str().unwrap(), results.to_str().unwrap()]);
        eprintln!("{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_on_names_and_days_select_the_same_rows_as_without_the_arrays() {
    let env = lake().await;
    let session = session(&env.store()).await;
    let all = rows(&session, "select * from downloads").await.unwrap();
    assert!(all.len() > 10_000);
    let names: Vec<&str> = all.iter().map(|row| row["name"].as_str().unwrap()).collect();
    let (one, other) = (names[0], *names.iter().find(|name| **name > "p").unwrap());
    type Keeps = Box<dyn Fn(&str, &str, i64) -> bool>;
    let (first, second) = (one.to_owned(), other.to_owned());
    let conditions: Vec<(String, Keeps)> = vec![
        (
            format!("name = '{one}'"),
            Box::new({
                let first = first.clone();
                move |name, _, _| name == first
            }),
        ),
        (
            format!("name in ('{one}', 'nowhere', '{other}') and day = date '2026-08-01'"),
            Box::new({
                let (first, second) = (first.clone(), second.clone());
                move |name, day, _| (name == first || name == second) && day == "2026-08-01"
            }),
        ),
        ("name > 'p' and name like '%e%'".to_owned(), Box::new(|name, _, _| name > "p" && name.contains('e'))),
        (
            "day between date '2026-06-30' and date '2026-07-02' or day = date '2026-11-01'".to_owned(),
            Box::new(|_, day, _| ("2026-06-30"..="2026-07-02").contains(&day) || day == "2026-11-01"),
        ),
        ("date_part('day', day) = 1".to_owned(), Box::new(|_, day, _| day.ends_with("-01"))),
        ("downloads > 50000".to_owned(), Box::new(|_, _, count| count > 50_000)),
        ("name < 'c' or downloads = 0".to_owned(), Box::new(|name, _, count| name < "c" || count == 0)),
        ("day > (select max(day) from downloads) - interval '2 days'".to_owned(), {
            Box::new(|_, day, _| day > "2026-11-26")
        }),
        (
            format!("name = (select name from package_index where name = '{one}')"),
            Box::new({
                let first = first.clone();
                move |name, _, _| name == first
            }),
        ),
        ("day < date '2015-01-10'".to_owned(), Box::new(|_, _, _| false)),
        ("day is null or name is null".to_owned(), Box::new(|_, _, _| false)),
        ("length(name) % 2 = 0 and day > current_date + 9999".to_owned(), Box::new(|_, _, _| false)),
    ];
    for (condition, keeps) in conditions {
        let sql = format!("select * from downloads where {condition}");
        let found = rows(&session, &sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let mut expected: Vec<Value> = all.clone();
        expected.retain(|row| {
            keeps(row["name"].as_str().unwrap(), row["day"].as_str().unwrap(), row["downloads"].as_i64().unwrap())
        });
        let sorted = |mut rows: Vec<Value>| {
            rows.sort_by_key(|row| (row["name"].to_string(), row["day"].to_string()));
            rows
        };
        assert_eq!(sorted(found), sorted(expected.clone()), "{condition}");
        let count = rows(&session, &format!("select count(*) as n from downloads where {condition}")).await.unwrap();
        assert_eq!(count, [json!({"n": expected.len()})], "{condition}");
    }
    let newest = rows(&session, "select max(day) as day, count(distinct day) as n from downloads").await.unwrap();
    assert_eq!(newest, [json!({"day": "2026-11-28", "n": 297})]);
    let limited = rows(&session, "select day from downloads limit 7").await.unwrap();
    assert_eq!(limited.len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_graph_is_read_from_either_side() {
    let env = lake().await;
    let session = session(&env.store()).await;
    let all = rows(&session, "select * from graph").await.unwrap();
    let expected = rows(&session, "select distinct name, dependency, kind from dependencies where is_latest").await;
    let sorted = |mut rows: Vec<Value>| {
        rows.sort_by_key(|row| (row["name"].to_string(), row["dependency"].to_string(), row["kind"].to_string()));
        rows
    };
    assert!(all.len() > 200);
    assert_eq!(sorted(all.clone()), sorted(expected.unwrap()));
    let outside =
        rows(&session, "select dependency from graph where dependency not in (select name from packages) limit 1");
    let outside = outside.await.unwrap()[0]["dependency"].as_str().unwrap().to_owned();
    let most = "select dependency from graph group by 1 order by count(*) desc, 1 limit 1";
    let most = rows(&session, most).await.unwrap()[0]["dependency"].as_str().unwrap().to_owned();
    let name = all[7]["name"].as_str().unwrap().to_owned();
    let keep = |keeps: &dyn Fn(&Value) -> bool| sorted(all.iter().filter(|row| keeps(row)).cloned().collect());
    for (condition, expected) in [
        (format!("name = '{name}'"), keep(&|row| row["name"] == *name)),
        (format!("dependency = '{most}'"), keep(&|row| row["dependency"] == *most)),
        (format!("dependency = '{outside}'"), keep(&|row| row["dependency"] == *outside)),
        (
            format!("dependency in ('{most}', '{outside}') and kind = 'prod' and name > 'g'"),
            keep(&|row| {
                let target = row["dependency"].as_str().unwrap();
                (target == most || target == outside) && row["kind"] == "prod" && row["name"].as_str().unwrap() > "g"
            }),
        ),
        (
            format!("name = '{name}' and dependency > 'a'"),
            keep(&|row| row["name"] == *name && row["dependency"].as_str().unwrap() > "a"),
        ),
        ("kind <> 'prod'".to_owned(), keep(&|row| row["kind"] != "prod")),
        ("name = dependency".to_owned(), keep(&|row| row["name"] == row["dependency"])),
    ] {
        let found = rows(&session, &format!("select * from graph where {condition}")).await.unwrap();
        assert_eq!(sorted(found), expected, "{condition}");
        let count = rows(&session, &format!("select count(*) as n from graph where {condition}")).await.unwrap();
        assert_eq!(count, [json!({"n": expected.len()})], "{condition}");
    }
}

/// Counts the reads of a statement in a bucket.
async fn reads(store: &Store, sql: &str) -> (Vec<Value>, u64, u64) {
    let session = session(store).await;
    let before = store.usage();
    let found = rows(&session, sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let after = store.usage();
    (found, after.gets - before.gets, after.bytes_down - before.bytes_down)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_wanted_chunks_are_read() {
    let env = lake().await;
    let store = in_memory(&env.store()).await;
    // Five blocks of rows and three shards of days have counts: fifteen shards.
    let (all, all_gets, all_bytes) = reads(&store, "select count(*) as n from downloads").await;
    assert!(all[0]["n"].as_u64().unwrap() > 10_000);
    let (_, day_gets, day_bytes) =
        reads(&store, "select sum(downloads) as n from downloads where day = '2026-11-01'").await;
    assert!(
        day_gets * 2 < all_gets && day_bytes * 2 < all_bytes,
        "{day_gets} of {all_gets}, {day_bytes} of {all_bytes}"
    );
    let name = &rows(&session(&store).await, "select name from package_index where row = 17").await.unwrap()[0]["name"];
    let one = format!("select sum(downloads) as n from downloads where name = '{}'", name.as_str().unwrap());
    let (_, one_gets, one_bytes) = reads(&store, &one).await;
    assert!(one_bytes * 3 < all_bytes, "{one_bytes} of {all_bytes} ({one_gets} gets)");
    let cell = format!("{one} and day = date '2026-11-01'");
    let (_, cell_gets, cell_bytes) = reads(&store, &cell).await;
    assert!(cell_gets < day_gets && cell_bytes < one_bytes, "{cell_gets} of {day_gets}, {cell_bytes} of {one_bytes}");
    // Without names the file with the names is not read.
    let (_, _, with_names) = reads(&store, "select max(name) as n, sum(downloads) from downloads").await;
    let index = store.get(&Layout::origin(ORIGIN).package_index()).await.unwrap().unwrap().len() as u64;
    let (_, _, without) = reads(&store, "select max(downloads) as n, sum(downloads) from downloads").await;
    assert!(without + index / 2 < with_names, "{without} {with_names} {index}");
    // The names of the other side of a join are found before a chunk is read.
    let of_packages = "select name from packages where description = (select description from packages where name = '";
    let of_packages = format!("{of_packages}{}')", name.as_str().unwrap());
    let (packages, package_gets, _) = reads(&store, &of_packages).await;
    assert_eq!(packages, [json!({"name": name})]);
    let join = format!("select sum(d.downloads) as n from downloads d join ({of_packages}) p using (name)");
    let (joined, join_gets, _) = reads(&store, &join).await;
    assert_eq!(joined, reads(&store, &one).await.0);
    assert!(join_gets <= package_gets + one_gets, "{join_gets} of {package_gets} and {one_gets}; all: {all_gets}");
    // The last day is found in the last shards: each of two partitions reads one.
    let (newest, newest_gets, _) = reads(&store, "select max(day) as n from downloads").await;
    assert_eq!(newest, [json!({"n": "2026-11-28"})]);
    assert!(newest_gets * 3 < all_gets, "{newest_gets} of {all_gets}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_an_array_is_empty_and_says_which_command_makes_it() {
    let env = Env::new(World::seeded(79, 20));
    env.ingest(&[]).await;
    let query = |sql: &str| run_binary(env.folder.path(), &["query", "--lake", "lake", "--format", "csv", sql]);
    for (table, command) in [
        ("downloads", "all-docs downloads makes it"),
        ("releases", "all-docs arrays makes it"),
        ("graph", "all-docs arrays makes it"),
        ("package_index", "all-docs arrays makes it"),
    ] {
        let output = query(&format!("select * from {table} where name > 'a'"));
        assert_eq!((output.status.code(), stdout(&output).lines().count()), (Some(0), 1), "{}", stderr(&output));
        let note = format!("the table {table} is empty, because its array was never made; {command}");
        assert!(stderr(&output).contains(&note), "{}", stderr(&output));
    }
    let output = query("select count(*) from download");
    assert!(stderr(&output).contains("did you mean downloads?"), "{}", stderr(&output));
    let output = query("select nmae from graph");
    assert!(stderr(&output).contains("did you mean name"), "{}", stderr(&output));
    let described = stdout(&query("describe downloads"));
    assert!(described.contains("downloads,Int64,NO,") && described.contains("day,Date32,NO,"), "{described}");
    assert!(described.contains("A day whose downloads are not known has no row"), "{described}");
    let tables = stdout(&query("select table_name from information_schema.tables where table_schema = 'sample'"));
    assert!(["downloads", "releases", "graph", "package_index"].iter().all(|name| tables.contains(name)), "{tables}");
}

/// Writes a graph in which each of `nodes` packages depends on one: the package `target`.
async fn put_graph(store: &Store, nodes: u32, target: u32) {
    let (layout, day) = (Layout::origin(ORIGIN), TODAY);
    let mut axis = PackageAxis::default();
    for row in 0..nodes {
        axis.add(&format!("package-{row:06}"), day);
    }
    let axis = Arc::new(axis);
    axis.write(store, &layout).await.unwrap();
    let mut edges = Edges::default();
    for row in 0..nodes {
        edges.push(row, target, 0);
    }
    DependencyGraph::new(axis, Vec::new(), edges).write(store, &layout, &right()).await.unwrap();
}

fn targets(batch: &RecordBatch) -> Vec<String> {
    let names = batch.column(0).as_string_view();
    names.iter().flatten().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_reads_one_graph() {
    let store = Store::memory();
    let info = LakeInfo::new(ORIGIN);
    let mut info = info;
    let url = "http://127.0.0.1/".to_owned();
    let origin = all_docs::lake::OriginInfo { replicate_url: url.clone(), registry_url: url };
    info.origins.insert(ORIGIN.to_owned(), origin);
    // Two parts of nodes are read one after the other.
    const NODES: u32 = 70_000;
    let open = || Session::open(&store, &info, &SessionOptions { threads: 1, ..SessionOptions::default() }).unwrap();
    let sql = "select dependency from graph";
    put_graph(&store, NODES, 1).await;
    // The graph is replaced before the first row was returned, once, and twice: then its objects are others.
    for (replaced_by, last) in [(vec![2], "package-000002"), (vec![3, 4], "package-000004")] {
        let stream = open().query(sql).await.unwrap();
        for target in replaced_by {
            put_graph(&store, NODES, target).await;
        }
        let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
        let found: Vec<String> = batches.iter().flat_map(targets).collect();
        assert!(found.len() == NODES as usize && found.iter().all(|name| name == last));
    }
    // After the first row was returned.
    let mut stream = open().query(sql).await.unwrap();
    let first = stream.next().await.unwrap().unwrap();
    assert!(targets(&first).iter().all(|name| name == "package-000004"));
    put_graph(&store, NODES, 5).await;
    put_graph(&store, NODES, 6).await;
    let mut error = None;
    while let Some(next) = stream.next().await {
        match next {
            Ok(batch) => assert!(targets(&batch).iter().all(|name| name == "package-000004")),
            Err(failed) => error = Some(failed),
        }
    }
    let error = error.expect("the second part is of another graph");
    assert_eq!((error.kind(), error.hint_text().is_some_and(|hint| hint.contains("again"))), (ErrorKind::Lake, true));
    assert!(error.message().contains("was replaced while it was read"), "{}", error.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_in_s3_has_the_same_rows() {
    let Some(bucket) = Bucket::s3("array-tables") else { return };
    let env = lake().await;
    let (here, there) = (env.store(), bucket.store_behind());
    for path in here.list("").await.unwrap() {
        there.put(&path, here.get(&path).await.unwrap().unwrap()).await.unwrap();
    }
    let (here, there) = (session(&here).await, session(&there).await);
    for sql in [
        "select count(*) as n, sum(downloads) as d, max(name) as a, max(day) as b from downloads",
        "select month, sum(versions_published) as n from releases where name > 'm' group by 1 order by 1",
        "select dependency, count(*) as n from graph where kind = 'prod' group by 1 order by 2 desc, 1 limit 20",
        "select name, row from package_index where name < 'd' order by 1",
        JOIN,
    ] {
        let expected = rows(&here, sql).await.unwrap();
        assert!(!expected.is_empty(), "{sql}");
        assert_eq!(rows(&there, sql).await.unwrap(), expected, "{sql}");
    }
}
