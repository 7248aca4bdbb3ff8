//! Tests the errors for wrong statements and broken lakes.

use serde_json::json;

use super::lake::TestLake;
use crate::error::ErrorKind;
use crate::table::TableKind;

async fn message_and_hint(sql: &str) -> (String, String) {
    let error = TestLake::small().error(sql).await;
    assert_eq!(error.kind(), ErrorKind::Input, "{error:?}");
    (error.message().to_owned(), error.hint_text().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_wrong_column_names_the_nearest_and_its_table() {
    let (message, hint) = message_and_hint("select nmae from versions").await;
    assert_eq!(message, "there is no column \"nmae\" in versions");
    assert!(hint.starts_with("did you mean name, of versions? Columns: name, version, "), "{hint}");

    let (message, hint) = message_and_hint("select v.licence from versions v join packages p on p.name = v.name").await;
    assert_eq!(message, "there is no column \"licence\" in v");
    assert!(hint.starts_with("did you mean license, of v? "), "{hint}");

    let (_, hint) = message_and_hint("select requirement from versions").await;
    assert!(hint.contains("\"requirement\" is a column of dependencies. "), "{hint}");

    let (message, hint) = message_and_hint("select x.name from versions v").await;
    assert_eq!(message, "\"x\" is no table or alias of the statement");
    assert!(hint.ends_with("Tables and aliases here: v"), "{hint}");

    let (_, hint) = message_and_hint("select name from packuments where json->>'name' = 'a'").await;
    assert!(hint.contains("(json->>'name') = 'a'"), "{hint}");

    let (message, _) = message_and_hint("select name from versions v join packages p on p.name = v.name").await;
    assert_eq!(message, "more than one table of the statement has a column \"name\"");
}

#[tokio::test]
async fn a_wrong_table_names_the_nearest_and_lists_them() {
    let (message, hint) = message_and_hint("select * from dependancies").await;
    assert_eq!(message, "there is no table \"dependancies\"");
    assert!(hint.starts_with("did you mean dependencies? Tables: docs, packuments, "), "{hint}");
    assert!(hint.contains("all-docs ingest"), "{hint}");
    assert!(hint.contains("mirror.versions"), "{hint}");

    let (message, hint) = message_and_hint("select * from miror.versions").await;
    assert_eq!(message, "the lake holds no origin \"miror\"");
    assert_eq!(hint, "did you mean mirror.versions? Its origins: mirror, npm");
}

#[tokio::test]
async fn a_syntax_error_shows_its_place() {
    let error = TestLake::small().error("select name\nfrom versions\nwhere name ==== 'a'").await;
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(error.message().starts_with("this is not SQL: "), "{error}");
    assert!(error.report().contains("reading line 3, column "), "{}", error.report());
    let lines: Vec<_> = error.report().lines().map(str::to_owned).collect();
    let shown = lines.iter().position(|line| line == "    where name ==== 'a'").unwrap();
    assert!(lines[shown + 1].trim_end().ends_with('^'), "{lines:?}");
    let (message, _) = message_and_hint("selec name from versions").await;
    assert!(message.contains("selec"), "{message}");
}

#[tokio::test]
async fn other_mistakes_have_the_message_of_the_planner() {
    let (message, _) = message_and_hint("select nosuchfunction(name) from versions").await;
    assert!(message.contains("nosuchfunction"), "{message}");
    let (message, _) = message_and_hint("select cast(name as int) from versions").await;
    assert!(message.starts_with("cannot cast string"), "{message}");
    for nothing in ["", "  ", "-- only a comment", ";"] {
        assert_eq!(message_and_hint(nothing).await.0, "there is no statement", "{nothing:?}");
    }
    assert_eq!(message_and_hint("select 1; select 2").await.0, "there are 2 statements where one is expected");
    assert_eq!(TestLake::small().rows("select 1 as one;").await, [json!({"one": 1})]);
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_a_mistake_and_no_damage() {
    for (sql, told, way_out) in [
        ("select name from versions where version = 1", "to value of Int64", "version = '1'"),
        ("select name from versions where version in (1, 2)", "cannot cast string '", "try_cast"),
        ("select name from versions where cast(version as int) > 0", "cannot cast string '", "try_cast"),
        ("select name from versions where version::boolean", "cannot cast value '", "try_cast"),
        ("select name from versions where 10 / version_index > 1", "divide by zero", "nullif"),
        ("select version_index / 0 from versions", "divide by zero", "nullif"),
        ("select name from packages where cast(latest as date) = '2020-01-01'", "cannot cast string", "try_cast"),
        ("select sum(name) from packages", "the function sum takes", "try_cast(x as double)"),
        ("select avg(name) from packages", "the function avg takes", "columns =>"),
        ("select substr(version_index, 1) from versions", "the function substr takes String, not Int", "all_text"),
        ("select regexp_like(version_index, '1') from versions", "the function regexp_like takes String", "as text"),
        ("select name from versions where is_latest = 'x'", "comparison operation", "deprecated = 'false'"),
        ("select name from packages where name = false", "comparison operation", "deprecated = 'false'"),
        ("select name from versions where published_at > '2020'", "'2020'", "'2020-01-01'"),
        ("select keywords->>'x' from packages", "got List", "x[1]"),
        ("select name + 1 from packages", "arithmetic expression", "try_cast"),
    ] {
        let (message, hint) = message_and_hint(sql).await;
        assert!(message.contains(told) && !message.contains("bug"), "{sql}: {message}");
        assert!(hint.contains(way_out), "{sql}: {hint}");
    }
}

#[tokio::test]
async fn statements_that_write_are_refused() {
    let lake = TestLake::small();
    let target = lake.shard("npm", TableKind::Stars, None, None);
    let copy = format!("copy (select * from versions) to '{}' stored as parquet", target.display());
    let explained = format!("explain analyze {copy}");
    for sql in [
        copy.as_str(),
        explained.as_str(),
        "insert into packages (name) values ('x')",
        "delete from packages",
        "update packages set name = 'x'",
        "create table t as select * from packages",
        "create view v as select 1",
        "create external table t stored as parquet location '/etc/passwd'",
        "drop table packages",
        "set datafusion.execution.batch_size = 1",
        "reset datafusion.execution.batch_size",
        "select * into t from packages",
        "prepare p as select 1",
        "begin",
    ] {
        let error = lake.error(sql).await;
        assert_eq!(error.kind(), ErrorKind::Input, "{sql}: {error:?}");
    }
    assert!(!target.exists());
    let error = lake.error("drop table packages").await;
    assert_eq!(error.message(), "a lake is only read with SQL, and DROP would change something");
    assert!(error.hint_text().is_some_and(|hint| hint.contains("all-docs ingest")));
    let file = lake.shard("npm", TableKind::Packages, None, Some("c"));
    let error = lake.error(&format!("select * from '{}'", file.display())).await;
    assert_eq!(error.kind(), ErrorKind::Input, "only the lake's tables: {error:?}");
}

#[tokio::test]
async fn a_damaged_shard_is_reported() {
    let lake = TestLake::small();
    let shard = lake.shard("npm", TableKind::Versions, Some("c"), None);
    let mut bytes = std::fs::read(&shard).unwrap();
    bytes.truncate(bytes.len() - 20);
    std::fs::write(&shard, bytes).unwrap();
    let error = lake.error("select * from versions").await;
    assert_eq!(error.kind(), ErrorKind::Lake, "{error:?}");
    assert!(error.message().ends_with("npm/versions/63-z.parquet is damaged"), "{error:?}");
    assert!(error.hint_text().is_some_and(|hint| hint.contains("verify")));
}

#[tokio::test]
async fn a_shard_whose_pages_are_damaged_is_a_fault_of_the_lake() {
    let lake = TestLake::small();
    let shard = lake.shard("npm", TableKind::Packages, None, Some("c"));
    let mut bytes = std::fs::read(&shard).unwrap();
    bytes[4..60].fill(0xff);
    std::fs::write(&shard, bytes).unwrap();
    let error = lake.error("select * from packages").await;
    assert_eq!(error.kind(), ErrorKind::Lake, "{error:?}");
    assert!(error.message().contains("packages"), "{error:?}");
}
