//! Views and reports through the binary, as a person runs them.

/// CouchDB's own rows.
mod oracle;
/// The page of SQL.
mod page;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use all_docs::sample::World;
use all_docs::table::TableKind;

use crate::support::{Env, all_docs, run_binary, stderr, stdout};

async fn sample() -> Env {
    let env = Env::new(World::seeded(41, 200));
    env.ingest(&["g", "p"]).await;
    env
}

fn query(env: &Env, arguments: &[&str]) -> Output {
    run_binary(env.folder.path(), &[&["query", "--lake", "lake"], arguments].concat())
}

/// Returns the lines of a result as CSV, without the header.
fn lines(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{}", stderr(output));
    stdout(output).lines().skip(1).map(str::to_owned).collect()
}

fn piped(folder: &Path, arguments: &[&str], text: &str) -> Output {
    let mut child = all_docs(folder)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A process that refuses its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
    child.wait_with_output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_answers_keys_ranges_and_groups() {
    let env = sample().await;
    let top = lines(&query(&env, &["--view", "most_depended_upon", "--param", "limit=1", "--format", "csv"]));
    let (name, count) = top[0].split_once(',').unwrap();
    let by_key = |more: &[&str]| {
        lines(&query(&env, &[&["--view", "dependent_versions", "--format", "csv", "--key", name], more].concat()))
    };
    let rows = by_key(&[]);
    assert!(!rows.is_empty() && rows.iter().all(|row| row.starts_with(&format!("{name},"))), "{rows:?}");
    assert!(rows.is_sorted());
    let mut turned = by_key(&["--descending"]);
    turned.reverse();
    assert_eq!(turned, rows);
    assert_eq!(by_key(&["--skip", "1", "--limit", "1"]), rows[1..2]);
    assert_eq!(by_key(&["--group-level", "1"]), [format!("{name},{}", rows.len())]);
    assert!(count.parse::<usize>().unwrap() >= rows.len(), "a deprecated dependent is in the report alone");
    let list = format!("[\"{name}\", {{}}]");
    let range = ["--view", "dependent_versions", "--format", "csv", "--startkey", name, "--endkey", &list];
    assert_eq!(lines(&query(&env, &range)), rows);
    assert_eq!(lines(&query(&env, &["--view", "sample.list_all", "--reduce", "--format", "csv"])), ["200"]);
    let explained = query(&env, &["--view", "depended_upon", "--key", name, "--limit", "3", "--explain"]);
    let text = stdout(&explained);
    assert!(text.contains("where (dependency = $key_1)") && text.contains(&format!("-- $key_1 = '{name}'")), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_fail_with_a_hint() {
    let env = sample().await;
    for (arguments, expected) in [
        (&["--view", "depended_upn"][..], "did you mean depended_upon?"),
        (&["--view", "nowhere.by_user"], "its origins: sample"),
        (&["--view", "dependents"], "add --param name="),
        (&["--view", "dependents", "--param", "nam=x"], "has no parameter \"nam\""),
        (&["--view", "dependents", "--param", "name=x", "--param", "limit=ten"], "\"ten\" is not a number"),
        (&["--view", "dependents", "--param", "name=x", "--limit", "3"], "which no key selects from"),
        (&["--view", "by_user", "--param", "name=x"], "it takes none"),
        (&["--view", "by_user", "--key", "[\"a\", \"b\"]"], "its key: maintainer"),
        (&["--view", "by_user", "--keys", "x"], "is not a list of keys"),
        (&["--key", "x", "select 1"], "--view"),
        (&["--view", "by_user", "select 1"], "cannot be used with"),
        (&["select $x"], "--param x=value"),
        (&["select 1", "--param", "x=1"], "no parameter \"x\""),
        (&["select 1", "--param", "x"], "NAME=VALUE"),
        (&["--file", "absent.sql"], "absent.sql"),
        (&["--queries", "absent", "select 1"], "absent is not a folder"),
        (&["select * from dependents()"], "write dependents('react')"),
    ] {
        let output = query(&env, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}{}", stdout(&output), stderr(&output));
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn views_are_listed_also_without_a_lake() {
    let folder = tempfile::tempdir().unwrap();
    let text = stdout(&run_binary(folder.path(), &["views"]));
    assert!(text.contains("depended_upon: ") && text.contains("--param name=react"), "{text}");
    let listed: serde_json::Value =
        serde_json::from_str(&stdout(&run_binary(folder.path(), &["views", "--json"]))).unwrap();
    let views = listed.as_array().unwrap().iter().filter(|query| query["kind"] == "view");
    assert_eq!(views.count(), 29);
    let one = stdout(&run_binary(folder.path(), &["views", "dependents"]));
    assert!(one.contains("limit (number, 100 unless given)") && one.contains("order by dependencies.name"), "{one}");
    assert_eq!(run_binary(folder.path(), &["views", "depndents"]).status.code(), Some(2));
    assert!(stdout(&run_binary(folder.path(), &["query", "--help"])).contains("--group-level"));
}

#[tokio::test(flavor = "multi_thread")]
async fn own_queries_are_in_the_lake_or_in_a_folder() {
    let env = sample().await;
    let write = |path: &str, text: &str| {
        let path = env.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "lake/queries/views/short_names.sql",
        "-- One row is: a package\nselect name from packages where length(name) < 12",
    );
    write(
        "mine/reports/named.sql",
        "-- One row is: a package\n-- Parameter: least number = 1: letters\nselect name from short_names where length(name) >= $least",
    );
    let all = lines(&query(&env, &["select name from short_names", "--format", "csv"]));
    assert!(!all.is_empty());
    let named =
        |more: &[&str]| query(&env, &[&["--queries", "mine", "--view", "named", "--format", "csv"], more].concat());
    assert_eq!(lines(&named(&[])).len(), all.len());
    assert_eq!(lines(&named(&["--param", "least=12"])).len(), 0);
    assert_eq!(lines(&query(&env, &["--view", "short_names", "--reduce", "--format", "csv"])), [all.len().to_string()]);
    let listed = run_binary(env.folder.path(), &["views", "--lake", "lake", "--queries", "mine"]);
    assert!(stdout(&listed).contains("short_names: a package") && stdout(&listed).contains("named: a package"));
    write("mine/reports/broken.sql", "select 1");
    let broken = named(&[]);
    assert_eq!(broken.status.code(), Some(2));
    assert!(stderr(&broken).contains("broken") && stderr(&broken).contains("-- One row is:"), "{}", stderr(&broken));
    let plain = "-- Parameter: name text: which\nselect $name as name";
    write("asked.sql", plain);
    assert_eq!(lines(&query(&env, &["--file", "asked.sql", "--param", "name=1", "--format", "csv"])), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_is_read_as_statements() {
    let env = sample().await;
    let ask = |arguments: &[&str], text: &str| {
        piped(env.folder.path(), &[&["query", "--lake", "lake", "--format", "csv"], arguments].concat(), text)
    };
    let both = ask(&[], "-- first\nselect 1 as a;\nselect ';' as b -- no end\n");
    assert_eq!((stdout(&both).as_str(), both.status.code()), ("a\n1\nb\n;\n", Some(0)), "{}", stderr(&both));
    let bound = ask(&["--param", "x=é'"], "select $x as a");
    assert_eq!(stdout(&bound), "a\né'\n");
    let failed = ask(&[], "select 1 as a; select nothing; select 2 as b");
    assert_eq!((stdout(&failed).as_str(), failed.status.code()), ("a\n1\n", Some(2)));
    let empty = ask(&[], " -- only a remark\n");
    assert_eq!(empty.status.code(), Some(2));
    assert!(stderr(&empty).contains("there is no statement"), "{}", stderr(&empty));
    let open = ask(&[], "select 'a");
    assert_eq!(open.status.code(), Some(2), "{}", stdout(&open));
    let one_file = ask(&["--output", "x.csv"], "select 1; select 2");
    assert!(stderr(&one_file).contains("one file"), "{}", stderr(&one_file));
}

/// The table function finds the same packages as a walk over the rows of the table.
#[tokio::test(flavor = "multi_thread")]
async fn transitive_dependents_are_those_that_the_edges_lead_to() {
    use arrow::array::{Array, AsArray};
    use std::collections::BTreeSet;
    let env = sample().await;
    let mut edges: Vec<(String, String)> = Vec::new();
    for batch in env.table(TableKind::Dependencies) {
        let text = |column: &str| batch.column_by_name(column).unwrap().as_string::<i32>().clone();
        let (names, kinds, targets) = (text("name"), text("kind"), text("dependency"));
        let latest = batch.column_by_name("is_latest").unwrap().as_boolean().clone();
        for row in (0..names.len()).filter(|row| latest.value(*row) && kinds.value(*row) == "prod") {
            edges.push((targets.value(row).to_owned(), names.value(row).to_owned()));
        }
    }
    let start =
        edges.iter().max_by_key(|edge| edges.iter().filter(|other| other.0 == edge.0).count()).unwrap().0.clone();
    let mut found: BTreeSet<&str> = BTreeSet::new();
    let mut pending = vec![start.as_str()];
    while let Some(next) = pending.pop() {
        for (_, name) in edges.iter().filter(|(target, _)| target == next) {
            if found.insert(name) {
                pending.push(name);
            }
        }
    }
    found.remove(start.as_str());
    let sql = format!("select name from dependents('{start}') order by name");
    let rows = lines(&query(&env, &[&sql, "--format", "csv"]));
    assert!(rows.len() > 3, "a world with too few edges");
    assert_eq!(rows, found.into_iter().map(str::to_owned).collect::<Vec<_>>());
}
