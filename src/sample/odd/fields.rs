//! Odd members of a package: versions, tags, times, people, licences, addresses.
//!
//! Not here: members that only a version has (`version_fields.rs`), and bodies that are no packument (`bodies.rs`).

use super::Edit::{Both, Top, Version, Without};
use super::{Edit, Oddity};

const fn odd(name: &'static str, catalogue_row: u8, edits: &'static [Edit]) -> Oddity {
    Oddity { name, catalogue_row, edits }
}

/// Three versions whose keys alone matter.
const THREE: Edit = Top(
    "versions",
    r#"{"1.0.0":{"name":"x","version":"1.0.0"},"1.10.0":{"name":"x","version":"1.10.0"},"1.9.0":{"name":"x","version":"1.9.0"}}"#,
);

pub(super) const FIELDS: &[Oddity] = &[
    odd("quirk-versions-missing", 7, &[Without("versions")]),
    odd("quirk-versions-empty", 7, &[Top("versions", "{}"), Top("dist-tags", "{}")]),
    odd("quirk-versions-null", 7, &[Top("versions", "null")]),
    odd("quirk-versions-array", 7, &[Top("versions", r#"["1.0.0"]"#)]),
    odd("quirk-version-key-differs", 8, &[Top("versions", r#"{"1.0.0":{"name":"x","version":"1.0.1"}}"#)]),
    odd(
        "quirk-version-loose",
        8,
        &[Top(
            "versions",
            r#"{"v1.0":{"version":"v1.0"},"1.0":{"version":"1.0"},"01.02.03":{"version":"01.02.03"},"=1.0.0":{"version":"=1.0.0"},"1.0.0-01":{"version":"1.0.0-01"},"1.2.3.4":{"version":"1.2.3.4"}}"#,
        )],
    ),
    odd("quirk-version-padded", 8, &[Top("versions", r#"{" 1.0.0 ":{"version":" 1.0.0 "},"":{"version":""}}"#)]),
    odd("quirk-version-empty", 9, &[Version("version", r#""""#)]),
    odd("quirk-version-missing", 9, &[Without("version")]),
    odd("quirk-version-number", 9, &[Version("version", "1.0")]),
    odd(
        "quirk-version-huge-numbers",
        10,
        &[
            Top("dist-tags", r#"{"latest":"1000000000000000000.1000000000000000000.1000000000000000000"}"#),
            Top(
                "versions",
                r#"{"1000000000000000000.1000000000000000000.1000000000000000000":{"version":"1000000000000000000.1000000000000000000.1000000000000000000"},"99999999999999999999999.0.0":{"version":"99999999999999999999999.0.0"}}"#,
            ),
        ],
    ),
    odd("quirk-version-entry-null", 11, &[Top("versions", r#"{"1.0.0":null,"1.0.1":{"version":"1.0.1"}}"#)]),
    odd(
        "quirk-version-entry-not-object",
        11,
        &[Top("versions", r#"{"1.0.0":"1.0.0","1.0.1":[],"1.0.2":7,"1.0.3":false}"#)],
    ),
    odd("quirk-dist-tags-missing", 13, &[Without("dist-tags")]),
    odd("quirk-dist-tags-without-latest", 13, &[Top("dist-tags", r#"{"next":"1.0.0"}"#)]),
    odd("quirk-dist-tags-dangling", 13, &[Top("dist-tags", r#"{"latest":"0.011","beta":"9.9.9"}"#)]),
    odd("quirk-dist-tags-null", 13, &[Top("dist-tags", r#"{"latest":null}"#)]),
    odd("quirk-dist-tags-array-values", 14, &[Top("dist-tags", r#"{"latest":["1.0.0"]}"#)]),
    odd("quirk-dist-tags-array", 14, &[Top("dist-tags", r#"["latest"]"#)]),
    odd("quirk-dist-tags-named-tags", 15, &[Without("dist-tags"), Top("tags", r#"{"latest":"1.0.0"}"#)]),
    odd("quirk-dist-tags-in-brackets", 15, &[Top("dist-tags", r#"{"[latest]":"1.0.0"}"#)]),
    odd(
        "quirk-dist-tags-control-and-emoji",
        16,
        &[Top("dist-tags", r#"{"latest":"1.0.0","abc\u00123":"1.0.0","😄":"1.0.0","":"1.0.0"}"#)],
    ),
    odd(
        "quirk-time-missing",
        17,
        &[
            Without("time"),
            Version("mtime", r#""2011-11-11T11:11:11.000Z""#),
            Version("ctime", r#""2011-11-11T11:11:11.000Z""#),
        ],
    ),
    odd("quirk-time-not-object", 17, &[Top("time", r#""2011-11-11T11:11:11.000Z""#)]),
    odd("quirk-time-incomplete", 18, &[THREE, Top("time", r#"{"created":"2019-05-05T05:05:05.050Z","1.9.0":null}"#)]),
    odd(
        "quirk-time-unpublished-null",
        18,
        &[Top("time", r#"{"1.0.0":"2019-05-05T05:05:05.050Z","unpublished":null}"#)],
    ),
    odd(
        "quirk-time-unreadable",
        18,
        &[Top("time", r#"{"created":"yesterday","modified":1577836800000,"1.0.0":"2019-13-45T99:00:00Z"}"#)],
    ),
    odd(
        "quirk-time-far",
        18,
        &[Top(
            "time",
            r#"{"created":"0000-01-01T00:00:00.000Z","modified":"9999-12-31T23:59:59.999Z","1.0.0":"+275760-09-13T00:00:00.000Z"}"#,
        )],
    ),
    odd(
        "quirk-time-other-forms",
        18,
        &[Top(
            "time",
            r#"{"created":"2019-05-05 05:05:05","modified":"2019-05-05T05:05:05+02:00","1.0.0":"2019-05-05"}"#,
        )],
    ),
    odd(
        "quirk-time-unpublished-versions",
        19,
        &[Top(
            "time",
            r#"{"created":"2018-01-01T00:00:00.000Z","modified":"2021-01-01T00:00:00.000Z","1.0.0":"2019-01-01T00:00:00.000Z","1.0.1":"2019-02-01T00:00:00.000Z","7.0.0-beta.0-ranges":"2019-03-01T00:00:00.000Z"}"#,
        )],
    ),
    odd(
        "quirk-tombstone-short",
        20,
        &[
            Without("versions"),
            Without("dist-tags"),
            Top(
                "time",
                r#"{"created":"2018-01-01T00:00:00.000Z","modified":"2021-01-01T00:00:00.000Z","1.0.0":"2018-01-01T00:00:00.000Z","unpublished":{"time":"2020-12-31T00:00:00.000Z","versions":["1.0.0"]}}"#,
            ),
        ],
    ),
    odd(
        "quirk-tombstone-long",
        20,
        &[
            Without("versions"),
            Without("dist-tags"),
            Top(
                "time",
                r#"{"created":"2018-01-01T00:00:00.000Z","modified":"2021-01-01T00:00:00.000Z","1.0.0":"2018-01-01T00:00:00.000Z","1.10.0":"2018-02-01T00:00:00.000Z","1.9.0":"2018-02-02T00:00:00.000Z","unpublished":{"name":"a-user","time":"2020-12-31T00:00:00.000Z","tags":{"latest":"1.10.0"},"maintainers":[{"name":"a-user","email":"a@example.com"}],"description":"","versions":["1.0.0","1.10.0"]}}"#,
            ),
        ],
    ),
    odd(
        "quirk-tombstone-without-maintainers",
        20,
        &[Without("versions"), Without("dist-tags"), Without("maintainers"), Top("time", r#"{"unpublished":{}}"#)],
    ),
    odd(
        "quirk-tombstone-with-versions",
        20,
        &[Top("time", r#"{"1.0.0":"2018-01-01T00:00:00.000Z","unpublished":{"time":"2020-12-31T00:00:00.000Z"}}"#)],
    ),
    odd(
        "quirk-tombstone-not-object",
        20,
        &[Without("versions"), Without("dist-tags"), Top("time", r#"{"unpublished":true}"#)],
    ),
    odd(
        "quirk-time-modified-after-unpublish",
        21,
        &[
            Without("versions"),
            Without("dist-tags"),
            Top(
                "time",
                r#"{"created":"2018-01-01T00:00:00.000Z","modified":"2025-01-01T00:00:00.000Z","unpublished":{"time":"2020-12-31T00:00:00.000Z","versions":[]}}"#,
            ),
        ],
    ),
    odd("quirk-maintainers-missing", 22, &[Without("maintainers")]),
    odd("quirk-maintainers-empty", 22, &[Both("maintainers", "[]")]),
    odd("quirk-maintainers-strings", 22, &[Both("maintainers", r#"["odd <odd@example.com>","just-a-name",""]"#)]),
    odd("quirk-maintainers-object", 22, &[Both("maintainers", r#"{"name":"odd","email":"odd@example.com"}"#)]),
    odd(
        "quirk-maintainers-mixed",
        22,
        &[Both("maintainers", r#"[null,7,{"email":"only@example.com"},{"name":7},["odd"],{}]"#)],
    ),
    odd("quirk-maintainers-string", 22, &[Both("maintainers", r#""odd <odd@example.com>""#)]),
    odd(
        "quirk-maintainers-two-addresses",
        23,
        &[Both("maintainers", r#"[{"name":"odd","email":"odd@example.comodd@example.org"}]"#)],
    ),
    odd("quirk-author-string", 25, &[Both("author", r#""Odd Person <odd@example.com> (https://odd.example)""#)]),
    odd("quirk-author-array", 25, &[Both("author", r#"[{"name":"One"},"Two <two@example.com>"]"#)]),
    odd("quirk-author-names-list", 25, &[Both("author", r#"{"name":["One","Two"],"email":null}"#)]),
    odd("quirk-author-number", 25, &[Both("author", "42")]),
    odd("quirk-contributors-mixed", 25, &[Both("contributors", r#"["One",{"name":"Two"},null,["Three"]]"#)]),
    odd("quirk-license-array", 26, &[Both("license", r#"["MIT","Apache-2.0"]"#)]),
    odd("quirk-license-object", 26, &[Both("license", r#"{"type":"MIT","url":"https://odd.example/license"}"#)]),
    odd("quirk-license-object-without-type", 26, &[Both("license", r#"{"url":"https://odd.example/license"}"#)]),
    odd("quirk-license-array-of-objects", 26, &[Both("license", r#"[{"type":"MIT"},{"type":"GPL-2.0","url":"x"}]"#)]),
    odd("quirk-license-plural", 26, &[Without("license"), Both("licenses", r#"[{"type":"MIT","url":"x"}]"#)]),
    odd("quirk-license-plural-string", 26, &[Without("license"), Both("licenses", r#""MIT""#)]),
    odd("quirk-license-misspelt", 26, &[Without("license"), Both("licence", r#""MIT""#)]),
    odd("quirk-license-empty", 26, &[Both("license", r#""""#)]),
    odd("quirk-license-boolean", 26, &[Both("license", "true")]),
    odd("quirk-license-free-text", 26, &[Both("license", r#""do what you like,\nbut be nice""#)]),
    odd("quirk-license-missing", 26, &[Without("license")]),
    odd("quirk-repository-string", 27, &[Both("repository", r#""https://git.example/odd/odd.git""#)]),
    odd("quirk-repository-shorthand", 27, &[Both("repository", r#""odd/odd""#)]),
    odd("quirk-repository-without-url", 27, &[Both("repository", r#"{"type":"git"}"#)]),
    odd(
        "quirk-repository-array",
        27,
        &[Both("repository", r#"[{"type":"git","url":"https://git.example/odd/odd.git"}]"#)],
    ),
    odd(
        "quirk-repository-plural",
        27,
        &[Both("repositories", r#"[{"type":"git","url":"https://git.example/odd/odd.git"}]"#)],
    ),
    odd(
        "quirk-repository-odd-members",
        27,
        &[Both("repository", r#"{"type":["git"],"url":{"web":"x"},"directory":7}"#)],
    ),
    odd(
        "quirk-security-holding-without-maintainers",
        49,
        &[
            Both("repository", r#""npm/security-holder""#),
            Both("description", r#""security holding package""#),
            Top("dist-tags", r#"{"latest":"0.0.1-security"}"#),
            Top(
                "versions",
                r#"{"0.0.1-security":{"name":"x","version":"0.0.1-security","description":"security holding package","repository":"npm/security-holder"}}"#,
            ),
            Without("maintainers"),
        ],
    ),
    odd(
        "quirk-security-holding",
        49,
        &[
            Both("repository", r#""npm/security-holder""#),
            Both("description", r#""security holding package""#),
            Both("maintainers", r#"[{"name":"npm","email":"npm@example.com"}]"#),
            Top("dist-tags", r#"{"latest":"0.0.1-security"}"#),
            Top(
                "versions",
                r#"{"0.0.1-security":{"name":"quirk-security-holding","version":"0.0.1-security","description":"security holding package","repository":"npm/security-holder"}}"#,
            ),
        ],
    ),
    odd(
        "quirk-security-holding-forged",
        49,
        &[
            Both("description", r#""security holding package""#),
            Top("dist-tags", r#"{"latest":"0.0.1-security"}"#),
            Top("versions", r#"{"0.0.1-security":{"version":"0.0.1-security"}}"#),
        ],
    ),
    odd("quirk-homepage-array-of-nothing", 28, &[Both("homepage", r#"[""]"#)]),
    odd("quirk-homepage-object", 28, &[Both("homepage", r#"{"url":"https://odd.example"}"#)]),
    odd("quirk-homepage-false", 28, &[Both("homepage", "false")]),
    odd("quirk-bugs-string", 29, &[Both("bugs", r#""https://odd.example/bugs""#)]),
    odd("quirk-bugs-address", 29, &[Both("bugs", r#""bugs@example.com""#)]),
    odd("quirk-bugs-email-only", 29, &[Both("bugs", r#"{"email":"bugs@example.com"}"#)]),
    odd("quirk-bugs-array", 29, &[Both("bugs", r#"[{"url":"https://odd.example/bugs"}]"#)]),
    odd("quirk-keywords-string", 30, &[Both("keywords", r#""one, two three""#)]),
    odd("quirk-keywords-nested", 30, &[Both("keywords", r#"[["one","two"],"three"]"#)]),
    odd("quirk-keywords-blank", 30, &[Both("keywords", r#"[""," ",null,7,{"a":1},"one"]"#)]),
    odd("quirk-keywords-object", 30, &[Both("keywords", r#"{"0":"one"}"#)]),
    odd("quirk-description-object", 31, &[Both("description", r#"{"en":"odd"}"#)]),
    odd("quirk-description-array", 31, &[Both("description", r#"["odd"]"#)]),
    odd("quirk-readme-not-string", 32, &[Top("readme", r#"{"text":"odd"}"#), Top("readmeFilename", "false")]),
    odd(
        "quirk-readme-no-data",
        32,
        &[Top("readme", r#""ERROR: No README data found!""#), Top("readmeFilename", r#""""#)],
    ),
    odd("quirk-users-odd", 56, &[Top("users", r#"{"someone":true,"other":false,"third":"yes","":true}"#)]),
    odd("quirk-users-array", 56, &[Top("users", r#"["someone"]"#)]),
    odd(
        "quirk-attachments-and-cached",
        57,
        &[Top("_attachments", "{}"), Top("_cached", "true"), Top("_contentLength", "1"), Top("access", r#""public""#)],
    ),
    odd("quirk-rev-missing", 0, &[Without("_rev")]),
    odd("quirk-rev-number", 0, &[Top("_rev", "7")]),
    odd("quirk-id-differs-from-name", 53, &[Top("name", r#""another-name""#)]),
    odd("quirk-name-missing", 53, &[Without("name")]),
    odd(
        "quirk-member-proto",
        59,
        &[
            Top("__proto__", r#"{"polluted":true}"#),
            Version("dependencies", r#"{"__proto__":"1.0.0","constructor":"^1.0.0"}"#),
        ],
    ),
];
