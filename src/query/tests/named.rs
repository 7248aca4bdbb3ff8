//! Tests views and reports on a small lake.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt;
use serde_json::json;

use super::lake::TestLake;
use crate::query::{
    BoundSql, Key, NamedQueries, NamedQuery, ParameterType, QueryKind, Selection, Session, SessionOptions,
};
use crate::table::TableKind;

async fn ran(session: &Session, statement: &BoundSql) -> Vec<String> {
    let stream = session.query_bound(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    let columns = stream.schema().fields().iter().map(|field| field.name().clone()).collect();
    let batches: Result<Vec<_>, _> = stream.try_collect().await;
    batches.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    columns
}

#[tokio::test]
async fn every_view_and_report_has_the_columns_that_it_says_and_runs_on_an_empty_lake() {
    let session = TestLake::empty().session();
    for query in session.queries().all() {
        let mut statement = match query.kind {
            QueryKind::View => session.select_from_view(&query.name, &Selection::default()).await.unwrap(),
            QueryKind::Report => {
                let needed = query.parameters.iter().filter(|parameter| parameter.default.is_none());
                let value = |kind| if kind == ParameterType::Text { "a' or 1=1 --" } else { "1" };
                let given: BTreeMap<String, String> =
                    needed.map(|parameter| (parameter.name.clone(), value(parameter.value_type).to_owned())).collect();
                query.with_values(&given).unwrap()
            }
        };
        assert_eq!(ran(&session, &statement).await, query.columns, "{}", query.name);
        statement.sql = format!("{} ", statement.sql);
        assert!(session.explain_bound(&statement).await.is_ok());
    }
}

#[tokio::test]
async fn a_view_is_a_relation_of_each_origin() {
    let lake = TestLake::small();
    lake.put("mirror", TableKind::Maintainers, None, None, &[json!({"name": "b", "maintainer": "eve"})]);
    lake.put(
        "npm",
        TableKind::Maintainers,
        None,
        None,
        &[json!({"name": "a", "maintainer": "ann"}), json!({"name": "b", "maintainer": "ann"})],
    );
    let sql = "select maintainer, count(*) as n from by_user group by 1";
    assert_eq!(lake.rows(sql).await, [json!({"maintainer": "ann", "n": 2})]);
    let both = "select name, maintainer from npm.by_user join mirror.by_user using (name) where false
        union all select name, maintainer from mirror.by_user union all select name, maintainer from NPM.By_User where name = 'a'
        order by name";
    let error = lake.error(both).await;
    assert!(error.message().contains("maintainer"), "{}", error.message());
    let both =
        "select name, maintainer from mirror.by_user union all select name, maintainer from NPM.By_User order by 1, 2";
    let rows = lake.rows(both).await;
    let shown: Vec<_> = rows.iter().map(|row| format!("{} {}", row["name"], row["maintainer"])).collect();
    assert_eq!(shown, ["\"a\" \"ann\"", "\"b\" \"ann\"", "\"b\" \"eve\""]);
    assert!(
        lake.error("select * from depended_upn").await.hint_text().unwrap().contains("did you mean depended_upon?")
    );
    assert!(lake.error("select keywrd from by_keyword").await.hint_text().unwrap().contains("did you mean keyword"));
}

#[tokio::test]
async fn keys_select_group_and_turn_round() {
    let lake = TestLake::small();
    let star = |name: &str, user: &str| json!({"name": name, "user": user});
    let stars = [star("a", "u1"), star("a", "u2"), star("b", "u1"), star("c", "u3")];
    lake.put("npm", TableKind::Stars, None, None, &stars);
    let quirk = json!({"name": "a", "field": "users.u2", "code": "falsy_star"});
    lake.put("npm", TableKind::Quirks, None, None, &[quirk]);
    let session = lake.session();
    let rows = async |selection: Selection| -> Vec<String> {
        let bound = session.select_from_view("starred_by_user", &selection).await.unwrap();
        let batches: Vec<_> = session.query_bound(&bound).await.unwrap().try_collect().await.unwrap();
        let shown = arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
        let cells =
            |line: &str| line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join(" ");
        shown.lines().filter(|line| line.starts_with('|')).skip(1).map(cells).collect()
    };
    let key = |text: &str| Some(Key::parse(text));
    assert_eq!(rows(Selection::default()).await, ["u1 a", "u1 b", "u3 c"], "a star taken back is none");
    assert_eq!(
        rows(Selection { key: key("u1"), limit: Some(1), skip: Some(1), ..Selection::default() }).await,
        ["u1 b"]
    );
    assert_eq!(rows(Selection { start_key: key("u2"), ..Selection::default() }).await, ["u3 c"]);
    let turned = Selection { descending: true, start_key: key("u2"), ..Selection::default() };
    assert_eq!(rows(turned).await, ["u1 b", "u1 a"]);
    assert_eq!(rows(Selection { group_level: Some(1), ..Selection::default() }).await, ["u1 2", "u3 1"]);
    assert_eq!(rows(Selection { reduce: true, ..Selection::default() }).await, ["3"]);
    let keys = Some(Key::parse_list(r#"["u3", "nobody"]"#).unwrap());
    assert_eq!(rows(Selection { keys, ..Selection::default() }).await, ["u3 c"]);
    let quoted = Selection { key: key("u1' or 'x' = 'x"), ..Selection::default() };
    assert_eq!(rows(quoted).await, Vec::<String>::new());
    let two = Selection { key: key(r#"["u1", "a"]"#), ..Selection::default() };
    let error = session.select_from_view("starred_by_user", &two).await.unwrap_err();
    assert_eq!(
        (error.message(), error.hint_text()),
        ("the key has 2 values, and that of starred_by_user fewer", Some("its key: user"))
    );
    let error = session.select_from_view("most_starred", &Selection::default()).await.unwrap_err();
    assert!(error.message().contains("is a report"), "{}", error.message());
}

#[tokio::test]
async fn tarballs_on_other_hosts_are_found_by_the_origins_own_host() {
    let lake = TestLake::empty();
    let version = |version: &str, url: &str| json!({"name": "a", "version": version, "version_index": 0, "is_latest": false, "tarball_url": url});
    let rows =
        [version("1.0.0", "http://127.0.0.1/a/-/a-1.0.0.tgz"), version("2.0.0", "https://elsewhere.example/a.tgz")];
    lake.put("npm", TableKind::Versions, None, None, &rows);
    assert_eq!(lake.rows("select version from odd_host").await, [json!({"version": "2.0.0"})]);
}

#[tokio::test]
async fn attachments_without_a_version_are_orphans() {
    let lake = TestLake::empty();
    let rows = [
        json!({"name": "a", "version": "1.0.0", "version_index": 0, "is_latest": true, "tarball_url": "http://x/a/-/a-1.0.0.tgz"}),
        json!({"name": "a", "version": "2.0.0", "version_index": 1, "is_latest": false, "tarball_url": "http://x/a/-/a-2.0.0.tgz"}),
    ];
    lake.put("npm", TableKind::Versions, None, None, &rows);
    let document = r#"{"name":"a","_attachments":{"a-1.0.0.tgz":{"length":5},"a-0.9.0.tgz":{"length":7},"a-0.8.0.tgz":{"length":3},"readme.md":{"length":1}}}"#;
    lake.put(
        "npm",
        TableKind::Packuments,
        None,
        None,
        &[json!({"name": "a", "rev": "1-x", "representation": "full", "size_bytes": 1, "json": document})],
    );
    let orphans = lake.rows("select * from orphan_attachments").await;
    assert_eq!(orphans, [json!({"name": "a", "orphans": ["a-0.8.0.tgz", "a-0.9.0.tgz"], "size_bytes": 10})]);
    assert_eq!(lake.rows("select version from no_attachment").await, [json!({"version": "2.0.0"})]);
}

#[tokio::test]
async fn a_users_view_is_named_by_other_sql_and_a_report_takes_values_as_values() {
    let lake = TestLake::small();
    let mut queries = NamedQueries::default();
    let view =
        "-- One row is: a package with two versions\nselect name, version_count from count_versions where name <> 'b'";
    let report = "-- One row is: a package\n-- Parameter: name text: which\n-- Parameter: least number = 0: versions\nselect name from packages where name = $name and version_count >= $least";
    queries
        .add(vec![
            NamedQuery::parse("mine", QueryKind::View, view).unwrap(),
            NamedQuery::parse("asked", QueryKind::Report, report).unwrap(),
        ])
        .unwrap();
    let options = SessionOptions { queries: Arc::new(queries), ..SessionOptions::default() };
    let session = lake.session_with(&options);
    let count = async |statement: &BoundSql| -> usize {
        let batches: Vec<_> = session.query_bound(statement).await.unwrap().try_collect().await.unwrap();
        batches.iter().map(arrow::array::RecordBatch::num_rows).sum()
    };
    assert_eq!(count(&BoundSql::new("select * from mirror.mine")).await, 0);
    assert_eq!(count(&BoundSql::new("select * from mine")).await, 3);
    let asked = |name: &str| {
        session.queries().find("asked").unwrap().with_values(&BTreeMap::from([("name".to_owned(), name.to_owned())]))
    };
    assert_eq!(count(&asked("a").unwrap()).await, 1);
    assert_eq!(count(&asked("a' or 'b' = 'b").unwrap()).await, 0);
}
