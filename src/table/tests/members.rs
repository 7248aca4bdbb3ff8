//! Members of the document, each in every shape.

use super::*;

/// Checks the columns and the quirks of one member of the document.
#[track_caller]
fn assert_package(members: &str, columns: &[&str], expected: &str, quirks: &[&str]) {
    let rows = decode_members(members);
    rows.assert_outcome(Outcome::Present);
    assert_eq!(rows.package(columns), expected, "{members}");
    assert_eq!(rows.quirks(), quirks, "{members}");
}

#[test]
fn licenses() {
    for (members, expected, quirk) in [
        (r#""license":"MIT""#, "MIT", None),
        (r#""license":"""#, "", None),
        (r#""license":null"#, "~", None),
        (r#""license":{"type":"MIT","url":"http://m"}"#, "MIT", None),
        (r#""license":["MIT"]"#, "MIT", None),
        (r#""license":[]"#, "~", None),
        (r#""licenses":[{"type":"MIT"}]"#, "MIT", None),
        (r#""licenses":"MIT""#, "MIT", None),
        (r#""license":{"url":"http://m"}"#, "~", Some(r#"~|license|not_a_string|{"url":"http://m"}"#)),
        (r#""license":true"#, "~", Some("~|license|not_a_string|true")),
        (r#""licence":"MIT""#, "MIT", Some(r#"~|licence|read_from_other_member|"MIT""#)),
        (
            r#""licenses":[{"type":"MIT"},"GPL"]"#,
            "(MIT OR GPL)",
            Some(r#"~|licenses|read_from_list|[{"type":"MIT"},"GPL"]"#),
        ),
        (r#""license":[5,"MIT"]"#, "MIT", Some("~|license|item_dropped|5")),
    ] {
        let quirks: Vec<_> = quirk.into_iter().collect();
        assert_package(members, &["license"], expected, &quirks);
    }
    let rows = decode_members(r#""license":1,"licenses":["MIT"]"#);
    assert_eq!(rows.package(&["license"]), "MIT");
    assert_eq!(rows.quirks(), ["~|license|not_a_string|1"]);
}

#[test]
fn repositories() {
    let columns = &["repository_type", "repository_url", "repository_directory"];
    for (members, expected, quirk) in [
        (r#""repository":{"type":"git","url":"u","directory":"d"}"#, "git|u|d", None),
        (r#""repository":{"type":"git"}"#, "git|~|~", None),
        (r#""repository":"user/repo""#, "~|user/repo|~", None),
        (r#""repository":null"#, "~|~|~", None),
        (r#""repository":[]"#, "~|~|~", Some("~|repository|read_from_list|[]")),
        (
            r#""repository":[{"type":"git","url":"u"},"v"]"#,
            "git|u|~",
            Some(r#"~|repository|read_from_list|[{"type":"git","url":"u"},"v"]"#),
        ),
        (r#""repositories":"u""#, "~|u|~", Some(r#"~|repositories|read_from_other_member|"u""#)),
        (r#""repository":7"#, "~|~|~", Some("~|repository|not_an_object|7")),
        (r#""repository":{"url":["u"]}"#, "~|~|~", Some(r#"~|repository.url|not_a_string|["u"]"#)),
    ] {
        let quirks: Vec<_> = quirk.into_iter().collect();
        assert_package(members, columns, expected, &quirks);
    }
}

#[test]
fn home_pages_and_bugs() {
    assert_package(r#""homepage":"h""#, &["homepage"], "h", &[]);
    assert_package(r#""homepage":["h"]"#, &["homepage"], "h", &[r#"~|homepage|read_from_list|["h"]"#]);
    assert_package(r#""homepage":[""]"#, &["homepage"], "", &[r#"~|homepage|read_from_list|[""]"#]);
    assert_package(r#""homepage":false"#, &["homepage"], "~", &["~|homepage|not_a_string|false"]);
    assert_package(r#""bugs":{"url":"b","email":"e"}"#, &["bugs_url"], "b", &[]);
    assert_package(r#""bugs":{"email":"e"}"#, &["bugs_url"], "~", &[]);
    assert_package(r#""bugs":"http://b""#, &["bugs_url"], "http://b", &[]);
    assert_package(r#""bugs":"a@b.c""#, &["bugs_url"], "~", &[r#"~|bugs|not_a_url|"a@b.c""#]);
    assert_package(r#""bugs":[1]"#, &["bugs_url"], "~", &["~|bugs|not_an_object|[1]"]);
}

#[test]
fn authors() {
    let columns = &["author_name", "author_email", "author_url"];
    assert_package(r#""author":{"name":"A","email":"e","url":"u"}"#, columns, "A|e|u", &[]);
    assert_package(r#""author":"A B <e@f> (u)""#, columns, "A B|e@f|u", &[]);
    assert_package(r#""author":"A \"B\" <e@f>""#, columns, "A \"B\"|e@f|~", &[]);
    assert_package(r#""author":["A <e>"]"#, columns, "A|e|~", &[r#"~|author|read_from_list|["A <e>"]"#]);
    assert_package(r#""author":5"#, columns, "~|~|~", &["~|author|not_an_object|5"]);
    assert_package(r#""author":{"name":["A"]}"#, columns, "~|~|~", &[r#"~|author.name|not_a_string|["A"]"#]);
}

#[test]
fn keywords() {
    let list = |members| decode_members(members).package(&["keywords"]);
    assert_eq!(list(r#""keywords":["a","b c",""]"#), "[a, b c, ]");
    assert_eq!(list(r#""keywords":null"#), "~");
    assert_eq!(list(r#""keywords":[]"#), "[]");
    assert_package(
        r#""keywords":"a, b c,,d""#,
        &["keywords"],
        "[a, b c, d]",
        &[r#"~|keywords|read_from_string|"a, b c,,d""#],
    );
    assert_package(r#""keywords":"a  b""#, &["keywords"], "[a, b]", &[r#"~|keywords|read_from_string|"a  b""#]);
    assert_package(
        r#""keywords":["a",["b",["c"]],5]"#,
        &["keywords"],
        "[a, b, c]",
        &[
            r#"~|keywords|read_from_list|["b",["c"]]"#,
            r#"~|keywords|read_from_list|["c"]"#,
            "~|keywords|item_dropped|5",
        ],
    );
    assert_package(r#""keywords":{}"#, &["keywords"], "~", &["~|keywords|not_a_list|{}"]);
}

#[test]
fn dist_tags() {
    let rows = decode_members(r#""dist-tags":{"latest":["1.0.0"],"abc\u00123":"9.9.9","😄":null,"n":5}"#);
    let tags = rows.table(TableKind::DistTags, &["tag", "version"]);
    assert_eq!(tags, ["latest|1.0.0", "abc\u{12}3|9.9.9", "😄|~", "n|~"]);
    assert_eq!(rows.package(&["latest"]), "1.0.0");
    assert_eq!(rows.quirks(), ["~|dist-tags.latest|read_from_list|[\"1.0.0\"]", "~|dist-tags.n|not_a_string|5",]);
    assert_package(r#""tags":{"latest":"1"}"#, &["latest"], "1", &[r#"~|tags|read_from_other_member|{"latest":"1"}"#]);
    assert_package(r#""dist-tags":"1""#, &["latest"], "~", &[r#"~|dist-tags|not_an_object|"1""#]);
}

#[test]
fn a_tag_may_point_to_no_version() {
    let rows = decode_members(r#""dist-tags":{"latest":"0.6"},"versions":{"0.5.0":{"deprecated":"x"}}"#);
    assert_eq!(rows.package(&["latest", "deprecated", "has_install_script"]), "0.6|~|~");
    assert_eq!(rows.version(&["is_latest"]), "false");
}

#[test]
fn maintainers() {
    let maintainers = |members: &str| {
        let rows = decode_members(&format!(r#""maintainers":{members}"#));
        (rows.table(TableKind::Maintainers, &["maintainer", "email"]), rows.quirks())
    };
    assert_eq!(maintainers(r#"[{"name":"a","email":"e"},{"name":"b"}]"#), (vec!["a|e".into(), "b|~".into()], vec![]));
    assert_eq!(
        maintainers(r#"["a <e>"]"#),
        (vec!["a|e".into()], vec![r#"~|maintainers|read_from_string|"a <e>""#.into(),])
    );
    assert_eq!(
        maintainers(r#"{"name":"a"}"#),
        (vec!["a|~".into()], vec![r#"~|maintainers|read_from_object|{"name":"a"}"#.into(),])
    );
    assert_eq!(maintainers("[null]"), (vec![], vec!["~|maintainers|item_dropped|null".into()]));
    assert_eq!(maintainers("true"), (vec![], vec!["~|maintainers|not_a_list|true".into()]));
    assert_eq!(maintainers("null"), (vec![], vec![]));
}

#[test]
fn contributors() {
    let contributors = |members: &str| {
        let rows = decode_members(&format!(r#""contributors":{members}"#));
        rows.assert_outcome(Outcome::Present);
        let columns = ["name", "contributor_index", "contributor", "email", "url"];
        (rows.table(TableKind::Contributors, &columns), rows.quirks())
    };
    assert_eq!(
        contributors(r#"[{"name":"a","email":"e","url":"u"},{"name":"b"},{}]"#),
        (vec!["x|0|a|e|u".into(), "x|1|b|~|~".into(), "x|2|~|~|~".into()], vec![])
    );
    assert_eq!(
        contributors(r#"["a <e> (u)"]"#),
        (vec!["x|0|a|e|u".into()], vec![r#"~|contributors|read_from_string|"a <e> (u)""#.into()])
    );
    assert_eq!(
        contributors(r#""a <e>""#),
        (vec!["x|0|a|e|~".into()], vec![r#"~|contributors|read_from_string|"a <e>""#.into()])
    );
    assert_eq!(
        contributors(r#"{"name":"a"}"#),
        (vec!["x|0|a|~|~".into()], vec![r#"~|contributors|read_from_object|{"name":"a"}"#.into()])
    );
    assert_eq!(
        contributors(r#"[null,{"name":7},["a"],{"name":"b"}]"#),
        (
            vec!["x|0|~|~|~".into(), "x|1|b|~|~".into()],
            vec![
                "~|contributors|item_dropped|null".into(),
                "~|contributors.name|not_a_string|7".into(),
                r#"~|contributors|item_dropped|["a"]"#.into(),
            ]
        )
    );
    assert_eq!(contributors("true"), (vec![], vec!["~|contributors|not_a_list|true".into()]));
    assert_eq!(contributors("null"), (vec![], vec![]));
    assert_eq!(contributors("[]"), (vec![], vec![]));
}

#[test]
fn stars_that_were_taken_back_are_rows_that_do_not_count() {
    let rows = decode_members(r#""users":{"a":true,"b":false,"c":1,"d":null,"e":0,"f":""}"#);
    assert_eq!(rows.table(TableKind::Stars, &["user"]), ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(rows.package(&["star_count"]), "2");
    let codes = rows.table(TableKind::Quirks, &["field", "code"]);
    assert_eq!(codes, ["users.b|falsy_star", "users.d|falsy_star", "users.e|falsy_star", "users.f|falsy_star"]);
}

#[test]
fn text_with_odd_characters() {
    assert_package(r#""description":"a\u0000b""#, &["description"], "a\0b", &[]);
    assert_package("\"description\":\"a\tb\"", &["description"], "a\tb", &["~|description|control_character|\"a\tb\""]);
    assert_package(
        r#""description":"a\ud800b""#,
        &["description"],
        "a\u{fffd}b",
        &[r#"~|description|lone_surrogate|"a\ud800b""#],
    );
    assert_package(r#""description":["a"]"#, &["description"], "~", &[r#"~|description|not_a_string|["a"]"#]);
    assert_package(r#""readmeFilename":1"#, &["readme_filename"], "~", &["~|readmeFilename|not_a_string|1"]);
}
