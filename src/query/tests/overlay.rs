//! Statements on a lake with an overlay: each name's newest rows, once, whatever a writer does meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use futures::TryStreamExt;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::beside_a_writer::Scripted;
use super::lake::TestLake;
use crate::error::{ErrorKind, Result};
use crate::lake::{Delta, Layout, PartitionSet};
use crate::query::{Format, Session, SessionOptions, TableOptions, write};
use crate::table::TableKind;

const NAMES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
const BOUNDARIES: [&str; 2] = ["d", "g"];
const TABLES: [TableKind; 3] = [TableKind::Docs, TableKind::Packages, TableKind::Versions];

/// The rows of some names, each with the number of its versions, from one source.
type Rows = BTreeMap<&'static str, u64>;

/// The names that a delta holds, and those that it lacks because they are gone.
#[derive(Debug, Clone)]
struct Changes {
    rows: Rows,
    removed: BTreeSet<&'static str>,
}

/// A lake's sources.
#[derive(Debug, Clone)]
struct Sources {
    base: Rows,
    deltas: Vec<Changes>,
    /// The number of the newest delta that each partition has taken over.
    folded: [u64; 3],
}

fn row(table: TableKind, source: &str, name: &str, versions: u64) -> Vec<Value> {
    match table {
        TableKind::Docs => vec![json!({"name": name, "rev": source})],
        TableKind::Packages => vec![json!({"name": name, "latest": format!("{versions}.0.0"), "description": source})],
        _ => (1..=versions)
            .map(|number| {
                json!({"name": name, "version": format!("{number}.0.0"), "version_index": number - 1,
                       "is_latest": number == versions, "license": source})
            })
            .collect(),
    }
}

fn rows_of(table: TableKind, source: &str, rows: &Rows, is_wanted: impl Fn(&str) -> bool) -> Vec<Value> {
    let rows = rows.iter().filter(|(name, _)| is_wanted(name));
    rows.flat_map(|(name, versions)| row(table, source, name, *versions)).collect()
}

fn partitions() -> PartitionSet {
    let boundaries = BOUNDARIES.map(str::to_owned).to_vec();
    PartitionSet { format_version: 1, rows_per_partition: None, pivots: Vec::new(), boundaries }
}

/// Writes base shards with the rows that `rows` returns for a table.
fn put_base(lake: &TestLake, rows: impl Fn(TableKind) -> Vec<Value>) {
    for table in TABLES {
        let rows = rows(table);
        for partition in partitions().iter() {
            let rows: Vec<Value> =
                rows.iter().filter(|row| partition.contains(row["name"].as_str().unwrap())).cloned().collect();
            lake.put("npm", table, partition.start.as_deref(), partition.end.as_deref(), &rows);
        }
    }
    lake.put_partitions(&BOUNDARIES);
}

fn put_delta(lake: &TestLake, number: u64, changes: &Changes) -> Delta {
    let origin = Layout::origin("npm").delta(number, number);
    let mut tables = Vec::new();
    for table in TABLES {
        let rows = rows_of(table, &format!("delta {number}"), &changes.rows, |_| true);
        lake.put(origin.name(), table, None, None, &rows);
        tables.push((table, rows.len() as u64));
    }
    lake.put_delta(number, number, &tables, &changes.removed.iter().copied().collect::<Vec<_>>())
}

impl Sources {
    /// Returns the lake with its overlay.
    fn lake(&self) -> TestLake {
        let lake = TestLake::empty();
        put_base(&lake, |table| rows_of(table, "base", &self.base, |_| true));
        let deltas = (1..).zip(&self.deltas).map(|(number, changes)| put_delta(&lake, number, changes)).collect();
        let stems: Vec<String> = partitions().iter().map(|partition| partition.file_stem()).collect();
        let folded: Vec<(&str, u64)> = stems.iter().map(String::as_str).zip(self.folded).collect();
        lake.put_overlay(deltas, &folded);
        lake
    }

    /// Returns a lake without an overlay that has the same rows.
    fn fresh(&self) -> TestLake {
        let newest = |name: &str| -> Option<usize> {
            let folded = self.folded[partitions().index_of(name)];
            let has = |place: &usize| {
                let changes = &self.deltas[*place];
                *place as u64 + 1 > folded && (changes.rows.contains_key(name) || changes.removed.contains(name))
            };
            (0..self.deltas.len()).rev().find(has)
        };
        let lake = TestLake::empty();
        put_base(&lake, |table| {
            let mut rows = rows_of(table, "base", &self.base, |name| newest(name).is_none());
            for (place, changes) in self.deltas.iter().enumerate() {
                let source = format!("delta {}", place + 1);
                rows.extend(rows_of(table, &source, &changes.rows, |name| newest(name) == Some(place)));
            }
            rows.sort_by_key(|row| (row["name"].as_str().unwrap().to_owned(), row["version_index"].as_u64()));
            rows
        });
        lake
    }
}

async fn text(session: &Session, sql: &str) -> Result<String> {
    let mut out = Vec::new();
    write(session.query(sql).await?, Format::Csv, &mut out, &TableOptions::default()).await?;
    Ok(String::from_utf8(out).unwrap())
}

pub(super) const STATEMENTS: [&str; 18] = [
    "select name, version, license, is_latest from versions order by name, version_index",
    "select name, description, latest from packages order by name",
    "select name from packages order by name desc limit 3",
    "select count(*) as n from versions",
    "select count(*) as n from versions where is_latest",
    "select count(*) as n, sum(version_index) as s from versions where license <> 'base'",
    "select version, license from versions where name = 'd' order by 1",
    "select name, version from versions where name in ('a', 'e', 'nobody') order by 1, 2",
    "select name, license from versions where name >= 'b' and name < 'g' and version = '1.0.0' order by 1",
    "select name from versions where license = 'delta 1' and version_index = 0 order by name limit 2",
    "select count(*) as n from (select * from versions limit 4)",
    "select count(*) as n from (select name from docs limit 3)",
    "select name, count(*) as n, max(version) as last from versions group by name order by name",
    "select v.name, v.version, v.license, p.description from versions v \
     join packages p on v.name = p.name and v.version = p.latest order by 1, 2",
    "select d.name, v.version from docs d left join versions v on d.name = v.name and d.rev = v.license order by 1, 2",
    "select name, latest, description from packages order by name limit 2",
    "select name, version, license from versions order by name, version_index limit 4",
    "select min(name) as first, max(name) as last, count(distinct name) as n from docs",
];

fn rows() -> impl Strategy<Value = Rows> {
    proptest::collection::btree_map(proptest::sample::select(NAMES.to_vec()), 1_u64..4, 0..9)
}

fn changes() -> impl Strategy<Value = Changes> {
    let removed = proptest::collection::btree_set(proptest::sample::select(NAMES.to_vec()), 0..3);
    (rows(), removed).prop_map(|(rows, mut removed)| {
        removed.retain(|name| !rows.contains_key(name));
        Changes { rows, removed }
    })
}

fn sources() -> impl Strategy<Value = Sources> {
    let folded = proptest::array::uniform3(0_u64..4);
    (rows(), proptest::collection::vec(changes(), 0..4), folded).prop_map(|(base, deltas, folded)| Sources {
        base,
        deltas,
        folded,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_lake_with_an_overlay_returns_the_rows_of_a_fresh_one(sources in sources()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (lake, fresh) = (sources.lake(), sources.fresh());
        let calm = Scripted::new(true, |_, _| Ok(()));
        let bucket = lake.session_in_bucket(calm as _, None, &SessionOptions::default());
        let (disk, fresh) = (lake.session(), fresh.session());
        // From the second statement on, the session on a disk has kept which rows count.
        for (round, sql) in (0..2).flat_map(|round| STATEMENTS.map(|sql| (round, sql))) {
            let expected = runtime.block_on(text(&fresh, sql)).unwrap();
            for (store, session) in [("disk", &disk), ("bucket", &bucket)] {
                let found = runtime.block_on(text(session, sql)).unwrap();
                prop_assert_eq!(&found, &expected, "{} in round {}: {}", store, round, sql);
            }
        }
    }
}

fn changed(rows: &[(&'static str, u64)], removed: &[&'static str]) -> Changes {
    Changes { rows: rows.iter().copied().collect(), removed: removed.iter().copied().collect() }
}

/// A lake of `a`, `b`, `e` and `h`, of which deltas change `a` twice, `e` once, add `i` and remove `h`.
fn scene() -> Sources {
    Sources {
        base: Rows::from([("a", 1), ("b", 1), ("e", 2), ("h", 1)]),
        deltas: vec![changed(&[("a", 2), ("e", 3)], &[]), changed(&[("a", 3), ("i", 1)], &["h"])],
        folded: [0; 3],
    }
}

/// Returns the lake of [`scene`], one of whose deltas two partitions have taken some over, and one that begins in a delta.
pub(super) fn lakes() -> [TestLake; 3] {
    let base = Rows::from([("c", 1), ("d", 1), ("g", 1)]);
    let begins = Sources { base, deltas: vec![changed(&[("a", 1)], &[])], ..scene() };
    [scene().lake(), Sources { folded: [1, 0, 2], ..scene() }.lake(), begins.lake()]
}

const ALL: &str = "select name, license, count(*) as n from versions group by name, license order by name";
const ALL_ROWS: &str = "name,license,n\na,delta 2,3\nb,base,1\ne,delta 1,3\ni,delta 2,1\n";

#[tokio::test]
async fn rows_come_in_the_order_of_names_without_a_sort_and_a_disk_needs_no_condition() {
    let lake = scene().lake();
    let session = lake.session();
    assert_eq!(text(&session, ALL).await.unwrap(), ALL_ROWS);
    let in_order = "select name, version from versions order by name";
    let plan = session.explain(in_order).await.unwrap();
    assert!(!plan.contains("SortExec") && !plan.contains("is_newest"), "{plan}");
    let calm = Scripted::new(true, |_, _| Ok(()));
    let bucket = lake.session_in_bucket(calm as _, None, &SessionOptions::default());
    let plan = bucket.explain(in_order).await.unwrap();
    assert!(!plan.contains("SortExec") && plan.contains("is_newest(name"), "{plan}");
    for (name, reads) in [("b", vec!["0-64"]), ("a", vec!["0000000002-0000000002"]), ("h", vec![])] {
        let plan = session.explain(&format!("select version from versions where name = '{name}'")).await.unwrap();
        let found: Vec<&str> = ["0-64", "64-67", "67-z", "0000000001-0000000001", "0000000002-0000000002"]
            .into_iter()
            .filter(|file| plan.contains(&format!("{file}.parquet")) || plan.contains(&format!("{file}/versions")))
            .collect();
        assert_eq!(found, reads, "{plan}");
    }
    // The base shard of `b` has a row of `a` that counts no more. It matters only if the statement asks for `a` too.
    for (names, is_masked) in [("'b', 'c'", false), ("'i'", false), ("'a', 'b'", true)] {
        let sql = format!("select version from versions where name in ({names})");
        let plan = bucket.explain(&sql).await.unwrap();
        assert_eq!(plan.contains("is_newest"), is_masked, "{plan}");
    }
}

#[tokio::test]
async fn an_empty_record_and_none_are_no_overlay() {
    let sources = Sources { deltas: Vec::new(), ..scene() };
    let lake = sources.lake();
    let rows = text(&lake.session(), ALL).await.unwrap();
    assert_eq!(rows, "name,license,n\na,base,1\nb,base,1\ne,base,2\nh,base,1\n");
    fs::remove_dir_all(lake.path("npm/overlay")).unwrap();
    assert_eq!(text(&lake.session(), ALL).await.unwrap(), rows);
}

#[tokio::test]
async fn a_lost_part_of_the_overlay_is_an_error_that_names_it() {
    let delta = "npm/overlay/0000000002-0000000002";
    for (lost, told) in [
        (format!("{delta}/versions/0-z.parquet"), "is gone"),
        (format!("{delta}/docs/0-z.parquet"), "is gone"),
        (format!("{delta}/manifest/0-z.json"), "is not as the record of the overlay says"),
    ] {
        let lake = scene().lake();
        fs::remove_file(lake.path(&lost)).unwrap();
        let error = lake.error(ALL).await;
        assert_eq!(error.kind(), ErrorKind::Lake, "{error:?}");
        assert!(error.message().contains(&lost) && error.message().contains(told), "{error:?}");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("verify")), "{error:?}");
    }
    let lake = scene().lake();
    fs::remove_file(lake.path("npm/overlay/overlay.json")).unwrap();
    let error = lake.error(ALL).await;
    assert!(error.message().contains("the record of the overlay is gone"), "{error:?}");
    assert!(error.hint_text().is_some_and(|hint| hint.contains("verify")), "{error:?}");
    let lake = scene().lake();
    fs::remove_file(lake.path(&format!("{delta}/versions/0-z.parquet"))).unwrap();
    assert_eq!(text(&lake.session(), "select count(*) as n from packages").await.unwrap(), "n\n4\n");
    assert_eq!(
        text(&lake.session(), "select license from versions where name = 'b'").await.unwrap(),
        "license\nbase\n"
    );
    fs::write(lake.path("npm/overlay/overlay.json"), "{").unwrap();
    let error = lake.error(ALL).await;
    assert!(error.message().contains("overlay.json is damaged") && error.hint_text().is_some(), "{error:?}");
}

/// Replaces both deltas by one that holds the rows of both, and removes their folders.
fn merge(lake: &TestLake) {
    let layout = Layout::origin("npm").delta(1, 2);
    let mut tables = Vec::new();
    for table in TABLES {
        let mut rows = row(table, "delta 2", "a", 3);
        rows.extend(row(table, "delta 1", "e", 3));
        rows.extend(row(table, "delta 2", "i", 1));
        lake.put(layout.name(), table, None, None, &rows);
        tables.push((table, rows.len() as u64));
    }
    let merged = lake.put_delta(1, 2, &tables, &["h"]);
    lake.put_overlay(vec![merged], &[]);
    remove_deltas(lake);
}

fn remove_deltas(lake: &TestLake) {
    for number in [1, 2] {
        fs::remove_dir_all(lake.path(Layout::origin("npm").delta(number, number).root())).unwrap();
    }
}

/// Takes both deltas over into the base, and removes their folders.
fn fold(lake: &TestLake) {
    put_base(lake, |table| {
        let rows = [("a", "delta 2", 3), ("b", "base", 1), ("e", "delta 1", 3), ("i", "delta 2", 1)];
        rows.iter().flat_map(|(name, source, versions)| row(table, source, name, *versions)).collect()
    });
    lake.put_overlay(Vec::new(), &[]);
    remove_deltas(lake);
}

#[tokio::test]
async fn a_merge_and_a_fold_before_any_call_of_the_store_change_no_row() {
    for is_bucket in [false, true] {
        let session = |lake: &Arc<TestLake>, store| {
            let options = SessionOptions { threads: 2, ..SessionOptions::default() };
            match is_bucket {
                true => lake.session_in_bucket(store, None, &options),
                false => lake.session_in(store, &options),
            }
        };
        for change in [merge as fn(&TestLake), fold] {
            for changed_before in 0.. {
                let lake = Arc::new(scene().lake());
                let of_writer = Arc::clone(&lake);
                let store = Scripted::new(is_bucket, move |call, _: &str| {
                    if call == changed_before {
                        change(&of_writer);
                    }
                    Ok(())
                });
                let session = session(&lake, Arc::clone(&store) as _);
                let rows = text(&session, ALL).await.unwrap();
                assert_eq!(rows, ALL_ROWS, "bucket {is_bucket}, call {changed_before}");
                let is_at_end = lake.path("npm/overlay/0000000001-0000000001").exists();
                assert_eq!(text(&session, ALL).await.unwrap(), ALL_ROWS, "bucket {is_bucket}, {changed_before} again");
                if is_at_end {
                    assert!(changed_before > 8, "{changed_before}");
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn the_next_statement_reads_only_what_is_new() {
    let lake = scene().lake();
    let store = Scripted::new(true, |_, _| Ok(()));
    let session = lake.session_in_bucket(Arc::clone(&store) as _, None, &SessionOptions::default());
    let mut calls = Vec::new();
    for _ in 0..2 {
        let before = store.calls();
        assert_eq!(text(&session, "select rev from docs where name = 'b'").await.unwrap(), "rev\nbase\n");
        calls.push(store.calls() - before);
    }
    // The record, the listing of the overlay, that of the table, and one or two reads of the shard.
    assert!(calls[1] <= 5 && calls[0] >= calls[1] + 4, "{calls:?}");
    let (changes, sources) = (changed(&[("b", 1)], &[]), scene());
    let deltas = (1..).zip(&sources.deltas).map(|(number, changes)| put_delta(&lake, number, changes));
    let deltas = deltas.chain([put_delta(&lake, 3, &changes)]).collect();
    lake.put_overlay(deltas, &[]);
    assert_eq!(text(&session, "select rev from docs where name = 'b'").await.unwrap(), "rev\ndelta 3\n");
}

#[tokio::test]
async fn a_delta_of_an_earlier_version_has_nulls_where_its_columns_lack() {
    let lake = scene().lake();
    let manifest = lake.path("npm/overlay/0000000001-0000000001/manifest/0-z.json");
    let mut value: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    value["shards"]["versions"]["schema_version"] = json!(1);
    fs::write(&manifest, value.to_string()).unwrap();
    let mut overlay: Value = serde_json::from_slice(&fs::read(lake.path("npm/overlay/overlay.json")).unwrap()).unwrap();
    use sha2::Digest;
    overlay["deltas"][0]["manifest_sha256"] = json!(format!("{:x}", sha2::Sha256::digest(value.to_string())));
    fs::write(lake.path("npm/overlay/overlay.json"), overlay.to_string()).unwrap();
    // The shard lacks a column that may not be null in this version.
    let shard = lake.path("npm/overlay/0000000001-0000000001/versions/0-z.parquet");
    lake.drop_column(&shard, "is_latest");
    let sql = "select name, count(*) as n, count(is_latest) as known from versions group by name order by name";
    let rows = text(&lake.session(), sql).await.unwrap();
    assert_eq!(rows, "name,n,known\na,3,3\nb,1,1\ne,3,0\ni,1,1\n");
}

#[tokio::test]
async fn a_planned_statement_keeps_its_deltas() {
    let lake = scene().lake();
    let session = lake.session();
    let planned = session.query("select name, version from versions").await.unwrap();
    fold(&lake);
    let batches: Vec<_> = planned.try_collect().await.unwrap();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 8);
}
