//! `cache list`, `validate-partitions` and `clear`: the content of a lake, its consistency, and its removal.

use std::fs;

use super::{answer, exit_code, run, small_lake};
use crate::support::{lake_bytes, stderr, stdout};

#[test]
fn keys_have_the_form_that_people_know() {
    let env = small_lake(&["a", "b", "c", "d"]);
    let partitions = answer(&env, &["cache", "list"]);
    let first: Vec<&str> = partitions.lines().next().unwrap().split('\t').collect();
    assert_eq!(first[..3], ["v1:partition:npm:_:63", "2", "2"]);
    assert_eq!(
        answer(&env, &["cache", "list", "--packuments"]).lines().collect::<Vec<_>>(),
        ["v1:packument:npm:61", "v1:packument:npm:62", "v1:packument:npm:63", "v1:packument:npm:64"]
    );
    let json: serde_json::Value = serde_json::from_str(&answer(&env, &["cache", "list", "--json"])).unwrap();
    assert_eq!(json[1]["key"], "v1:partition:npm:63:_");
}

#[test]
fn faults_are_reported() {
    let env = small_lake(&["a", "b", "c", "d"]);
    assert_eq!(answer(&env, &["cache", "validate-partitions"]), "");
    let lake = env.lake().join("npm");
    fs::remove_file(lake.join("versions/0-63.parquet")).unwrap();
    fs::copy(lake.join("docs/0-63.parquet"), lake.join("docs/63-z.parquet")).unwrap();
    fs::write(lake.join("docs/61-62.parquet"), "x").unwrap();
    let output = run(&env, &["cache", "validate-partitions"]);
    assert_eq!(exit_code(&output), Some(4), "{}", stderr(&output));
    let faults = stdout(&output);
    for (path, what) in [
        ("npm/versions/0-63.parquet", "gone"),
        ("npm/docs/63-z.parquet", "outside"),
        ("npm/docs/61-62.parquet", "no partition"),
    ] {
        assert!(faults.lines().any(|line| line.starts_with(path) && line.contains(what)), "{path}: {faults}");
    }
    let json: Vec<serde_json::Value> =
        serde_json::from_str(&stdout(&run(&env, &["cache", "validate-partitions", "--json"]))).unwrap();
    assert!(json.len() >= 3);
}

#[test]
fn nothing_is_cleared_without_confirmation() {
    let env = small_lake(&["a", "b", "c", "d"]);
    fs::write(env.lake().join("npm/docs/note.txt"), "mine").unwrap();
    let before = lake_bytes(&env.lake());
    let dry = answer(&env, &["cache", "clear", "--dry-run"]);
    assert!(dry.lines().next().unwrap().starts_with("npm/manifest/"), "{dry}");
    assert!(!dry.contains("note.txt"), "{dry}");
    let unasked = run(&env, &["cache", "clear"]);
    assert_eq!(exit_code(&unasked), Some(2), "{}", stderr(&unasked));
    assert!(stderr(&unasked).contains("--yes"));
    assert_eq!(lake_bytes(&env.lake()), before);

    answer(&env, &["cache", "clear", "--staging", "--yes"]);
    assert_eq!(lake_bytes(&env.lake()), before);
    answer(&env, &["cache", "clear", "--yes"]);
    let left: Vec<String> = lake_bytes(&env.lake()).into_keys().collect();
    assert_eq!(left, ["npm/docs/note.txt"], "what is not ours stays");
    // The lake is still a lake, and can be filled again.
    answer(&env, &["ingest", "--origin", "ORIGIN"]);
    assert_eq!(answer(&env, &["cache", "create-index"]).lines().count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_with_a_running_process_is_not_cleared() {
    use all_docs::lake::Layout;
    use all_docs::pipeline::Lease;
    let env = small_lake(&["a", "b"]);
    let before = lake_bytes(&env.lake());
    let lease = Lease::of_origin(&env.store(), &Layout::origin("npm"), "test").await.unwrap();
    let output = run(&env, &["cache", "clear", "--yes"]);
    assert_eq!(exit_code(&output), Some(4), "{}", stderr(&output));
    lease.end().await.unwrap();
    assert_eq!(lake_bytes(&env.lake()), before);
}

#[test]
fn one_of_two_origins_is_cleared_alone() {
    let env = small_lake(&["a", "b"]);
    let mirror = format!("mirror={}", env.server.url());
    answer(&env, &["ingest", "--origin", &mirror]);
    answer(&env, &["cache", "clear", "--origin", "npm", "--yes"]);
    assert!(!env.lake().join("npm").exists());
    // The remaining one is the default now.
    assert_eq!(answer(&env, &["cache", "create-index"]).lines().count(), 2);
    assert!(answer(&env, &["cache", "list"]).starts_with("v1:partition:mirror:"));
}

#[test]
fn help_shows_examples() {
    let env = small_lake(&["a"]);
    for command in [
        &["partition", "refresh"][..],
        &["partition", "fetch"],
        &["packument", "fetch"],
        &["packument", "fetch-list"],
        &["packument", "show"],
        &["packument", "export"],
        &["cache", "create-index"],
        &["cache", "list"],
        &["cache", "clear"],
        &["pivots"],
    ] {
        let help = answer(&env, &[command, &["--help"]].concat());
        assert!(help.contains(&format!("all-docs {}", command.join(" "))) && help.contains("Examples"), "{help}");
    }
}
