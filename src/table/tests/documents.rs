//! Whole documents: outcomes, tombstones, names, times, versions.

use super::*;

#[test]
fn a_document_that_is_not_a_packument_is_malformed_and_kept() {
    for (body, reason) in [
        ("\"Not Found\"", "expected an object at byte 0"),
        ("null", "expected an object at byte 0"),
        ("<!doctype html><p>busy", "expected an object at byte 0"),
        ("", "the text ends within a value at byte 0"),
        ("{\"name\":\"x\"", "the text ends within a value at byte 11"),
        ("{\"name\":\"x\"}}", "more text after the value at byte 12"),
        ("{\"error\":\"not found\"}", "it has no _id, name, time or versions: no packument"),
    ] {
        let rows = decode(body);
        rows.assert_outcome(Outcome::Malformed);
        assert_eq!(rows.decoded.detail.as_deref(), Some(reason), "{body}");
        assert_eq!(rows.batches.len(), 1, "{body}");
        let kept = rows.table(TableKind::Packuments, &["name", "rev", "size_bytes", "json"]);
        assert_eq!(kept, [format!("x|7-announced|{}|{body}", body.len())]);
    }
}

#[test]
fn a_document_that_would_blow_up_is_malformed() {
    let edges: String = (0..60_000).map(|index| format!("\"{index}\":\"\",")).collect();
    let version = format!("1.0.0-{}", "a".repeat(100_000));
    let body =
        format!(r#"{{"name":"x","versions":{{"{version}":{{"dependencies":{{{}}}}}}}}}"#, edges.trim_end_matches(','));
    let rows = decode(body);
    rows.assert_outcome(Outcome::Malformed);
    assert_eq!(rows.decoded.detail.as_deref(), Some("the rows of one of its members could take more than 256 MiB"));
}

#[test]
fn a_document_that_is_not_utf8_keeps_its_bytes() {
    let rows = decode(b"{\"name\":\"x\",\"description\":\"caf\xe9!\"}");
    rows.assert_outcome(Outcome::Present);
    assert_eq!(rows.table(TableKind::Packuments, &["json", "size_bytes"]), ["~|34"]);
    assert_eq!(rows.table(TableKind::Packuments, &["bytes"])[0].len(), 68);
    assert_eq!(rows.package(&["description"]), "caf\u{fffd}!");
    assert_eq!(rows.quirks(), ["~|json|invalid_utf8|\u{fffd}!\"}"]);
}

#[test]
fn a_document_without_a_revision_is_at_the_announced_one() {
    let own = decode_members(r#""_rev":"9-own""#);
    assert_eq!(own.package(&["rev"]), "9-own");
    assert_eq!(own.decoded.rev.unwrap().as_str(), "9-own");
    let none = decode_members(r#""time":{}"#);
    assert_eq!(none.package(&["rev"]), "7-announced");
    assert_eq!(none.table(TableKind::Packuments, &["rev", "representation"]), ["7-announced|full"]);
    assert_eq!(none.decoded.rev, None);
}

#[test]
fn a_document_of_another_name_is_recorded() {
    let rows = decode(r#"{"name":"y"}"#);
    assert_eq!(rows.decoded.served_name.as_deref(), Some("y"));
    assert_eq!(rows.package(&["name"]), "x");
    assert_eq!(rows.quirks(), ["~|name|differs_from_key|\"y\""]);
    assert_eq!(decode(r#"{"_id":"x"}"#).decoded.served_name.as_deref(), Some("x"));
}

#[test]
fn tombstones_of_either_shape() {
    let rows = decode_members(
        r#""time":{"created":"2020-01-01T00:00:00.000Z","1.0.0":"2020-01-02T00:00:00.000Z",
        "unpublished":{"time":"2020-02-01T00:00:00.000Z","versions":["1.0.0","1.0.1"]}}"#,
    );
    rows.assert_outcome(Outcome::Tombstone);
    assert_eq!(rows.package(&["unpublished_at", "version_count", "latest"]), "2020-02-01T00:00:00Z|0|~");
    let unpublished = rows.table(TableKind::Unpublished, &["version", "published_at"]);
    assert_eq!(unpublished, ["1.0.0|2020-01-02T00:00:00Z", "1.0.1|~"]);

    let rows = decode_members(
        r#""time":{"unpublished":{"name":"user","time":"2020-02-01T00:00:00.000Z","tags":{"latest":"1.0.0"},
        "versions":["1.0.0"],"maintainers":[]}},"versions":{}"#,
    );
    rows.assert_outcome(Outcome::Tombstone);
    assert_eq!(rows.table(TableKind::Unpublished, &["version", "published_at"]), ["1.0.0|~"]);
    assert_eq!(rows.quirks(), [""; 0]);
}

#[test]
fn a_null_unpublished_is_no_tombstone() {
    decode_members(r#""time":{"unpublished":null}"#).assert_outcome(Outcome::Present);
    decode_members(r#""versions":{}"#).assert_outcome(Outcome::Present);
}

#[test]
fn times_without_versions_and_versions_without_times() {
    let rows = decode(
        r#"{"name":"x","versions":{"1.0.2":{},"1.0.0":{},"1.0.1":{}},"time":{"1.0.1":"2020-01-03T00:00:00.000Z",
        "0.9.0":"2020-01-01T00:00:00.000Z","1.0.2":"2020-01-04T00:00:00.000Z","0.8.0":null}}"#,
    );
    let versions = rows.table(TableKind::Versions, &["version", "version_index", "published_at"]);
    assert_eq!(versions, ["1.0.2|1|2020-01-04T00:00:00Z", "1.0.0|2|~", "1.0.1|0|2020-01-03T00:00:00Z"]);
    let unpublished = rows.table(TableKind::Unpublished, &["version", "published_at"]);
    assert_eq!(unpublished, ["0.9.0|2020-01-01T00:00:00Z", "0.8.0|~"]);
    assert_eq!(rows.quirks(), [""; 0]);
}

#[test]
fn times_that_are_none() {
    let rows =
        decode(r#"{"name":"x","versions":{"1.0.0":{}},"time":{"created":5,"modified":"soon","1.0.0":"?","2.0.0":{}}}"#);
    assert_eq!(rows.package(&["created_at", "modified_at"]), "~|~");
    let mut quirks = rows.quirks();
    quirks.sort();
    assert_eq!(
        quirks,
        [
            "1.0.0|time|not_a_time|\"?\"",
            "2.0.0|time|not_a_time|{}",
            "~|time.created|not_a_time|5",
            "~|time.modified|not_a_time|\"soon\"",
        ]
    );
    assert_eq!(decode_members(r#""time":[]"#).quirks(), ["~|time|not_an_object|[]"]);
}

#[test]
fn versions_that_are_no_objects_are_absent() {
    let rows = decode_members(r#""versions":{"1.0.0":null,"1.0.1":"x","1.0.2":{}}"#);
    assert_eq!(rows.table(TableKind::Versions, &["version"]), ["1.0.2"]);
    assert_eq!(rows.package(&["version_count"]), "1");
    assert_eq!(rows.quirks(), ["1.0.0|versions|not_an_object|null", "1.0.1|versions|not_an_object|\"x\""]);
    assert_eq!(decode_members(r#""versions":[1]"#).quirks(), ["~|versions|not_an_object|[1]"]);
}

#[test]
fn of_repeated_keys_the_last_counts_at_the_place_of_the_first() {
    let rows = decode(
        r#"{"name":"x","versions":{"1.0.0":{"main":"a"},"2.0.0":{"main":"b","main":"c"},"1.0.0":{"main":"d"}},
        "users":{"u":true,"u":false},"description":"old","description":"new"}"#,
    );
    assert_eq!(rows.table(TableKind::Versions, &["version", "main"]), ["1.0.0|d", "2.0.0|c"]);
    assert_eq!(rows.package(&["description", "version_count", "star_count"]), "new|2|0");
    let mut quirks = rows.quirks();
    quirks.sort();
    assert_eq!(
        quirks,
        [
            "2.0.0|main|duplicate_key|\"b\"",
            "~|1.0.0|duplicate_key|{\"main\":\"a\"}",
            "~|description|duplicate_key|\"old\"",
            "~|users.u|duplicate_key|true",
            "~|users.u|falsy_star|false",
        ]
    );
}

#[test]
fn a_second_versions_object_replaces_the_first() {
    let rows = decode_members(r#""versions":{"1.0.0":{"main":"a"}},"versions":{"2.0.0":{"main":"a"}}"#);
    assert_eq!(rows.table(TableKind::Versions, &["version", "main"]), ["2.0.0|a"]);
    assert_eq!(rows.quirks(), ["~|versions|duplicate_key|{\"1.0.0\":{\"main\":\"a\"}}"]);
}

#[test]
fn names_of_javascript_objects_are_names_like_others() {
    let rows = decode_version(r#""dependencies":{"__proto__":"1","constructor":"2"}"#);
    assert_eq!(rows.edges(), ["prod|__proto__|1|~", "prod|constructor|2|~"]);
}

#[test]
fn a_security_holding_is_known_by_three_signs() {
    let holding = |latest: &str, url: &str, user: &str| {
        let body =
            format!(r#""dist-tags":{{"latest":"{latest}"}},"repository":"{url}","maintainers":[{{"name":"{user}"}}]"#);
        decode_members(&body).package(&["security_holding"])
    };
    assert_eq!(holding("0.0.1-security", "npm/security-holder", "npm"), "true");
    assert_eq!(holding("0.0.1-security", "npm/security-holder", "someone"), "false");
    assert_eq!(holding("0.0.1-security", "other/place", "npm"), "false");
    assert_eq!(holding("0.0.1", "npm/security-holder", "npm"), "false");
}

#[test]
fn an_abbreviated_document_leaves_null_what_it_cannot_know() {
    let rows = decode_as(
        "@s/x",
        Representation::Abbreviated,
        br#"{"name":"@s/x","modified":"2022-01-01T00:00:00.000Z","dist-tags":{"latest":"1.0.1"},"versions":{
        "1.0.0":{"name":"@s/x","version":"1.0.0"},"1.0.1":{"hasInstallScript":true,"deprecated":"no"}}}"#,
    );
    let package = ["scope", "rev", "modified_at", "maintainer_count", "star_count", "security_holding"];
    assert_eq!(rows.package(&package), "s|7-announced|2022-01-01T00:00:00Z|~|~|~");
    assert_eq!(rows.package(&["has_install_script", "deprecated"]), "true|no");
    let versions =
        rows.table(TableKind::Versions, &["version_index", "is_latest", "published_at", "has_install_script"]);
    assert_eq!(versions, ["0|false|~|false", "1|true|~|true"]);
    assert_eq!(rows.table(TableKind::Versions, &["exports", "dependency_count"]), ["~|0", "~|0"]);
}

#[test]
fn many_versions_that_repeat_each_other_have_all_their_rows() {
    let versions: Vec<String> = (0..40_000)
        .map(|patch| {
            format!(r#""1.0.{patch}":{{"main":"m","dependencies":{{"a":"^1","b":"2"}},"scripts":{{"t":"u"}}}}"#)
        })
        .collect();
    let rows = decode_members(&format!(r#""versions":{{{}}}"#, versions.join(",")));
    assert_eq!(rows.package(&["version_count"]), "40000");
    let edges = rows.table(TableKind::Dependencies, &["version", "dependency", "requirement"]);
    assert_eq!(edges.len(), 80_000);
    assert_eq!(edges[79_999], "1.0.39999|b|2");
    let scripts = rows.table(TableKind::Scripts, &["version", "script", "command"]);
    assert_eq!(scripts[39_999], "1.0.39999|t|u");
}

#[test]
fn the_rows_of_several_documents_keep_their_order() {
    let mut tables = DocumentTables::new(false);
    for name in ["a", "b", "c"] {
        let body = format!(r#"{{"name":"{name}","versions":{{"1.0.0":{{"dependencies":{{"d":"1"}}}}}}}}"#);
        let input =
            DocumentInput { name, announced_rev: "1-a", representation: Representation::Full, bytes: &body.into() };
        assert_eq!(tables.push(input).outcome, Outcome::Present);
    }
    assert!(tables.buffered_bytes() > 0);
    let decoded = Decoded { outcome: Outcome::Present, rev: None, served_name: None, detail: None };
    let rows = Rows { decoded, batches: tables.take_batches().unwrap() };
    assert_eq!(rows.table(TableKind::Dependencies, &["name", "dependency"]), ["a|d", "b|d", "c|d"]);
    assert_eq!(rows.table(TableKind::Packuments, &["name"]), [""; 0]);
    assert!(tables.take_batches().unwrap().is_empty());
    assert_eq!(tables.buffered_bytes(), 0);
}

#[test]
fn raw_documents_can_be_taken_before_the_other_rows() {
    let mut tables = DocumentTables::new(true);
    let push = |tables: &mut DocumentTables, name: &str| {
        let bytes = format!(r#"{{"name":"{name}","versions":{{}}}}"#).into();
        let input = DocumentInput { name, announced_rev: "1-a", representation: Representation::Full, bytes: &bytes };
        tables.push(input)
    };
    let decoded = push(&mut tables, "a");
    push(&mut tables, "b");
    let all_bytes = tables.buffered_bytes();
    let raw_bytes = tables.raw_bytes();
    let raw = tables.take_raw().unwrap().unwrap();
    assert_eq!((raw.num_rows(), tables.raw_bytes(), tables.buffered_bytes()), (2, 0, all_bytes - raw_bytes));
    assert!(tables.take_raw().unwrap().is_none());
    push(&mut tables, "c");
    let rows = Rows { decoded, batches: tables.take_batches().unwrap() };
    assert_eq!(rows.table(TableKind::Packuments, &["name"]), ["c"]);
    assert_eq!(rows.table(TableKind::Packages, &["name"]), ["a", "b", "c"]);
}
