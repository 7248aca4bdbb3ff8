//! Tests that the optimizer rules read fewer rows or files and return the same ones.

use serde_json::{Value, json};

use super::lake::TestLake;
use super::overlay;
use crate::table::TableKind;

#[tokio::test]
async fn a_join_pauses() {
    let plan = chain().session().explain("select * from packages p join versions v using (name)").await.unwrap();
    let (pause, join) = (plan.find("CooperativeExec"), plan.find("HashJoinExec"));
    assert!(pause.is_some() && pause < join, "{plan}");
}

/// Makes packages `a` to `e`. The latest versions of `b`, `c` and `d` depend on the package before them. The latest
/// version of `e` has no dependency, but an older one has.
fn chain() -> TestLake {
    let lake = TestLake::empty();
    let versions = [("a", "1"), ("b", "1"), ("b", "2"), ("c", "1"), ("d", "1"), ("e", "1"), ("e", "2")];
    let latest = [("a", "1"), ("b", "2"), ("c", "1"), ("d", "1"), ("e", "2")];
    let packages = latest.map(|(name, latest)| json!({"name": name, "latest": latest}));
    let row = |(name, version): (&str, &str)| json!({"name": name, "version": version, "is_latest": latest.contains(&(name, version))});
    let edge = |(name, version, dependency): (&str, &str, &str)| {
        let mut edge = row((name, version));
        edge["kind"] = json!("prod");
        edge["dependency"] = json!(dependency);
        edge
    };
    let edges = [("b", "1", "a"), ("b", "2", "a"), ("c", "1", "b"), ("d", "1", "c"), ("e", "1", "a")].map(edge);
    for origin in ["npm", "mirror"] {
        lake.put(origin, TableKind::Packages, None, None, &packages);
        lake.put(origin, TableKind::Versions, None, None, &versions.map(row));
        lake.put(origin, TableKind::Dependencies, None, None, &edges);
    }
    lake
}

#[tokio::test]
async fn a_join_for_the_latest_versions_reads_no_others() {
    let lake = chain();
    let session = lake.session();
    let count = "select count(*) as n from";
    for (statement, rows) in [
        (format!("{count} versions v join packages p on v.name = p.name and v.version = p.latest"), 5),
        (format!("{count} packages p join versions v on p.latest = v.version and v.name = p.name"), 5),
        (format!("{count} versions v, packages p where v.name = p.name and v.version = p.latest and v.name > 'a'"), 4),
        (format!("{count} dependencies d join packages p on d.name = p.name and d.version = p.latest"), 3),
        (format!("{count} packages p left join versions v on v.name = p.name and v.version = p.latest"), 5),
        (
            format!(
                "{count} versions v where exists \
                 (select 1 from packages p where p.name = v.name and p.latest = v.version)"
            ),
            5,
        ),
        (
            format!(
                "with v as (select version as number, name as package from versions where name <> 'c') \
                 {count} v join (select * from packages) p on v.package = p.name and v.number = p.latest"
            ),
            4,
        ),
        (
            format!(
                "{count} versions v join dependencies d on d.name = v.name \
                 join packages p on v.name = p.name and v.version = p.latest"
            ),
            5,
        ),
    ] {
        assert_eq!(lake.rows(&statement).await, [json!({"n": rows})], "{statement}");
        let plan = session.explain(&statement).await;
        assert!(plan.as_ref().is_ok_and(|plan| plan.contains("predicate=is_latest")), "{statement}: {plan:?}");
    }
}

#[tokio::test]
async fn other_joins_read_every_version() {
    let lake = chain();
    let session = lake.session();
    for (statement, rows) in [
        ("from versions v left join packages p on v.name = p.name and v.version = p.latest", 7),
        ("from versions v full join packages p on v.name = p.name and v.version = p.latest", 7),
        ("from versions v join packages p on v.name = p.name", 7),
        ("from versions v join packages p on v.version = p.latest", 19),
        ("from versions v join mirror.packages p on v.name = p.name and v.version = p.latest", 5),
        ("from versions v join packages p on v.name = p.name and v.version = p.latest || ''", 5),
        ("from versions v join packages p on v.version = p.name and v.name = p.latest", 0),
        (
            "from versions v join packages p on v.name = p.name join packages q on q.name = p.name \
             and v.version = q.latest",
            5,
        ),
        ("from (select * from versions limit 7) v join packages p on v.name = p.name and v.version = p.latest", 5),
        (
            "from versions v where not exists \
             (select 1 from packages p where p.name = v.name and p.latest = v.version)",
            2,
        ),
    ] {
        let statement = format!("select count(*) as n {statement}");
        assert_eq!(lake.rows(&statement).await, [json!({"n": rows})], "{statement}");
        let plan = session.explain(&statement).await;
        assert!(plan.as_ref().is_ok_and(|plan| !plan.contains("predicate=is_latest")), "{statement}: {plan:?}");
    }
}

#[tokio::test]
async fn a_recursive_statement_reads_its_tables_once() {
    let lake = chain();
    let edges = "select d.dependency, d.name from dependencies d join packages p \
                 on d.name = p.name and d.version = p.latest where d.kind = 'prod'";
    let names = |rows: Vec<Value>| -> Vec<String> {
        rows.iter().map(|row| row["name"].as_str().unwrap_or_default().to_owned()).collect()
    };
    for joined in ["reached join edges", "edges join reached"] {
        let statement = format!(
            "with recursive edges as ({edges}), reached(name) as (select 'a' union \
             select edges.name from {joined} on edges.dependency = reached.name) select name from reached order by name"
        );
        assert_eq!(names(lake.rows(&statement).await), ["a", "b", "c", "d"], "{joined}");
        let plan = lake.session().explain(&statement).await.unwrap_or_default();
        assert_eq!(plan.matches("KeptRowsExec").count(), 1, "{plan}");
        let place = |node: &str| plan.rfind(node).unwrap_or_default();
        assert!(place("WorkTableExec") < place("KeptRowsExec"), "the smaller side is collected:\n{plan}");
    }
    let beginning_in_a_table = "with recursive reached as (select name from packages where name = 'b' union \
                                select d.name from reached r join dependencies d on d.dependency = r.name \
                                where d.is_latest) select name from reached order by name";
    assert_eq!(names(lake.rows(beginning_in_a_table).await), ["b", "c", "d"]);
}

#[tokio::test]
async fn the_first_rows_by_name_come_from_the_first_shards_if_these_have_enough() {
    let lake = TestLake::empty();
    let rows = |names: &[&str]| -> Vec<Value> {
        let of_name = |name: &&str| ["1", "2"].map(|version| json!({"name": name, "version": version}));
        names.iter().flat_map(of_name).collect()
    };
    lake.put("npm", TableKind::Versions, None, Some("c"), &rows(&["a", "b"]));
    lake.put("npm", TableKind::Versions, Some("c"), None, &rows(&["c", "d"]));
    let statement = |limit: usize| format!("select name, version from versions order by name limit {limit}");
    for limit in 0..10 {
        let expected: Vec<Value> = rows(&["a", "b", "c", "d"]).into_iter().take(limit).collect();
        assert_eq!(lake.rows(&statement(limit)).await, expected);
    }
    let second = lake.shard("npm", TableKind::Versions, Some("c"), None);
    let size = std::fs::metadata(&second).unwrap().len();
    std::fs::write(&second, vec![0; usize::try_from(size).unwrap()]).unwrap();
    for (limit, rest) in [(4, "order by name"), (3, "where is_latest or name < 'z' order by name")] {
        let statement = format!("select name, version from versions {rest} limit {limit}");
        assert_eq!(lake.rows(&statement).await.len(), limit, "{statement}");
    }
    // A condition may hold for few rows of the first shard, so all shards are read at once.
    for rest in ["order by name limit 5", "order by name", "where version = '1' order by name limit 1"] {
        lake.error(&format!("select name, version from versions {rest}")).await;
    }
}

#[tokio::test]
async fn the_first_rows_are_in_order_if_deltas_have_some_of_them() {
    let [.., lake] = overlay::lakes();
    for limit in 1..6 {
        let found = lake.rows(&format!("select name from packages order by name limit {limit}")).await;
        let names: Vec<&str> = found.iter().filter_map(|row| row["name"].as_str()).collect();
        assert_eq!(names, ["a", "c", "d", "g"][..limit.min(4)]);
    }
}

#[tokio::test]
async fn the_first_rows_are_read_without_a_look_at_the_names_of_all_shards() {
    let [lake, ..] = overlay::lakes();
    let few = "select name from (select name, version from versions) as v order by name limit 2";
    // The ranges of rows that count are found for all of these, and known from then on.
    for all in ["select name from versions order by name", "select version from versions order by version limit 2"] {
        let session = lake.session();
        let is_masked = async |sql: &str| session.explain(sql).await.unwrap().contains("is_newest");
        assert!(is_masked(few).await, "{all}");
        assert!(!is_masked(all).await && !is_masked(few).await, "{all}");
    }
}
