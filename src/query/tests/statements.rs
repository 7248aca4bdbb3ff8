//! Tests the results of statements, and the amount of the lake that they read.

use futures::{StreamExt, TryStreamExt};
use serde_json::json;

use super::lake::TestLake;
use crate::query::{Format, SessionOptions};
use crate::table::TableKind;

#[tokio::test]
async fn tables_are_joined_over_all_their_shards() {
    let sql = "select p.name, count(v.version) as versions from packages p left join versions v on v.name = p.name
               group by p.name order by p.name";
    let rows = TestLake::small().rows(sql).await;
    let expected =
        [("a", 2), ("b", 1), ("c", 1), ("d", 0)].map(|(name, versions)| json!({"name": name, "versions": versions}));
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn an_origin_is_a_schema_and_the_default_one_is_bare() {
    let lake = TestLake::small();
    let sql = "select n.latest as npm, m.latest as mirror from NPM.Packages n join mirror.packages m using (name)";
    assert_eq!(lake.rows(sql).await, [json!({"npm": "1.0.0", "mirror": "1.0.1"})]);
    let missing = "select name from packages except select name from mirror.packages order by name";
    assert_eq!(lake.rows(missing).await, [json!({"name": "a"}), json!({"name": "c"}), json!({"name": "d"})]);
    assert_eq!(lake.rows("select count(*) as n from mirror.versions").await, [json!({"n": 0})], "no folder, no rows");
}

#[tokio::test]
async fn documents_are_queried_with_json_functions() {
    let lake = TestLake::small();
    let sql =
        "select json->>'name' as name, json->'dist-tags'->>'latest' as latest, json_get_int(json, 'stars') as stars,
               json_length(json, 'tags') as tags from packuments where json_contains(json, 'stars')";
    assert_eq!(lake.rows(sql).await, [json!({"name": "a", "latest": "2.0.0", "stars": 3, "tags": 2})]);
}

#[tokio::test]
async fn the_catalog_can_be_queried_without_opening_a_shard() {
    let lake = TestLake::empty();
    let tables =
        lake.rows("select table_schema, table_name from information_schema.tables where table_schema = 'npm'").await;
    assert_eq!(tables.len(), TableKind::ALL.len() + 5 + lake.session().queries().views().count());
    assert!(lake.text("show tables", Format::Csv).await.contains("lake,npm,versions,BASE TABLE"));
    let columns = lake.rows("describe versions").await;
    let published = columns.iter().find(|column| column["column_name"] == "published_at").unwrap();
    assert!(published["description"].as_str().is_some_and(|text| text.len() > 10), "{published:?}");
    assert_eq!(lake.rows("describe npm.versions").await, columns);
    assert_eq!(lake.session().tables().len(), 2 * (TableKind::ALL.len() + 5));
    assert!(lake.session().tables()[0].is_default);
    assert!(lake.session().describe("Versions").unwrap().iter().any(|column| column.name == "published_at"));
    assert_eq!(lake.session().describe("nothing"), None);
}

#[tokio::test]
async fn a_column_of_a_statement_has_the_description_of_the_column_that_it_passes_on() {
    let lake = TestLake::small();
    let described = lake.rows("describe packages").await;
    let latest = described.iter().find(|column| column["column_name"] == "latest").unwrap();
    let sql = "describe select p.latest as newest, count(*) as n from packages p join versions v on v.name = p.name
               where v.is_latest group by p.latest order by 2 limit 5";
    let columns = lake.rows(sql).await;
    assert_eq!((&columns[0]["column_name"], &columns[0]["description"]), (&json!("newest"), &latest["description"]));
    assert_eq!(columns[1]["description"], json!(null));
    let star = lake.rows("describe select * from (select * from packages) x").await;
    assert_eq!(star, described);
}

#[tokio::test]
async fn a_name_leads_to_its_shard_alone() {
    let lake = TestLake::small();
    let session = lake.session();
    let (first, second) = ("npm/versions/0-63.parquet", "npm/versions/63-z.parquet");
    for (condition, reads_first, reads_second) in [
        ("name = 'a'", true, false),
        ("name = 'c'", false, true),
        ("name >= 'c'", false, true),
        ("name like 'd%'", false, true),
        ("name in ('a', 'b')", true, false),
        ("name = 'a' or name = 'c'", true, true),
        ("version = '1.0.0'", true, true),
    ] {
        let plan = session.explain(&format!("select version from versions where {condition}")).await.unwrap();
        assert_eq!((plan.contains(first), plan.contains(second)), (reads_first, reads_second), "{condition}\n{plan}");
        assert!(plan.contains("predicate="), "the scan filters by itself\n{plan}");
    }
}

#[tokio::test]
async fn a_shard_that_a_statement_does_not_need_may_even_be_broken() {
    let lake = TestLake::small();
    std::fs::write(lake.shard("npm", TableKind::Versions, Some("c"), None), "no parquet at all").unwrap();
    assert_eq!(lake.rows("select version from versions where name = 'b'").await, [json!({"version": "1.0.0"})]);
}

#[tokio::test]
async fn names_are_sorted_without_a_sort() {
    let lake = TestLake::small();
    let sql = "select name, version from versions order by name";
    let plan = lake.session().explain(sql).await.unwrap();
    assert!(!plan.contains("SortExec"), "{plan}");
    let names: Vec<_> = lake.rows(sql).await.into_iter().map(|row| row["name"].clone()).collect();
    assert_eq!(names, ["a", "a", "b", "c"]);
}

#[tokio::test]
async fn many_shards_stay_in_order_over_their_groups() {
    let lake = TestLake::empty();
    let boundaries: Vec<String> = ('b'..='z').map(|letter| letter.to_string()).collect();
    for (index, letter) in ('a'..='z').enumerate() {
        let rows: Vec<_> = (0..5).map(|number| json!({"name": format!("{letter}{number}"), "rev": "1-x"})).collect();
        let start = index.checked_sub(1).map(|before| boundaries[before].as_str());
        lake.put("npm", TableKind::Docs, start, boundaries.get(index).map(String::as_str), &rows);
    }
    let sql = "select name from docs order by name";
    assert!(!lake.session().explain(sql).await.unwrap().contains("SortExec"));
    let names: Vec<_> = lake.rows(sql).await.into_iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names.len(), 26 * 5);
    assert!(names.is_sorted());
}

#[tokio::test]
async fn a_copy_of_someone_in_a_table_folder_is_read_and_trusted_in_nothing() {
    let lake = TestLake::small();
    let copy = lake.shard("npm", TableKind::Versions, None, None).with_file_name("copy.parquet");
    std::fs::copy(lake.shard("npm", TableKind::Versions, None, Some("c")), &copy).unwrap();
    assert_eq!(lake.rows("select count(*) as n from versions where name = 'a'").await, [json!({"n": 4})]);
    assert!(lake.session().explain("select name from versions order by name").await.unwrap().contains("SortExec"));
}

#[tokio::test]
async fn rows_are_returned_before_the_last_shard_is_opened() {
    let lake = TestLake::empty();
    let rows = |letter: char| -> Vec<_> {
        (0..3_000).map(|n| json!({"name": format!("{letter}{n:05}"), "rev": "1-x"})).collect()
    };
    lake.put("npm", TableKind::Docs, None, Some("b"), &rows('a'));
    lake.put("npm", TableKind::Docs, Some("b"), None, &rows('b'));
    std::fs::write(lake.shard("npm", TableKind::Docs, Some("b"), None), "no parquet at all").unwrap();
    let session = lake.session_with(&SessionOptions { threads: 1, ..SessionOptions::default() });
    let mut stream = session.query("select name from docs").await.unwrap();
    let first = stream.next().await.unwrap().unwrap();
    assert!(first.num_rows() > 0, "rows of the first shard, although the second is broken");
    let rest: Result<Vec<_>, _> = stream.try_collect().await;
    assert!(rest.is_err());
}

#[tokio::test]
async fn a_session_sees_what_was_written_after_it_was_opened() {
    let lake = TestLake::small();
    let session = lake.session();
    let count = async || -> usize {
        let batches: Vec<_> = session.query("select name from packages").await.unwrap().try_collect().await.unwrap();
        batches.iter().map(arrow::array::RecordBatch::num_rows).sum()
    };
    assert_eq!(count().await, 4);
    lake.put(
        "npm",
        TableKind::Packages,
        Some("c"),
        None,
        &[json!({"name": "c"}), json!({"name": "d"}), json!({"name": "e"})],
    );
    assert_eq!(count().await, 5);
}

#[tokio::test]
async fn rows_that_exceed_memory_are_sorted_on_disk() {
    let lake = TestLake::empty();
    let rows: Vec<_> = (0..60_000)
        .map(|n| json!({"name": format!("{n:06}"), "rev": format!("{}-{n:040}", n * 7919 % 60_000)}))
        .collect();
    lake.put("npm", TableKind::Docs, None, None, &rows);
    let options = SessionOptions { memory_limit_bytes: 24 << 20, threads: 1, ..SessionOptions::default() };
    let session = lake.session_with(&options);
    let sorted: Vec<_> = session
        .query("select rev, name, rev || name || rev || rev || rev || rev || rev as wide from docs order by wide desc")
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(sorted.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), 60_000);
}
