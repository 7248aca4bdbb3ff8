//! The results of node's `semver` 7.8, range by range.

use super::*;

fn contains(range: &str, version: &str) -> bool {
    let Some(version) = Semver::parse(version) else { return false };
    SemverRange::parse(range).is_some_and(|range| range.contains(&version))
}

fn check(range: &str, inside: &[&str], outside: &[&str]) {
    for version in inside {
        assert!(contains(range, version), "{version} is in {range:?}");
    }
    for version in outside {
        assert!(!contains(range, version), "{version} is not in {range:?}");
    }
}

#[test]
fn carets_and_tildes() {
    check("^1.2.3", &["1.2.3", "1.9.0"], &["1.2.2", "2.0.0", "2.0.0-rc.1", "1.3.0-rc.1"]);
    check("^0.2.3", &["0.2.3", "0.2.9"], &["0.3.0", "1.0.0"]);
    check("^0.0.3", &["0.0.3"], &["0.0.4"]);
    check("^0.0", &["0.0.0", "0.0.9"], &["0.1.0"]);
    check("^0.x", &["0.0.0", "0.9.0"], &["1.0.0"]);
    check("^1.x.9", &["1.0.0"], &["2.0.0"]);
    check("^ 1.2", &["1.2.0", "1.3.0"], &["1.1.0"]);
    check("~1.2.3", &["1.2.3", "1.2.9"], &["1.3.0"]);
    check("~> 1", &["1.0.0", "1.9.9"], &["2.0.0"]);
    check("~*", &["0.0.0", "9.9.9"], &["1.0.0-0"]);
    check("^9007199254740991.0.0", &[], &["9007199254740991.0.0"]);
}

#[test]
fn comparisons_and_parts_that_are_missing() {
    check("", &["0.0.0", "1.2.3"], &["1.2.3-rc.1"]);
    check("*", &["0.0.0"], &["0.0.0-0"]);
    check("1.2", &["1.2.0", "1.2.9"], &["1.3.0", "1.3.0-0"]);
    check(">1", &["2.0.0", "9007199254740991.0.0"], &["1.9.9"]);
    check(">1.2", &["1.3.0"], &["1.2.9"]);
    check("<=1.2", &["1.2.9", "0.1.0"], &["1.3.0"]);
    check("<1.2", &["1.1.9"], &["1.2.0", "1.2.0-0"]);
    check("= v1.2.3", &["1.2.3", "1.2.3+build"], &["1.2.4"]);
    check(">= 1.2.3 < 2", &["1.2.3", "1.9.0"], &["2.0.0"]);
    check("1.2 - 2", &["1.2.0", "2.9.9"], &["1.1.9", "3.0.0"]);
    check("1.2.3 - 2.3.4", &["1.2.3", "2.3.4"], &["2.3.5"]);
    check(">*", &[], &["1.0.0"]);
    check("1.2.3+build", &["1.2.3"], &["1.2.4"]);
}

#[test]
fn alternatives_and_prereleases() {
    check("1 || >=3 <4", &["1.5.0", "3.1.0"], &["2.0.0", "4.0.0"]);
    check("||", &["1.0.0"], &["1.0.0-a"]);
    check(">=1.2.3-beta.2", &["1.2.3-beta.10", "1.2.3", "2.0.0"], &["1.2.3-beta.1", "1.2.4-beta.3"]);
    check("^1.2.3-beta.2", &["1.2.3-rc", "1.9.0"], &["1.2.3-alpha", "2.0.0-0"]);
    // Beside an alternative that is any version, the versions of the others do not count.
    check("* || 1.2.3-alpha", &["1.2.3"], &["1.2.3-alpha"]);
}

#[test]
fn a_text_that_is_not_a_range_contains_nothing() {
    for range in [
        "latest",
        "1.2.3.4",
        "01.2.3",
        "1.02",
        ">",
        "~",
        "1.2.3 foo",
        "1.2.3,<2",
        "> = 1",
        "1.2.3beta",
        "1.x.3",
        "*.1",
        "1.2-rc",
        "1.2.3-01",
        "1.2.3-",
        "==1.2.3",
        "<>1",
        "!1",
        "1..2",
        ".1",
        "1.",
        "git+https://x",
        "file:../x",
        "npm:a@1",
        ">=1.2.3<2",
        "1.2.3 - ",
        "- 1.2.3",
        "1.2.3 || foo",
        "9007199254740992.0.0",
        "é",
        "1.2.3-é",
        "\0",
    ] {
        assert_eq!(SemverRange::parse(range).map(|range| range.alternatives), None, "{range:?}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_is_too_odd_to_be_read(text in "[-0-9.xX*<>=~^v| +a\u{e9}]{0,24}") {
        let _ = contains(&text, "1.2.3-alpha.1");
        let _ = contains("^1.2", &text);
    }
}
