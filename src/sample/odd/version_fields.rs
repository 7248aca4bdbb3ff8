//! Odd members of a version: scripts, dependencies, deprecation, packing.
//!
//! Not here: members of the package (`fields.rs`).

use super::Edit::{Both, Version, Without};
use super::{Edit, Oddity};

const fn odd(name: &'static str, catalogue_row: u8, edits: &'static [Edit]) -> Oddity {
    Oddity { name, catalogue_row, edits }
}

pub(super) const FIELDS: &[Oddity] = &[
    odd("quirk-npm-user-string", 24, &[Version("_npmUser", r#""odd <odd@example.com>""#)]),
    odd("quirk-npm-user-missing", 24, &[Without("_npmUser")]),
    odd(
        "quirk-npm-user-trusted-publisher",
        24,
        &[Version(
            "_npmUser",
            r#"{"name":"odd","email":"odd@example.com","trustedPublisher":{"id":"github","oidcConfigId":"oidc:1"},"approver":{"name":"second"}}"#,
        )],
    ),
    odd("quirk-npm-user-odd-members", 24, &[Version("_npmUser", r#"{"name":["odd"],"trustedPublisher":true}"#)]),
    odd("quirk-main-array", 33, &[Version("main", r#"["index.js","other.js"]"#)]),
    odd("quirk-main-object", 33, &[Version("main", r#"{"default":"index.js"}"#)]),
    odd("quirk-main-boolean", 33, &[Version("main", "false")]),
    odd("quirk-types-odd", 33, &[Version("types", r#"["index.d.ts"]"#), Version("type", "7")]),
    odd("quirk-bin-string", 34, &[Version("bin", r#""./cli.js""#)]),
    odd("quirk-bin-array", 34, &[Version("bin", r#"["./a.js","./b.js"]"#)]),
    odd("quirk-bin-empty", 34, &[Version("bin", r#""""#)]),
    odd("quirk-bin-null", 34, &[Version("bin", "null")]),
    odd(
        "quirk-bin-odd-values",
        34,
        &[Version("bin", r#"{"a":"./a.js","b":null,"c":7,"":"./d.js","../e":"../../e.js"}"#)],
    ),
    odd("quirk-bin-from-directories", 34, &[Version("directories", r#"{"bin":"./bin","man":"./man"}"#)]),
    odd("quirk-directories-string", 34, &[Version("directories", r#""lib""#)]),
    odd("quirk-scripts-string", 35, &[Version("scripts", r#""""#)]),
    odd(
        "quirk-scripts-odd-values",
        35,
        &[Version("scripts", r#"{"test":["a","b"],"blanket":{"pattern":"x"},"install":null,"postinstall":7}"#)],
    ),
    odd("quirk-scripts-array", 35, &[Version("scripts", r#"["test"]"#)]),
    odd(
        "quirk-scripts-install",
        35,
        &[Version("scripts", r#"{"preinstall":"","install":"node-gyp rebuild","postinstall":"node x.js"}"#)],
    ),
    odd("quirk-dependencies-array", 36, &[Version("dependencies", r#"["one","two@^2.0.0"]"#)]),
    odd("quirk-dependencies-array-of-objects", 36, &[Version("dependencies", r#"[{"one":"^1.0.0"}]"#)]),
    odd("quirk-dependencies-string", 36, &[Version("dependencies", r#""one two""#)]),
    odd("quirk-dependencies-number", 36, &[Version("dependencies", "0")]),
    odd(
        "quirk-dependencies-boolean",
        36,
        &[Version("devDependencies", "true"), Version("optionalDependencies", "false")],
    ),
    odd("quirk-dependencies-null", 36, &[Version("dependencies", "null"), Version("peerDependencies", "null")]),
    odd(
        "quirk-dependency-value-object",
        37,
        &[Version("dependencies", r#"{"one":{"version":"1.0.0"},"two":["1.0.0"]}"#)],
    ),
    odd(
        "quirk-dependency-value-empty",
        37,
        &[Version("dependencies", r#"{"one":"","two":null,"three":7,"four":true}"#)],
    ),
    odd("quirk-dependency-value-object-text", 37, &[Version("dependencies", r#"{"one":"^[object Object]"}"#)]),
    odd(
        "quirk-dependency-value-other-sources",
        37,
        &[Version(
            "dependencies",
            r#"{"url":"https://odd.example/a.tgz","git":"git+ssh://git@git.example/odd/odd.git#semver:^1","short":"odd/odd#main","file":"file:../x","alias":"npm:other@^1.0.0","workspace":"workspace:*","catalog":"catalog:"}"#,
        )],
    ),
    odd(
        "quirk-dependency-value-other-grammars",
        60,
        &[Version(
            "dependencies",
            r#"{"wild":"v*","ruby":"~> 1.2","hyphen":"1.0.0 - 2.0.0 <1.5.0","four":"1.2.3.4","zeros":"01.02.03","either":">=1 || next"}"#,
        )],
    ),
    odd(
        "quirk-dependency-key-odd",
        38,
        &[Version(
            "dependencies",
            r#"{"":"1.0.0"," spaced ":"1.0.0","UPPER":"1.0.0","quirk-dependency-key-odd":"1.0.0","@x/..":"1.0.0","a\u0000b":"1.0.0"}"#,
        )],
    ),
    odd(
        "quirk-dependency-in-all-kinds",
        38,
        &[
            Version("dependencies", r#"{"same":"1"}"#),
            Version("devDependencies", r#"{"same":"2"}"#),
            Version("peerDependencies", r#"{"same":"3"}"#),
            Version("optionalDependencies", r#"{"same":"4"}"#),
            Version("bundleDependencies", r#"["same"]"#),
        ],
    ),
    odd("quirk-bundle-dependencies-true", 39, &[Version("bundleDependencies", "true")]),
    odd("quirk-bundle-dependencies-false", 39, &[Version("bundleDependencies", "false")]),
    odd("quirk-bundle-dependencies-array-of-true", 39, &[Version("bundledDependencies", "[true]")]),
    odd(
        "quirk-bundle-dependencies-both",
        39,
        &[Version("bundleDependencies", r#"["ordinary"]"#), Version("bundledDependencies", r#"["other"]"#)],
    ),
    odd("quirk-bundle-dependencies-object", 39, &[Version("bundleDependencies", r#"{"ordinary":"^1.0.0"}"#)]),
    odd(
        "quirk-peer-dependencies-meta-null",
        40,
        &[
            Version("peerDependencies", r#"{"a":"*","b":"*","c":"*"}"#),
            Version("peerDependenciesMeta", r#"{"a":null,"b":true,"c":{"optional":"yes"},"d":{"optional":true}}"#),
        ],
    ),
    odd(
        "quirk-peer-dependencies-meta-boolean",
        40,
        &[Version("peerDependencies", r#"{"a":"*"}"#), Version("peerDependenciesMeta", "false")],
    ),
    odd("quirk-engines-array", 41, &[Version("engines", r#"["node >= 0.8.0","rhino"]"#)]),
    odd("quirk-engines-string", 41, &[Version("engines", r#"">=0.6""#)]),
    odd("quirk-engines-number", 41, &[Version("engines", "6")]),
    odd("quirk-engines-null-values", 41, &[Version("engines", r#"{"node":null,"npm":7,"yarn":["x"]}"#)]),
    odd(
        "quirk-os-string",
        42,
        &[Version("os", r#""linux""#), Version("cpu", r#""x64""#), Version("libc", r#""glibc""#)],
    ),
    odd("quirk-libc-array-with-null", 42, &[Version("libc", "[null]"), Version("os", r#"["linux",null,"!win32"]"#)]),
    odd(
        "quirk-cpu-odd",
        42,
        &[Version("cpu", r#"{"x64":true}"#), Version("os", r#"[["linux"]]"#), Version("libc", "[]")],
    ),
    odd("quirk-funding-string", 43, &[Both("funding", r#""https://odd.example/fund""#)]),
    odd("quirk-funding-array", 43, &[Both("funding", r#"["https://odd.example/fund",{"type":"x","url":"y"}]"#)]),
    odd("quirk-deprecated-true", 44, &[Version("deprecated", "true")]),
    odd("quirk-deprecated-false", 44, &[Version("deprecated", "false")]),
    odd("quirk-deprecated-empty", 44, &[Version("deprecated", r#""""#)]),
    odd("quirk-deprecated-zero", 44, &[Version("deprecated", "0")]),
    odd("quirk-deprecated-null", 44, &[Version("deprecated", "null")]),
    odd("quirk-deprecated-object", 44, &[Version("deprecated", r#"{"reason":"old"}"#)]),
    odd("quirk-deprecated-array", 44, &[Version("deprecated", "[]")]),
    odd("quirk-dist-missing", 45, &[Without("dist")]),
    odd(
        "quirk-dist-without-tarball",
        45,
        &[Version("dist", r#"{"shasum":"da39a3ee5e6b4b0d3255bfef95601890afd80709"}"#)],
    ),
    odd("quirk-dist-string", 45, &[Version("dist", r#""https://odd.example/a.tgz""#)]),
    odd(
        "quirk-dist-plain-http",
        45,
        &[Version(
            "dist",
            r#"{"shasum":"da39a3ee5e6b4b0d3255bfef95601890afd80709","tarball":"http://registry.example/odd/-/odd-1.0.0beta.tgz"}"#,
        )],
    ),
    odd(
        "quirk-unpacked-size-object",
        46,
        &[Version("dist", r#"{"tarball":"x","unpackedSize":{"low":1,"high":0},"fileCount":"3"}"#)],
    ),
    odd("quirk-unpacked-size-float", 46, &[Version("dist", r#"{"tarball":"x","unpackedSize":1.5,"fileCount":-1}"#)]),
    odd(
        "quirk-unpacked-size-huge",
        58,
        &[Version("dist", r#"{"tarball":"x","unpackedSize":18446744073709551616,"fileCount":9007199254740993}"#)],
    ),
    odd(
        "quirk-unpacked-size-exponent",
        58,
        &[Version("dist", r#"{"tarball":"x","unpackedSize":1e3,"fileCount":1E2}"#)],
    ),
    odd(
        "quirk-integrity-missing",
        47,
        &[Version("dist", r#"{"tarball":"x","shasum":"DA39A3EE5E6B4B0D3255BFEF95601890AFD80709"}"#)],
    ),
    odd(
        "quirk-integrity-only",
        47,
        &[Version("dist", r#"{"tarball":"x","integrity":"sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk= sha512-AA=="}"#)],
    ),
    odd("quirk-integrity-odd", 47, &[Version("dist", r#"{"tarball":["x"],"integrity":{"sha512":"AA=="},"shasum":7}"#)]),
    odd("quirk-signatures-empty", 48, &[Version("dist", r#"{"tarball":"x","signatures":[],"attestations":{}}"#)]),
    odd(
        "quirk-signatures-odd",
        48,
        &[Version("dist", r#"{"tarball":"x","signatures":[null,{"sig":"x"},{"keyid":7}],"attestations":[]}"#)],
    ),
    odd(
        "quirk-attestations",
        48,
        &[Version(
            "dist",
            r#"{"tarball":"x","attestations":{"url":"https://odd.example/attestations","provenance":{"predicateType":"https://slsa.dev/provenance/v1"}}}"#,
        )],
    ),
    odd(
        "quirk-git-head-object",
        0,
        &[Version("gitHead", r#"{"sha":"x"}"#), Version("_nodeVersion", "12"), Version("_npmVersion", r#"["6"]"#)],
    ),
    odd(
        "quirk-shrinkwrap-text",
        0,
        &[Version("_hasShrinkwrap", r#""false""#), Version("hasInstallScript", r#""true""#)],
    ),
];
