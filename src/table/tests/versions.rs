//! Members of a version, each in every shape.

use super::*;

/// Checks the columns and the quirks of one member of a version.
#[track_caller]
fn assert_version(members: &str, columns: &[&str], expected: &str, quirks: &[&str]) {
    let rows = decode_version(members);
    rows.assert_outcome(Outcome::Present);
    assert_eq!(rows.version(columns), expected, "{members}");
    let expected: Vec<_> = quirks.iter().map(|quirk| format!("1.0.0|{quirk}")).collect();
    assert_eq!(rows.quirks(), expected, "{members}");
}

#[test]
fn versions_by_their_keys() {
    let columns = &["version", "major", "minor", "patch", "prerelease", "build"];
    let parts = |key: &str| {
        let rows = decode_members(&format!(r#""versions":{{"{key}":{{}}}}"#));
        (rows.version(columns), rows.table(TableKind::Quirks, &["field", "code", "sample"]))
    };
    assert_eq!(parts("1.2.3-a.1+b"), ("1.2.3-a.1+b|1|2|3|a.1|b".into(), vec![]));
    for odd in ["v1.0", "1.0", "1.0.x", "", "1000000000000000000.0.0"] {
        assert_eq!(parts(odd), (format!("{odd}|~|~|~|~|~"), vec![format!("version|not_semver|{odd}")]), "{odd}");
    }
    assert_version(r#""version":"1.0.1""#, &["version"], "1.0.0", &[r#"version|differs_from_key|"1.0.1""#]);
    assert_version(r#""version":"""#, &["version"], "1.0.0", &[r#"version|differs_from_key|"""#]);
    assert_version(r#""version":5"#, &["version"], "1.0.0", &["version|not_a_string|5"]);
    assert_version(r#""version":null"#, &["version"], "1.0.0", &[]);
}

#[test]
fn deprecated_is_what_javascript_takes_for_true() {
    for (value, expected, quirk) in [
        (r#""use y""#, "use y", None),
        (r#""""#, "~", None),
        ("false", "~", None),
        ("null", "~", None),
        ("0", "~", None),
        ("true", "", Some("deprecated|read_from_boolean|true")),
        ("1", "", Some("deprecated|read_from_number|1")),
        ("{}", "", Some("deprecated|read_from_object|{}")),
    ] {
        let quirks: Vec<_> = quirk.into_iter().collect();
        assert_version(&format!(r#""deprecated":{value}"#), &["deprecated"], expected, &quirks);
    }
}

#[test]
fn publishers() {
    let columns = &["published_by", "published_by_email", "trusted_publisher"];
    assert_version(r#""_npmUser":{"name":"u","email":"e"}"#, columns, "u|e|~", &[]);
    assert_version(
        r#""_npmUser":{"name":"bot","trustedPublisher":{"id":"github","oidcConfigId":"oidc:1"}}"#,
        columns,
        "bot|~|github",
        &[],
    );
    assert_version(r#""_npmUser":"u <e>""#, columns, "u|e|~", &[r#"_npmUser|read_from_string|"u <e>""#]);
    assert_version(r#""_npmUser":"u""#, columns, "u|~|~", &[r#"_npmUser|read_from_string|"u""#]);
    assert_version(r#""_npmUser":[]"#, columns, "~|~|~", &["_npmUser|not_an_object|[]"]);
    assert_version(r#""_npmUser":null"#, columns, "~|~|~", &[]);
    assert_version(
        r#""_npmUser":{"name":{},"email":["e"]}"#,
        columns,
        "~|~|~",
        &["_npmUser.name|not_a_string|{}", r#"_npmUser.email|not_a_string|["e"]"#],
    );
    let rows = decode_members(
        r#""versions":{"1.0.0":{"_npmUser":{"name":"u","email":"e"}},"1.0.1":{"_npmUser":{"name":"u","email":"e"}},"1.0.2":{}}"#,
    );
    assert_eq!(rows.table(TableKind::Versions, columns), ["u|e|~", "u|e|~", "~|~|~"]);
}

#[test]
fn funding_is_the_first_address_of_each_documented_shape() {
    for (value, expected, quirks) in [
        (r#""https://f""#, "https://f", vec![]),
        (r#"{"type":"t","url":"u"}"#, "u", vec![]),
        (r#"{"type":"t"}"#, "~", vec![]),
        ("{}", "~", vec![]),
        ("null", "~", vec![]),
        ("[]", "~", vec![]),
        (r#"["a",{"url":"b"}]"#, "a", vec![]),
        (r#"[{"type":"t"},{"url":"b"},"c"]"#, "b", vec![]),
        (r#"[null,{"url":"b"},7]"#, "b", vec!["funding|item_dropped|null", "funding|item_dropped|7"]),
        (r#"[["a"]]"#, "~", vec![r#"funding|item_dropped|["a"]"#]),
        (r#"{"url":7}"#, "~", vec!["funding.url|not_a_string|7"]),
        (r#"[{"url":["u"]},"b"]"#, "b", vec![r#"funding.url|not_a_string|["u"]"#]),
        ("false", "~", vec!["funding|not_an_object|false"]),
        ("5", "~", vec!["funding|not_an_object|5"]),
    ] {
        assert_version(&format!(r#""funding":{value}"#), &["funding_url"], expected, &quirks);
    }
    let rows = decode_members(
        r#""versions":{"1.0.0":{"funding":"f"},"1.0.1":{"funding":"f"},"1.0.2":{},"1.0.3":{"funding":{"url":"g"}}}"#,
    );
    assert_eq!(rows.table(TableKind::Versions, &["funding_url"]), ["f", "f", "~", "g"]);
}

#[test]
fn exports_is_whether_there_is_such_a_member() {
    for value in [r#"{".":"./i.js"}"#, r#""./i.js""#, "[]", "false", "null", "7"] {
        assert_version(&format!(r#""exports":{value}"#), &["exports"], "true", &[]);
    }
    assert_version(r#""main":"i.js""#, &["exports"], "false", &[]);
}

#[test]
fn dependencies_are_counted_without_those_of_another_kind() {
    let count = |members: &str| {
        let rows = decode_version(members);
        let edges = rows.edges().iter().filter(|edge| edge.starts_with("prod|")).count();
        assert_eq!(rows.version(&["dependency_count"]), edges.to_string(), "{members}");
        edges
    };
    assert_eq!(count(r#""main":"m""#), 0);
    assert_eq!(count(r#""dependencies":{}"#), 0);
    assert_eq!(count(r#""dependencies":null"#), 0);
    assert_eq!(count(r#""dependencies":7"#), 0);
    assert_eq!(count(r#""dependencies":{"a":"1","b":2,"a":"3"}"#), 2);
    assert_eq!(count(r#""dependencies":["a@1","b"]"#), 2);
    let others = r#""devDependencies":{"c":"1"},"peerDependencies":{"d":"1"},"optionalDependencies":{"e":"1"}"#;
    assert_eq!(count(&format!(r#""dependencies":{{"a":"1"}},{others},"bundleDependencies":true"#)), 1);
    assert_eq!(count(others), 0);
    let rows = decode_members(
        r#""versions":{"1.0.0":{"dependencies":{"a":"1","b":"1"}},"1.0.1":{"dependencies":{"a":"1","b":"1"}},"1.0.2":{}}"#,
    );
    assert_eq!(rows.table(TableKind::Versions, &["dependency_count"]), ["2", "2", "0"]);
}

#[test]
fn plain_texts() {
    assert_version(r#""main":["a"]"#, &["main"], "~", &[r#"main|not_a_string|["a"]"#]);
    assert_version(r#""main":false"#, &["main"], "~", &["main|not_a_string|false"]);
    assert_version(r#""type":"module""#, &["module_type"], "module", &[]);
    assert_version(r#""typings":"t.d.ts""#, &["types"], "t.d.ts", &[]);
    assert_version(r#""types":"a","typings":"b""#, &["types"], "a", &[]);
    assert_version(r#""description":"a\nb""#, &["description"], "a\nb", &[]);
    assert_version(r#""_hasShrinkwrap":"no""#, &["has_shrinkwrap"], "~", &[r#"_hasShrinkwrap|not_a_boolean|"no""#]);
    assert_version(
        r#""gitHead":"c","_npmVersion":"6","_nodeVersion":"10""#,
        &["git_head", "npm_version", "node_version"],
        "c|6|10",
        &[],
    );
}

#[test]
fn install_scripts() {
    let has = |scripts: &str| decode_version(&format!(r#""scripts":{scripts}"#)).version(&["has_install_script"]);
    assert_eq!(has(r#"{"postinstall":"node x"}"#), "true");
    assert_eq!(has(r#"{"preinstall":""}"#), "false");
    assert_eq!(has(r#"{"test":"t"}"#), "false");
    let rows = decode_version(r#""scripts":{"blanket":{"a":1},"test":"t","x":null}"#);
    assert_eq!(rows.table(TableKind::Scripts, &["script", "command"]), ["blanket|~", "test|t", "x|~"]);
    assert_eq!(rows.quirks(), [r#"1.0.0|scripts.blanket|not_a_string|{"a":1}"#]);
    assert_version(r#""scripts":"""#, &["has_install_script"], "false", &[r#"scripts|not_an_object|"""#]);
}

#[test]
fn engines() {
    let columns = &["engines_node", "engines_npm"];
    assert_version(r#""engines":{"node":">=1","npm":"*"}"#, columns, ">=1|*", &[]);
    assert_version(
        r#""engines":["node >= 0.8","npm","x"]"#,
        columns,
        ">= 0.8|",
        &[r#"engines|read_from_list|["node >= 0.8","npm","x"]"#],
    );
    assert_version(r#""engines":[{"node":"1"}]"#, columns, "1|~", &[r#"engines|read_from_list|[{"node":"1"}]"#]);
    assert_version(r#""engines":"node>=0.6""#, columns, ">=0.6|~", &[r#"engines|read_from_string|"node>=0.6""#]);
    assert_version(r#""engines":{"node":null}"#, columns, "~|~", &[]);
    assert_version(r#""engines":{"node":4}"#, columns, "~|~", &["engines.node|not_a_string|4"]);
    assert_version(r#""engines":8"#, columns, "~|~", &["engines|not_an_object|8"]);
}

#[test]
fn system_names() {
    assert_version(r#""os":["linux","!win32"],"cpu":"x64""#, &["os", "cpu", "libc"], "[linux, !win32]|[x64]|~", &[]);
    assert_version(r#""libc":[null]"#, &["libc"], "[]", &["libc|item_dropped|null"]);
    assert_version(r#""os":{}"#, &["os"], "~", &["os|not_a_list|{}"]);
}

#[test]
fn commands() {
    assert_version(
        r#""bin":{"a":"a.js","b":"./b.js"}"#,
        &["bin"],
        "[{name: a, path: a.js}, {name: b, path: ./b.js}]",
        &[],
    );
    assert_version(r#""bin":"cli.js""#, &["bin"], "[{name: x, path: cli.js}]", &[]);
    assert_version(
        r#""bin":["bin/a","b"]"#,
        &["bin"],
        "[{name: a, path: bin/a}, {name: b, path: b}]",
        &[r#"bin|read_from_list|["bin/a","b"]"#],
    );
    assert_version(r#""bin":{"a":null}"#, &["bin"], "[]", &["bin|item_dropped|null"]);
    assert_version(r#""bin":null"#, &["bin"], "~", &[]);
    assert_version(r#""bin":1"#, &["bin"], "~", &["bin|not_an_object|1"]);
    let scoped = decode_as("@s/x", Representation::Full, br#"{"name":"@s/x","versions":{"1.0.0":{"bin":"c"}}}"#);
    assert_eq!(scoped.version(&["bin"]), "[{name: x, path: c}]");
}

#[test]
fn archives() {
    let columns =
        &["tarball_url", "file_count", "unpacked_size_bytes", "signature_keyids", "provenance_predicate_type"];
    let attested = &["provenance_predicate_type", "attestations_url"];
    assert_version(
        r#""dist":{"attestations":{"url":"u","provenance":{"predicateType":"slsa"}}}"#,
        attested,
        "slsa|u",
        &[],
    );
    assert_version(r#""dist":{"attestations":{"url":null}}"#, attested, "~|~", &[]);
    assert_version(
        r#""dist":{"attestations":{"url":{}}}"#,
        attested,
        "~|~",
        &["dist.attestations.url|not_a_string|{}"],
    );
    assert_version(r#""dist":{"attestations":"u"}"#, attested, "~|~", &[r#"dist.attestations|not_an_object|"u""#]);
    assert_version(
        r#""dist":{"tarball":"t","fileCount":3.0,"unpackedSize":1e3,"signatures":[{"keyid":"k","sig":"s"}],
        "attestations":{"url":"u","provenance":{"predicateType":"slsa"}}}"#
            .replace('\n', "")
            .as_str(),
        columns,
        "t|3|1000|[k]|slsa",
        &[],
    );
    assert_version(r#""dist":{"unpackedSize":5000000000,"signatures":[]}"#, columns, "~|~|5000000000|[]|~", &[]);
    assert_version(
        r#""dist":{"unpackedSize":{"a":1},"fileCount":1.5}"#,
        columns,
        "~|~|~|~|~",
        &["dist.fileCount|not_an_integer|1.5", r#"dist.unpackedSize|not_an_integer|{"a":1}"#],
    );
    assert_version(
        r#""dist":{"fileCount":100000000000000000000}"#,
        &["file_count"],
        "~",
        &["dist.fileCount|not_an_integer|100000000000000000000"],
    );
    assert_version(r#""dist":"t""#, columns, "~|~|~|~|~", &[r#"dist|not_an_object|"t""#]);
    assert_version(
        r#""dist":{"tarball":1,"signatures":{}}"#,
        columns,
        "~|~|~|~|~",
        &["dist.tarball|not_a_string|1", "dist.signatures|not_a_list|{}"],
    );
}

#[test]
fn dependencies_in_every_shape() {
    let of = |members: &str| {
        let rows = decode_version(members);
        (rows.edges(), rows.quirks().join(" "))
    };
    let edges = |edges: &[&str], quirks: &str| (edges.iter().map(|&edge| edge.to_owned()).collect(), quirks.to_owned());
    assert_eq!(
        of(r#""devDependencies":{"b":"2"},"dependencies":{"a":"^1","":"","x y":"npm:z@1"}"#),
        edges(&["prod|a|^1|~", "prod|||~", "prod|x y|npm:z@1|~", "dev|b|2|~"], "")
    );
    assert_eq!(
        of(r#""dependencies":{"a":{"version":"1"},"b":null,"c":false}"#),
        edges(
            &["prod|a|~|~", "prod|b|~|~", "prod|c|~|~"],
            r#"1.0.0|dependencies.a|not_a_string|{"version":"1"} 1.0.0|dependencies.c|not_a_string|false"#
        )
    );
    assert_eq!(
        of(r#""dependencies":["a@1","@s/b >=2","c",{"d":1},"a@2"]"#),
        edges(
            &["prod|a|1|~", "prod|@s/b|>=2|~", "prod|c|~|~"],
            r#"1.0.0|dependencies|read_from_list|["a@1","@s/b >=2","c",{"d":1},"a@2"] 1.0.0|dependencies|item_dropped|{"d":1}"#
        )
    );
    assert_eq!(
        of(r#""optionalDependencies":"a, b@2""#),
        edges(&["optional|a|~|~", "optional|b|2|~"], r#"1.0.0|optionalDependencies|read_from_string|"a, b@2""#)
    );
    for value in ["5", "true", r#""""#] {
        let quirk = format!("1.0.0|dependencies|not_an_object|{value}");
        assert_eq!(of(&format!(r#""dependencies":{value}"#)), edges(&[], &quirk));
    }
}

#[test]
fn peers_and_what_is_optional_of_them() {
    let rows = decode_version(
        r#""peerDependencies":{"a":"1","b":"2","c":"3"},
        "peerDependenciesMeta":{"a":{"optional":true},"b":null,"c":{"optional":"yes"},"d":{"optional":true}}"#,
    );
    assert_eq!(rows.edges(), ["peer|a|1|true", "peer|b|2|false", "peer|c|3|false"]);
    assert_eq!(rows.quirks(), ["1.0.0|peerDependenciesMeta.c.optional|not_a_boolean|\"yes\""]);
    let rows = decode_version(r#""peerDependencies":{"a":"1"},"peerDependenciesMeta":{"a":true}"#);
    assert_eq!(rows.quirks(), ["1.0.0|peerDependenciesMeta.a|not_an_object|true"]);
}

#[test]
fn bundled_in_every_shape() {
    for (members, expected, quirks) in [
        (r#""bundleDependencies":["a","b"],"bundledDependencies":["b","c"]"#, vec!["a", "b", "c"], vec![]),
        (r#""bundledDependencies":["a"]"#, vec!["a"], vec![]),
        (r#""bundleDependencies":false"#, vec![], vec![]),
        (r#""bundleDependencies":[true]"#, vec![], vec!["1.0.0|bundleDependencies|item_dropped|true"]),
        (
            r#""bundleDependencies":{"a":"1"}"#,
            vec!["a"],
            vec![r#"1.0.0|bundleDependencies|read_from_object|{"a":"1"}"#],
        ),
        (r#""bundleDependencies":7"#, vec![], vec!["1.0.0|bundleDependencies|not_a_list|7"]),
    ] {
        let rows = decode_version(members);
        let expected: Vec<_> = expected.into_iter().map(|name| format!("bundled|{name}|~|~")).collect();
        assert_eq!(rows.edges(), expected, "{members}");
        assert_eq!(rows.quirks(), quirks, "{members}");
    }
    let rows = decode_version(r#""dependencies":{"a":"1"},"bundleDependencies":true"#);
    assert_eq!(rows.edges(), ["prod|a|1|~", "bundled|a|~|~"]);
}

#[test]
fn the_members_that_a_version_has() {
    let rows = decode_version(r#""name":"x","odd":1,"directories":{"lib":"l","bin":"b"},"esc\u0041pe":2"#);
    assert_eq!(rows.version(&["fields"]), "[name, odd, directories, escApe, directories.lib, directories.bin]");
    let rows = decode_version(r#""directories":"lib""#);
    assert_eq!(rows.version(&["fields"]), "[directories]");
    assert_eq!(rows.quirks(), ["1.0.0|directories|not_an_object|\"lib\""]);
}

#[test]
fn a_version_that_repeats_the_one_before_has_its_own_rows_and_quirks() {
    let members = r#""main":1,"license":5,"dependencies":{"a":"1","b":2},"scripts":{"t":"u","v":{}},"directories":[]"#;
    let rows = decode_members(&format!(r#""versions":{{"1.0.0":{{{members}}},"1.0.1":{{{members}}}}}"#));
    let edges = rows.table(TableKind::Dependencies, &["version", "dependency", "requirement"]);
    assert_eq!(edges, ["1.0.0|a|1", "1.0.0|b|~", "1.0.1|a|1", "1.0.1|b|~"]);
    let quirks = rows.table(TableKind::Quirks, &["version", "field"]);
    let fields = ["dependencies.b", "scripts.v", "license", "main", "directories"];
    let expected: Vec<_> =
        ["1.0.0", "1.0.1"].iter().flat_map(|version| fields.map(|field| format!("{version}|{field}"))).collect();
    assert_eq!(quirks, expected);
}

#[test]
fn numbers_that_begin_alike_are_not_the_same() {
    let rows = decode_members(r#""versions":{"1.0.0":{"dist":{"fileCount":1}},"1.0.1":{"dist":{"fileCount":12}}}"#);
    assert_eq!(rows.table(TableKind::Versions, &["file_count"]), ["1", "12"]);
    let rows =
        decode_members(r#""versions":{"1.0.0":{"deprecated":1},"1.0.1":{"deprecated":10},"1.0.2":{"deprecated":1}}"#);
    assert_eq!(rows.table(TableKind::Quirks, &["version", "sample"]), ["1.0.0|1", "1.0.1|10", "1.0.2|1"]);
}

#[test]
fn members_in_another_order_or_missing_are_still_found() {
    let rows = decode_members(
        r#""versions":{"1.0.0":{"a":1,"main":"m","type":"t","types":"d"},"1.0.1":{"types":"d","type":"t","main":"m","a":1},
        "1.0.2":{"main":"n"},"1.0.3":{"a":1,"type":"t","new":{},"main":"m"}}"#,
    );
    let versions = rows.table(TableKind::Versions, &["main", "module_type", "types", "fields"]);
    assert_eq!(
        versions,
        ["m|t|d|[a, main, type, types]", "m|t|d|[types, type, main, a]", "n|~|~|[main]", "m|t|~|[a, type, new, main]",]
    );
    assert_eq!(rows.quirks(), [""; 0]);
}
