//! `cache create-index`: sorted lines, and the changes since older ones.

use std::fs;

use super::{answer, exit_code, run, small_lake};
use crate::support::stderr;

#[test]
fn an_index_is_every_name_in_the_order_of_bytes() {
    let env = small_lake(&["b", "a,comma", "a", "Z", "@s/x", "a-b"]);
    let expected = |name: &str| format!("{name},{}\n", env.server.world().revision(name.trim_matches('"')).unwrap());
    let lines: String = ["@s/x", "Z", "a", "\"a,comma\"", "a-b", "b"].into_iter().map(expected).collect();
    assert_eq!(answer(&env, &["cache", "create-index"]), lines);
    let json = answer(&env, &["cache", "create-index", "--format", "json", "--output", "index.json"]);
    assert_eq!(json, "");
    let rows: Vec<serde_json::Value> =
        serde_json::from_str(&fs::read_to_string(env.folder.path().join("index.json")).unwrap()).unwrap();
    assert_eq!((rows.len(), &rows[3]["name"]), (6, &"a,comma".into()));
    assert!(env.server.requests().is_empty());
}

#[test]
fn a_difference_names_what_was_added_changed_and_removed() {
    let env = small_lake(&["a", "b", "c", "d"]);
    let old = answer(&env, &["cache", "create-index"]);
    let removed = env.server.world().revision("d").unwrap();
    {
        let mut world = env.server.world();
        world.publish("b", "9.0.0");
        world.delete("d");
        world.add_names(["bb"]);
    }
    answer(&env, &["partition", "refresh", "--origin", "ORIGIN"]);
    let now = |name: &str| env.server.world().revision(name).unwrap();
    let expected = format!("changed,b,{}\nadded,bb,{}\nremoved,d,{removed}\n", now("b"), now("bb"));
    // The predecessor's files are not sorted, and hold names of two ranges twice.
    let mut unsorted: Vec<&str> = old.lines().rev().collect();
    unsorted.push(unsorted[0]);
    fs::write(env.folder.path().join("old.csv"), &old).unwrap();
    fs::write(env.folder.path().join("unsorted.csv"), unsorted.join("\n")).unwrap();
    for index in ["old.csv", "unsorted.csv"] {
        assert_eq!(answer(&env, &["cache", "create-index", "--diff", index]), expected, "{index}");
    }
    let json = answer(&env, &["cache", "create-index", "--diff", "old.csv", "--format", "json"]);
    let changes: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert_eq!((&changes[2]["change"], &changes[2]["name"]), (&"removed".into(), &"d".into()));

    fs::write(env.folder.path().join("bad.csv"), "a,1-x\nnot an index\n").unwrap();
    let bad = run(&env, &["cache", "create-index", "--diff", "bad.csv"]);
    assert_eq!(exit_code(&bad), Some(2));
    assert!(stderr(&bad).contains("line 2"), "{}", stderr(&bad));
}
