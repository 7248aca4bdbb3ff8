//! A bounded, seeded run of the endless one in `fuzz/`: every finding again, then changed seeds and findings.
//!
//! A finding is a file below `findings/<target>/`, minimised, and named after the check that it broke.

mod checks;

use std::path::{Path, PathBuf};

use all_docs::sample::odd_documents;

/// Changed inputs for each target: some seconds in a debug build.
const ROUNDS: usize = 10_000;
/// Pivots start an engine and a thread each.
const PIVOTS_ROUNDS: usize = 500;
/// The longest generated input, so rounds stay quick.
const MAX_INPUT_BYTES: usize = 8 << 10;

/// Texts that break readers of JSON, JavaScript and lines more often than chance finds them.
const WORDS: [&[u8]; 39] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b":",
    b",",
    b"\\",
    b"\\u",
    b"\\ud800",
    b"\\u0000",
    b"\\\"",
    b"null",
    b"true",
    b"false",
    b"-0",
    b"1e400",
    b"18446744073709551616",
    b"0.1e-5",
    b"\0",
    b"\n",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\"rows\":[",
    b"\"versions\":{",
    b"\"time\":{",
    b"\"unpublished\"",
    b"\"1.0.0\":{",
    b"\"dist-tags\"",
    b"\"id\":",
    b"\"seq\":",
    b"\"changes\":[{\"rev\":",
    b",\"deleted\":true",
    b"\"__proto__\"",
    b"${",
    b"//a.b/:_authToken=",
    b"@",
    b"..",
];

fn findings(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fuzz/findings").join(target);
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let own = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    match target {
        "packument" => {
            odd_documents().into_iter().map(|odd| odd.bytes).filter(|b| b.len() <= MAX_INPUT_BYTES).collect()
        }
        "page" => own(&[
            r#"{"total_rows":3,"offset":0,"rows":[{"id":"a","key":"a","value":{"rev":"1-x"}},{"id":"b","key":"b","value":{"rev":"2-y"}}]}"#,
            "{ \"rows\" : [\n] , \"total_rows\" : 0 }",
            r#"{"rows":[{"key":"\u0061","value":{"rev":"1-x","deleted":true},"id":"\u0061"},null,7,"x",{"id":"_design/a","value":{"rev":"1"}}]}"#,
            r#"{"error":"bad_request","reason":"x"}"#,
        ]),
        "changes" => own(&[
            r#"{"results":[{"seq":7,"id":"a","changes":[{"rev":"1-x"}]},{"seq":9,"id":"b","changes":[{"rev":"2-y"}],"deleted":true}],"last_seq":12}"#,
            r#"{"results":[{"seq":"3-g1A","changes":[{"rev":"2-b"},{"rev":"1-a"}],"id":"\u0061","deleted":false},null,{"seq":1.5,"id":"_design/a","changes":[]}],"pending":0,"last_seq":"3-g1A"}"#,
            "{ \"last_seq\" : 0 , \"results\" : [\n] }",
        ]),
        "downloads" => own(&[
            r#"{"start":"2026-11-22","end":"2026-11-28","package":"a","downloads":[{"downloads":3,"day":"2026-11-22"},{"downloads":0,"day":"2026-11-27"}]}"#,
            r#"{"start":"2026-11-24","end":"2026-11-28","downloads":[{"day":"2026-11-28","downloads":18446744073709551615}]}"#,
            r#"{"b":null,"a":{"downloads":[],"package":"a","start":"2026-11-28","end":"2026-11-28"}}"#,
            r#"{"error":"package a not found"}"#,
        ]),
        "pivots" => own(&[
            "[null, 'a', \"b\", null]",
            "module.exports = ['0', 'a', 'z'].map(k => k)",
            "export const pivots = [...Array.from('abc'), ...['x'].flatMap(k => [k, k + 'a'])]",
            "a\nb # comment\n# more\n\u{e9}\n",
            "{\"pivots\": [\"a\"]}",
            "export default await Promise.resolve(['a'])",
        ]),
        "npmrc" => own(&[
            "; note\n//a.b/team/:_authToken=${T}\n@s:registry=https://s.b/npm\n_auth=abc\n",
            "//a.b:8080/:username=me\n//a.b:8080/:_password=c2VjcmV0\n\u{0}//a.b/:_auth=\"dXNlcjpwdw==\"\n",
            "[section]\n//${A}/:_authToken=x${B?}y\n\u{0}npm_abcdef",
        ]),
        "name_list" => own(&[
            "[\"@a/b\", \"lodash@4.17.21\", \" react \", \"\"]",
            "\u{feff}# list\n@a/b@1.0.0\n\nlodash # old\r\n react @18\n",
            "a\u{2003}\n@\n@@\n@x/y@\n",
        ]),
        "lake_files" => own(&[
            r#"{"format_version":1,"tool_version":"0.1.0","default_origin":"npm","origins":{"npm":{"replicate_url":"r","registry_url":"g"}}}"#,
            r#"{"format_version":1,"tool_version":"0.1.0","partition":{"start":null,"end":"a"},"written_at":"x","shards":{},"outcomes":{"present":1}}"#,
            r#"{"format_version":1,"rows_per_partition":10000,"pivots":["a"],"boundaries":["a","b"]}"#,
            r#"{"hosts":{"h":{"month":"2026-11","requests":3}}}"#,
            "61-62",
        ]),
        "words" => own(&[
            "@types/node@1.0.0",
            "1.2.3-beta.1+build",
            "A Name <a@b.c> (https://d.e)",
            "\"2020-02-02T02:02:02.020Z\"",
            "@x/..",
            "https://user@registry.example/path?x#y",
            "http://[::1]:80/",
            "a%2e%2e/b",
        ]),
        other => panic!("no target {other}"),
    }
}

/// Makes one to four small changes.
fn change(random: &mut fastrand::Rng, input: &mut Vec<u8>, others: &[Vec<u8>]) {
    for _ in 0..random.u8(1..=4) {
        let at = random.usize(0..=input.len());
        let end = (at + random.usize(0..=16)).min(input.len());
        match random.u8(0..6) {
            0 if at < input.len() => input[at] ^= 1 << random.u8(0..8),
            1 => drop(input.drain(at..end)),
            2 => {
                let piece = input[at..end].to_vec();
                let times = random.usize(1..=40);
                input.splice(at..at, piece.repeat(times));
            }
            3 => {
                let other = &others[random.usize(0..others.len())];
                let from = random.usize(0..=other.len());
                let to = (from + random.usize(0..=200)).min(other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
            _ => drop(input.splice(at..end, WORDS[random.usize(0..WORDS.len())].iter().copied())),
        }
    }
    input.truncate(MAX_INPUT_BYTES);
}

fn run(target: &str, rounds: usize, check: fn(&[u8])) {
    let findings = findings(target);
    for (path, bytes) in &findings {
        eprintln!("{}", path.display());
        check(bytes);
    }
    let inputs: Vec<Vec<u8>> = seeds(target).into_iter().chain(findings.into_iter().map(|(_, bytes)| bytes)).collect();
    inputs.iter().for_each(|input| check(input));
    for round in 0..rounds {
        let mut random = fastrand::Rng::with_seed(round as u64);
        let mut input = inputs[random.usize(0..inputs.len())].clone();
        change(&mut random, &mut input, &inputs);
        // Shown only where the check fails.
        eprintln!("round {round}: {}", input.escape_ascii());
        check(&input);
    }
}

#[test]
fn pages() {
    run("page", ROUNDS, checks::page);
}

#[test]
fn pages_of_the_feed() {
    run("changes", ROUNDS, checks::changes);
}

#[test]
fn counts_of_downloads() {
    run("downloads", ROUNDS, checks::downloads);
}

#[test]
fn packuments() {
    run("packument", ROUNDS, checks::packument);
}

#[test]
fn pivots_files() {
    run("pivots", PIVOTS_ROUNDS, checks::pivots);
}

#[test]
fn npmrc_files() {
    run("npmrc", ROUNDS, checks::npmrc);
}

#[test]
fn lists_of_names() {
    run("name_list", ROUNDS, checks::name_list);
}

#[test]
fn files_of_a_lake() {
    run("lake_files", ROUNDS, checks::lake_files);
}

#[test]
fn names_addresses_and_numbers() {
    run("words", ROUNDS, checks::words);
}

/// Writes the seeds and findings to the folder where `cargo fuzz` begins.
#[test]
#[ignore = "prepares an open-ended run; see fuzz/README.md"]
fn write_corpus() {
    for target in ["page", "changes", "downloads", "packument", "pivots", "npmrc", "name_list", "lake_files", "words"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        std::fs::create_dir_all(&folder).unwrap();
        let findings = findings(target).into_iter().map(|(_, bytes)| bytes);
        for (number, bytes) in seeds(target).into_iter().chain(findings).enumerate() {
            std::fs::write(folder.join(format!("seed-{number:03}")), bytes).unwrap();
        }
    }
}
