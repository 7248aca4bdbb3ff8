//! `copy`: a lake in another place.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{answer, exit_code, run, small_lake};
use crate::support::{lake_bytes, stderr, stdout};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Returns the files of a lake with their bytes, except for the count of requests and the places of the
/// feed.
fn files(lake: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut pending = vec![lake.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => pending.push(path),
                false => files.push((path.strip_prefix(lake).unwrap().display().to_string(), fs::read(path).unwrap())),
            }
        }
    }
    files.retain(|(path, _)| path != "requests.json" && !path.ends_with("/follow.json"));
    files.sort();
    files
}

#[test]
fn a_lake_is_copied_and_the_copy_is_brought_up_to_date() {
    let env = small_lake(&["a", "b", "c", "d", "e"]);
    let planned = run(&env, &["copy", "lake", "copy", "--dry-run"]);
    assert!(planned.status.success() && !env.folder.path().join("copy").exists(), "{}", stderr(&planned));
    assert!(stderr(&planned).contains("a copy would do this"), "{}", stderr(&planned));

    let summary = json(&answer(&env, &["copy", "lake", "copy", "--json", "--verify"]));
    let partitions = summary["partitions_total"].as_u64().unwrap();
    assert!(partitions > 1 && summary["partitions_copied"] == partitions, "{summary}");
    assert!(summary["bytes_copied"].as_u64().unwrap() > 0, "{summary}");
    assert_eq!(summary["proof"]["origins"][0]["findings"], json("[]"), "{summary}");
    assert_eq!(files(&env.lake()), files(&env.folder.path().join("copy")));
    assert!(env.server.requests().is_empty(), "a copy asks no registry");

    env.server.world().publish("b", "9.0.0");
    answer(&env, &["ingest", "--origin", "ORIGIN"]);
    let told = run(&env, &["copy", "lake", "copy", "--verify"]);
    assert!(stderr(&told).contains("1 of "), "{}", stderr(&told));
    assert!(stdout(&told).contains("sound"), "{}", stdout(&told));
    assert_eq!(files(&env.lake()), files(&env.folder.path().join("copy")));
    let again = json(&answer(&env, &["copy", "lake", "copy", "--json"]));
    assert_eq!((&again["partitions_current"], &again["shards_copied"]), (&partitions.into(), &0.into()), "{again}");
    assert_eq!(again["proof"], Value::Null);
}

#[test]
fn a_copy_that_is_cut_anew_has_the_bytes_of_an_ingest() {
    let env = small_lake(&["a", "b", "c", "d", "e", "f", "g", "h"]);
    fs::write(env.folder.path().join("pivots.json"), "[\"c\", \"g\"]").unwrap();
    for (lake, rows) in [("source", "2"), ("expected", "3")] {
        let pivots = ["--pivots", "pivots.json", "--partition-rows", rows];
        answer(&env, &[&["ingest", "--origin", "ORIGIN", "--lake", lake][..], &pivots].concat());
    }
    let summary = json(&answer(&env, &["copy", "source", "cut", "--partition-rows", "3", "--json", "--verify"]));
    assert!(summary["partitions_copied"].as_u64().unwrap() > 1, "{summary}");
    let (expected, found) = (env.folder.path().join("expected"), env.folder.path().join("cut"));
    assert_eq!(lake_bytes(&expected), lake_bytes(&found));
    let refused = run(&env, &["copy", "source", "cut"]);
    assert_eq!(exit_code(&refused), Some(4));
    assert!(stderr(&refused).contains("--partition-rows 3"), "{}", stderr(&refused));
}

#[test]
fn places_that_cannot_be_copied_or_overwritten_end_with_their_codes() {
    let env = small_lake(&["a", "b", "c"]);
    fs::create_dir(env.folder.path().join("papers")).unwrap();
    fs::write(env.folder.path().join("papers/one.txt"), "words").unwrap();
    for (arguments, code, expected) in [
        (["nowhere", "copy"], 4, "there is no lake to copy at"),
        (["lake", "lake/inside"], 2, "one is in the other"),
        (["lake", "papers"], 4, "it holds one.txt"),
        (["lake", "ftp://example.test/lake"], 2, "ftp:// is not a place"),
    ] {
        let output = run(&env, &["copy", arguments[0], arguments[1]]);
        assert_eq!(exit_code(&output), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected) && stderr(&output).contains("hint: "), "{}", stderr(&output));
    }
    let unknown = run(&env, &["copy", "lake", "copy", "--origin", "mirror"]);
    assert_eq!(exit_code(&unknown), Some(2), "{}", stderr(&unknown));
    assert!(!env.folder.path().join("copy").exists());

    let shards = fs::read_dir(env.lake().join("npm/versions")).unwrap();
    let damaged = shards.map(|entry| entry.unwrap().path()).next().unwrap();
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[10] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let output = run(&env, &["copy", "lake", "copy"]);
    assert_eq!(exit_code(&output), Some(4));
    let told = stderr(&output);
    assert!(told.contains("npm/versions/") && told.contains("verify --repair"), "{told}");
}
