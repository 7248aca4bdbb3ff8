//! `partition` and `packument fetch`: their requests, and the lake's content afterwards.

use std::fs;

use all_docs::sample::World;

use super::{answer, exit_code, pages_asked, run, small_lake};
use crate::support::{Env, lake_bytes, stderr, stdout};

const NAMES: [&str; 6] = ["a1", "a2", "b1", "b2", "c1", "c2"];

#[test]
fn a_refresh_lists_all_names_and_fetches_no_document() {
    let env = small_lake(&NAMES);
    env.server.world().publish("b1", "9.0.0");
    env.server.world().add_names(["b3"]);
    fs::write(env.folder.path().join("pivots.js"), "module.exports = [null, 'b', null]").unwrap();
    answer(&env, &["partition", "refresh", "--pivots", "pivots.js", "--origin", "ORIGIN"]);
    assert_eq!(pages_asked(&env).len(), 2, "a page for each range");
    assert!(env.packuments_asked().is_empty());
    let index = answer(&env, &["cache", "create-index"]);
    assert_eq!(index.lines().count(), 7);
    assert!(index.contains("b3,"), "{index}");
    // An ingest without pivots uses the lake's partitions, and requests the documents that the refresh announced.
    answer(&env, &["ingest", "--origin", "ORIGIN"]);
    assert_eq!(pages_asked(&env).len(), 3);
}

#[test]
fn a_range_brings_its_partitions_up_to_date_and_no_other() {
    let env = small_lake(&NAMES);
    env.server.world().publish("a1", "9.0.0");
    env.server.world().publish("b2", "9.0.0");
    let before = answer(&env, &["cache", "create-index"]);
    for (start, end) in [("--start-key", "--end-key"), ("--start", "--end")] {
        answer(&env, &["partition", "fetch", start, "b1", end, "b2", "--origin", "ORIGIN"]);
        let pages = pages_asked(&env);
        assert_eq!(pages.len(), 1, "{pages:?}");
        assert!(env.packuments_asked().is_empty());
    }
    let after = answer(&env, &["cache", "create-index"]);
    let changed: Vec<&str> = after.lines().filter(|line| !before.contains(line)).collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(changed[0].starts_with("b2,"), "{changed:?}");

    let none = run(&env, &["partition", "fetch", "--origin", "ORIGIN"]);
    assert_eq!(exit_code(&none), Some(2), "{}", stderr(&none));
    let empty = run(&env, &["partition", "fetch", "--start", "b", "--end", "a", "--origin", "ORIGIN"]);
    assert_eq!(exit_code(&empty), Some(2), "{}", stderr(&empty));
    assert!(pages_asked(&env).is_empty());
}

#[test]
fn partitions_are_listed_with_what_they_hold() {
    let env = small_lake(&NAMES);
    let table = answer(&env, &["partition", "list"]);
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.contains("2 rows") && table.contains("2 packuments"), "{table}");
    let listed: serde_json::Value = serde_json::from_str(&answer(&env, &["partition", "list", "--json"])).unwrap();
    assert_eq!(listed[0]["start"], serde_json::Value::Null);
    assert_eq!(listed[0]["key"], "v1:partition:npm:_:62");
    assert_eq!((&listed[1]["start"], &listed[1]["end"]), (&"b".into(), &"c".into()));
    assert_eq!((&listed[2]["rows"], &listed[2]["packuments"]), (&2.into(), &2.into()));
}

#[test]
fn documents_are_fetched_by_name_and_only_when_they_are_not_held() {
    let mut world = World::new();
    world.add_names(NAMES);
    let env = Env::new(world);
    let fetch = |names: &[&str]| {
        let arguments = [&["packument", "fetch", "--origin", "ORIGIN"], names].concat();
        run(&env, &arguments)
    };
    let first = fetch(&["b1", "c2@1.0.0"]);
    assert!(first.status.success(), "{}", stderr(&first));
    assert_eq!(env.packuments_asked(), ["b1", "c2"]);
    assert!(fetch(&["b1"]).status.success());
    assert!(env.packuments_asked().is_empty(), "it is held at the listed revision");
    env.server.world().publish("b1", "9.0.0");
    assert!(fetch(&["b1", "c2"]).status.success());
    assert_eq!(env.packuments_asked(), ["b1"]);
    let refreshed = fetch(&["c2", "--refresh"]);
    assert!(refreshed.status.success());
    assert!(stderr(&refreshed).contains("1 not modified"), "{}", stderr(&refreshed));
    assert_eq!(answer(&env, &["packument", "show", "b1", "--select", "versions|keys|length"]), "2\n");

    let unlisted = fetch(&["nobody"]);
    assert_eq!(exit_code(&unlisted), Some(6), "{}", stderr(&unlisted));
    assert!(stderr(&unlisted).contains("nobody"), "{}", stderr(&unlisted));
}

#[test]
fn a_lake_of_single_fetches_ends_as_one_ingest() {
    let mut world = World::new();
    world.add_names(NAMES);
    let env = Env::new(world);
    fs::write(env.folder.path().join("list.txt"), "# two\nb1@1.0.0\n\n@x/none # no\n").unwrap();
    fs::write(env.folder.path().join("list.json"), "[\"a1\", \"a2\", \"b2\", \"c1\", \"c2\"]").unwrap();
    for list in ["list.txt", "list.json"] {
        run(&env, &["packument", "fetch-list", list, "--origin", "ORIGIN", "--lake", "pieces"]);
    }
    assert_eq!(env.packuments_asked(), NAMES);
    answer(&env, &["ingest", "--origin", "ORIGIN", "--lake", "pieces"]);
    assert!(env.packuments_asked().is_empty(), "nothing is fetched twice");
    answer(&env, &["ingest", "--origin", "ORIGIN", "--lake", "whole"]);
    let bytes = |lake: &str| {
        let mut files = lake_bytes(&env.folder.path().join(lake));
        files.retain(|name, _| name.ends_with(".parquet"));
        files
    };
    assert_eq!(bytes("pieces"), bytes("whole"));
    let empty = run(&env, &["packument", "fetch-list", "/dev/null", "--origin", "ORIGIN"]);
    assert_eq!((exit_code(&empty), stdout(&empty).as_str()), (Some(2), ""));
}
