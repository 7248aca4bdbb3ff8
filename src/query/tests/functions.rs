//! Tests the SQL functions of a lake.

use serde_json::json;

use super::lake::TestLake;
use crate::table::TableKind;

/// Makes a lake in which `b`, `c` and `e` depend on `a`, `d` on both `b` and `c`, and `a` on `d`: a cycle.
fn circle() -> TestLake {
    let lake = TestLake::empty();
    let edge = |name: &str, dependency: &str, kind: &str, is_latest: bool| json!({"name": name, "version": "1.0.0", "is_latest": is_latest, "kind": kind, "dependency": dependency, "requirement": "^1.0.0"});
    let rows = [
        edge("a", "d", "prod", true),
        edge("b", "a", "prod", true),
        edge("b", "x", "prod", false),
        edge("c", "a", "prod", true),
        edge("d", "b", "prod", true),
        edge("d", "c", "prod", true),
    ];
    lake.put("npm", TableKind::Dependencies, None, Some("e"), &rows);
    let rest = [edge("e", "a", "prod", true), edge("e", "d", "dev", true)];
    lake.put("npm", TableKind::Dependencies, Some("e"), None, &rest);
    lake.put("mirror", TableKind::Dependencies, None, None, &[edge("m", "a", "prod", true)]);
    lake
}

#[tokio::test]
async fn dependents_are_found_through_others_and_circles_end() {
    let lake = circle();
    let found = async |sql: &str| -> Vec<String> {
        let rows = lake.rows(sql).await;
        rows.iter().map(|row| format!("{} {} {}", row["depth"], row["name"], row["via"]).replace('"', "")).collect()
    };
    assert_eq!(found("select * from dependents('a')").await, ["1 b a", "1 c a", "1 e a", "2 d b"]);
    assert_eq!(found("select * from dependents('a', 1)").await, ["1 b a", "1 c a", "1 e a"]);
    assert_eq!(found("select via, depth, name from dependents('a', null, 'mirror')").await, ["1 m a"]);
    assert_eq!(found("select * from dependencies_of('e')").await, ["1 a e", "2 d a", "3 b d", "3 c d"]);
    assert_eq!(found("select * from dependencies_of('b')").await, ["1 a b", "2 d a", "3 c d"], "only what is latest");
    assert_eq!(found("select * from dependents('nobody')").await, Vec::<String>::new());
    let counted = lake.rows("select count(*) as n from dependents('a') where depth = 1").await;
    assert_eq!(counted, [json!({"n": 3})]);
    let joined = "select r.name from dependents('a') r join dependencies d on d.name = r.name and d.kind = 'dev'";
    assert_eq!(lake.rows(joined).await, [json!({"name": "e"})]);
}

#[tokio::test]
async fn a_wrong_call_of_a_table_function_gives_a_hint() {
    let lake = circle();
    for (call, expected) in [
        ("dependents()", "dependents takes a name"),
        ("dependents(5)", "takes the name of a package"),
        ("dependents('a', -1)", "a whole number from 0"),
        ("dependents('a', 'far')", "a whole number from 0"),
        ("dependencies_of('a', 1, 'nowhere')", "no origin \"nowhere\"; its origins: mirror, npm"),
        ("dependents('a', 1, 'npm', 2)", "dependents takes a name"),
    ] {
        let error = lake.error(&format!("select * from {call}")).await;
        assert_eq!(error.kind(), crate::error::ErrorKind::Input, "{call}");
        assert!(error.message().contains(expected), "{call}: {}", error.message());
    }
}

#[tokio::test]
async fn versions_compare_and_satisfy_as_in_node() {
    let lake = TestLake::small();
    let sql = "select semver_satisfies('1.4.0', '^1.2 || >3') as inside, semver_satisfies('1.4.0-rc', '^1.2') as pre,
        semver_satisfies('x', '*') as no_version, semver_satisfies('1.0.0', 'latest') as no_range,
        semver_satisfies(null, '*') as unknown, semver_compare('1.10.0', '1.9.0') as more,
        semver_compare('1.0.0-rc.2', '1.0.0') as less, semver_compare('1.0.0+a', '1.0.0') as same,
        semver_compare('1', '2') as none, semver_major('v12.3.4') as major, semver_major('12') as no_major";
    let expected = json!({"inside": true, "pre": false, "no_version": false, "no_range": false, "unknown": null,
        "more": 1, "less": -1, "same": 0, "none": null, "major": 12, "no_major": null});
    assert_eq!(lake.rows(sql).await, [expected]);
    let sorted = "select name || version as v from versions order by semver_sort_key(version) desc, name limit 2";
    assert_eq!(lake.rows(sorted).await, [json!({"v": "a2.0.0"}), json!({"v": "a1.0.0"})]);
    let joined = "select v.name, v.version, r.wanted from versions v
        join (values ('^1'), ('>=2'), ('what')) as r(wanted) on semver_satisfies(v.version, r.wanted)
        order by v.name, v.version";
    let names: Vec<_> =
        lake.rows(joined).await.into_iter().map(|row| format!("{} {}", row["name"], row["wanted"])).collect();
    assert_eq!(names, ["\"a\" \"^1\"", "\"a\" \">=2\"", "\"b\" \"^1\""]);
    assert!(lake.error("select semver_major(1, 2)").await.message().contains("semver_major"));
}

#[tokio::test]
async fn times_in_utc_are_truncated_as_the_engine_does_in_a_zone_without_offset() {
    let lake = TestLake::small();
    for unit in ["microsecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year"] {
        let sql = format!(
            "with times as (select * from (values ('2024-02-29T23:59:59.999999'), ('1969-12-31T00:00:00.000001'),
                ('2000-01-01T00:00:00'), (null)) as t(time)),
            both as (select date_trunc('{unit}', arrow_cast(time, 'Timestamp(Microsecond, Some(\"UTC\"))')) as ours,
                date_trunc('{unit}', arrow_cast(time, 'Timestamp(Microsecond, Some(\"+00:00\"))')) as engines from times)
            select count(ours) as times, bool_and(ours = engines) as same, min(arrow_typeof(ours)) as type from both"
        );
        let rows = lake.rows(&sql).await;
        assert_eq!(rows[0]["times"], 3);
        assert_eq!(rows[0]["same"], true, "{unit}");
        assert_eq!(rows[0]["type"], "Timestamp(µs, \"UTC\")");
    }
}

#[tokio::test]
async fn own_files_are_tables_only_where_it_is_allowed() {
    use crate::query::SessionOptions;
    use futures::TryStreamExt;
    let lake = TestLake::small();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("records.ndjson");
    std::fs::write(&file, "{\"name\":\"a\",\"score\":1}\n{\"name\":\"z\",\"score\":2}\n").unwrap();
    let sql = format!("select r.score, p.latest from '{}' r join packages p on p.name = r.name", file.display());
    let allowed = lake.session_with(&SessionOptions { reads_own_files: true, ..SessionOptions::default() });
    let batches: Vec<_> = allowed.query(&sql).await.unwrap().try_collect().await.unwrap();
    assert_eq!(batches.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), 1);
    let by_user = "select count(*) from by_user join dependents('a') using (name)";
    assert!(allowed.query(by_user).await.is_ok(), "views and functions are there as well");
    assert!(lake.error(&sql).await.message().contains("there is no table"), "not without leave");
    let absent = allowed.query("select * from 'absent.ndjson'").await.err().unwrap();
    assert!(absent.message().contains("absent.ndjson"), "{}", absent.message());
}
