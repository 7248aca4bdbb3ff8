//! The notices of a command beside its result: where it deviates from the request, and those that `--quiet` keeps.

use std::fs;

use super::{exit_code, run, small_lake};
use crate::support::{stderr, stdout};

const NAMES: [&str; 6] = ["a1", "a2", "b1", "b2", "c1", "c2"];

#[test]
fn partitions_that_an_older_lake_does_not_adopt_are_reported_as_unused() {
    let env = small_lake(&NAMES);
    let set = fs::read(env.lake().join("npm/partitions.json")).unwrap();
    let told = |arguments: &[&str]| {
        let output = run(&env, &[arguments, &["--origin", "ORIGIN"]].concat());
        assert_eq!(exit_code(&output), Some(0), "{}", stderr(&output));
        assert_eq!(fs::read(env.lake().join("npm/partitions.json")).unwrap(), set);
        let told: Vec<String> =
            stderr(&output).lines().filter(|line| line.contains("is not used")).map(str::to_owned).collect();
        assert!(told.len() <= 1, "{told:?}");
        told.into_iter().next().unwrap_or_default()
    };
    fs::write(env.folder.path().join("pivots.json"), "[\"b\"]").unwrap();
    assert_eq!(
        told(&["ingest", "--partitions", "exact", "--pivots", "pivots.json"]),
        "warning: --partitions exact is not used: it is for a new lake, and this one keeps its 3 partitions, made for about \
         2 rows each"
    );
    assert!(told(&["ingest", "--partition-rows", "3"]).contains("--partition-rows 3 is not used"));
    assert!(told(&["partition", "refresh", "--partition-rows", "3"]).contains("--partition-rows 3 is not used"));
    // The settings that made the lake, or that ask for nothing, are no contradiction.
    for arguments in [
        &["ingest"][..],
        &["ingest", "--pivots", "pivots.json"],
        &["ingest", "--partition-rows", "2"],
        &["ingest", "--partitions", "derived", "--partition-rows", "2"],
        &["ingest", "--partitions", "exact", "--lake", "new", "--pivots", "pivots.json"],
        &["ingest", "--partitions", "exact", "--lake", "new", "--pivots", "pivots.json"],
        &["ingest", "--partitions", "exact", "--lake", "new"],
    ] {
        assert_eq!(told(arguments), "", "{arguments:?}");
    }
    fs::write(env.folder.path().join("other.json"), "[\"c\"]").unwrap();
    for arguments in [
        &["ingest", "--lake", "new", "--partitions", "exact", "--pivots", "other.json"][..],
        &["ingest", "--lake", "new", "--partitions", "derived"],
        &["ingest", "--lake", "new", "--partition-rows", "10000"],
    ] {
        assert!(told(arguments).ends_with("2 partitions, ranges that were taken as they are"), "{arguments:?}");
    }
}

#[test]
fn a_quiet_command_prints_results_and_errors_and_nothing_else() {
    let env = small_lake(&NAMES);
    fs::write(env.folder.path().join(".npmrc"), "_authToken=anywhere\n").unwrap();
    let arguments = ["packument", "fetch", "nobody", "--origin", "ORIGIN"];
    let output = run(&env, &arguments);
    assert_eq!(exit_code(&output), Some(6));
    assert!(stderr(&output).matches("warning: ").count() >= 2, "{}", stderr(&output));
    for quiet in ["-q", "--quiet"] {
        let output = run(&env, &[&arguments[..], &[quiet]].concat());
        assert_eq!((exit_code(&output), stdout(&output).as_str(), stderr(&output).as_str()), (Some(6), "", ""));
    }
    let output = run(&env, &["pivots", "--count", "2", "--quiet"]);
    assert!(stdout(&output).contains("\"b"), "{}", stdout(&output));
    assert_eq!(stderr(&output), "");
    let output =
        run(&env, &["pivots", "--ask", "--origin", "http://127.0.0.1:9", "--quiet", "--userconfig", "nowhere"]);
    assert!(stderr(&output).starts_with("error: "), "{}", stderr(&output));
}

#[cfg(not(feature = "query"))]
#[test]
fn a_build_without_sql_says_so() {
    let env = small_lake(&NAMES);
    for arguments in [&["query", "select 1"][..], &["query"], &["query", "--view", "x", "--help"], &["views", "--json"]]
    {
        let output = run(&env, arguments);
        assert_eq!(exit_code(&output), Some(2), "{arguments:?}");
        let told = stderr(&output);
        assert!(told.contains("this build of all-docs has no SQL") && told.contains("cargo install"), "{told}");
        assert_eq!(stdout(&output), "");
    }
    let help = stdout(&run(&env, &["--help"]));
    assert!(!help.contains("  query"), "{help}");
}
