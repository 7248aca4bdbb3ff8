//! The results promised for each form of pivots file, and the errors for bad files.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::*;
use crate::error::ErrorKind;
use crate::lake::Partition;

fn keys(text: &str, file_name: &str) -> Vec<String> {
    read_pivots(text, file_name).unwrap().keys().to_vec()
}

/// Returns the error's sentence and hint. Checks that the error is of kind Input and names the file.
fn refusal(text: &str, file_name: &str) -> String {
    refusal_within(text, file_name, Limits::DEFAULT)
}

fn refusal_within(text: &str, file_name: &str, limits: Limits) -> String {
    let error = read_within(text, file_name, limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input, "{error:?}");
    format!("{} | {}", error.message(), error.hint_text().unwrap_or_default())
}

/// Small enough to end soon in an unoptimised engine.
const SMALL: Limits = Limits { interrupts: 20, jobs: 100, memory_bytes: 4 << 20, ..Limits::DEFAULT };

/// The computed file of the system that this one replaces, as its documents describe it: 35,231 elements, the open ends
/// included.
const COMPUTED: &str = r#"
    const range = (from, to) => Array.from({ length: to.charCodeAt(0) - from.charCodeAt(0) + 1 },
        (_, index) => String.fromCharCode(from.charCodeAt(0) + index));
    const digits = range('0', '9');
    const letters = range('a', 'z');
    const triples = letters.flatMap(a => [a, ...letters.flatMap(b => letters.map(c => `${a}${b}${c}`))]);
    const scoped = ['@!', ...digits.map(digit => `@${digit}`), '@A', '@Z', ...triples.map(triple => `@${triple}`)];
    const plain = ['A', 'Z', ...triples];
    export const pivots = [null, ...[digits, scoped, plain].reduce((all, keys) => all.concat(keys), []), null];
"#;

#[test]
fn every_form_gives_the_same_keys() {
    let expected = ["0", "@a", "Z", "a"];
    for (file_name, text) in [
        ("p.json", r#"["0", "@a", "Z", "a"]"#),
        ("p.json", "\u{feff}[null,\n \"0\", \"@a\", \"Z\", \"a\", null]\n"),
        ("p.json5", "// keys\n[null, '0', '@a', /* capitals */ 'Z', 'a',]"),
        ("p.json", r#"{ "pivots": ["0", "@a", "Z", "a"] }"#),
        ("p.txt", "# keys\n\n0\n@a # scopes\nZ\r\na\n"),
        ("pivots", "null\n0\n@a\nZ\na\nnull"),
        ("pivots", "[\n'0', '@a', 'Z', 'a']"),
        ("p.js", "module.exports = ['0', '@a', 'Z', 'a']"),
        ("p.cjs", "'use strict'; const keys = ['0', '@a', 'Z', 'a']; exports.pivots = keys"),
        ("p.js", "module.exports = { pivots: ['0', '@a', 'Z', 'a'] }"),
        ("p.js", "exports.__esModule = true; exports.default = ['0', '@a', 'Z', 'a']"),
        ("p.mjs", "export default ['0', '@a', 'Z', 'a']"),
        ("p.mjs", "export default { pivots: ['0', '@a', 'Z', 'a'] }"),
        ("p.js", "export const pivots = ['0', '@a', 'Z', 'a']"),
        ("p.js", "const keys = ['0', '@a', 'Z', 'a'];export{keys as pivots}"),
        ("p.js", "console.log('hi'); export const pivots = await Promise.resolve(['0', '@a', 'Z', 'a'])"),
        ("p.js", "['a', 'Z', '0', '@a'].map(key => `${key}`).sort()"),
        (
            "pivots",
            "const letters = 'a'; export default ['0', ...['@', ''].map(s => s + letters)].toSpliced(2, 0, 'Z')",
        ),
    ] {
        assert_eq!(keys(text, file_name), expected, "{file_name}: {text}");
    }
}

#[test]
fn computed_code_of_35231_pivots_is_read() {
    let pivots = read_pivots(COMPUTED, "p.js").unwrap();
    // The digits, '@!', and with and without '@': the digits or none, 'A', 'Z', 26 letters and 17,576 triples.
    assert_eq!(pivots.keys().len(), 10 + 1 + 10 + 2 * (2 + 26 + 17_576));
    assert_eq!(pivots.keys().len() + 2, 35_231);
    assert_eq!(pivots.range_count(), pivots.ranges().count());
    assert_eq!(pivots.keys()[..2], ["0", "1"]);
    assert_eq!(pivots.keys().last().unwrap(), "zzz");
}

#[test]
fn fault_2_n_pivots_make_n_plus_one_ranges_with_open_ends() {
    let pivots = read_pivots("[null, 'b', 'm', null]", "p.json").unwrap();
    let ranges: Vec<String> = pivots.ranges().map(|range| range.to_string()).collect();
    assert_eq!(ranges, [r#"[start, "b")"#, r#"["b", "m")"#, r#"["m", end)"#]);
    assert_eq!(read_pivots("[null]", "p.json").unwrap().ranges().collect::<Vec<_>>(), [Partition::ALL]);
    assert_eq!(Pivots::default().ranges().collect::<Vec<_>>(), [Partition::ALL]);
}

#[test]
fn a_bad_pivot_is_shown_with_its_place_and_its_neighbour() {
    for (text, file_name, expected) in [
        ("['a', 'c', 'b']", "p.json", r#"pivots[2], "b", sorts below pivots[1], "c""#),
        ("a\n\n# x\nc\nb\n", "p.txt", r#"line 5, "b", sorts below line 4, "c""#),
        ("['a', 'b', 'b']", "p.json", r#"pivots[2] repeats pivots[1], "b""#),
        ("[null, '', 'b']", "p.json", "pivots[1] is an empty text"),
        ("['a', null, 'b']", "p.json", r#"pivots[1] is null, after "a", before "b""#),
        ("['a', 5]", "p.json", "pivots[1] is the number 5, not a text"),
        ("['a', , 'b']", "p.json", "pivots[1] is undefined"),
        ("['a', ['b']]", "p.json", "pivots[1] is an array"),
        ("['a', true]", "p.json", "pivots[1] is true"),
        ("['a', '\\ud800']", "p.json", "pivots[1] is a text that is not valid Unicode"),
        ("['\u{10000}', '\u{ffff}']", "p.json", "sorts below"),
        ("['\\u{10000}', '\\uffff'].sort()", "p.js", "goes by UTF-16"),
        ("['a', 'b'.repeat(1e6)]", "p.js", "a text of 1000000 bytes"),
    ] {
        let refusal = refusal(text, file_name);
        assert!(refusal.contains(expected), "{text}: {refusal}");
    }
}

#[test]
fn a_value_that_is_not_a_list_of_pivots_is_refused_with_a_reason() {
    for (text, file_name, expected) in [
        ("", "p.txt", "it holds no pivots"),
        ("# only a comment", "p.txt", "[null]"),
        ("[]", "p.json", "[null]"),
        ("", "p.json", "it gives nothing"),
        ("{}", "p.json", "an object without members"),
        ("{\"keys\": []}", "p.json", "with the members \"keys\""),
        ("'a'", "p.json", "\"a\", not a list"),
        ("module.exports = () => ['a']", "p.js", "a function"),
        ("export const keys = ['a']", "p.js", "\"keys\""),
        ("['a',\n'b'\n'c']", "p.json", "p.json:3"),
        ("const a = 1;\nexport const pivots = [a b]", "p.js", "p.js:2"),
        ("const a = 1\nmodule.exports = missing.map(x => x)", "p.js", "ReferenceError: missing is not defined (p.js:2"),
        ("throw 'no'", "p.js", "its code threw \"no\""),
        ("throw { toString() { for (;;); } }", "p.js", "its code threw an object"),
        ("['a', \0]", "p.json", "zero byte"),
        ("new Array(4e9)", "p.js", "4000000000 pivots"),
    ] {
        let refusal = refusal(text, file_name);
        assert!(refusal.contains(expected), "{text:?}: {refusal}");
    }
}

#[test]
fn code_reaches_nothing_outside_itself() {
    for text in [
        "const fs = require('fs'); module.exports = [fs.readFileSync('/etc/hostname')]",
        "import fs from 'fs'; export const pivots = ['a']",
        "import './other.js'; export const pivots = ['a']",
        "const other = await import('./other.js'); export const pivots = ['a']",
        "const answer = await fetch('http://localhost'); export const pivots = ['a']",
        "module.exports = [String(Date.now())]",
        "module.exports = [String(new Date())]",
        "module.exports = [String(performance.now())]",
        "module.exports = [String(Math.random())]",
        "module.exports = [process.env.HOME]",
        "setTimeout(() => 0); module.exports = ['a']",
        "await new Promise(() => 0); export const pivots = ['a']",
    ] {
        let refusal = refusal(text, "p.js");
        assert!(refusal.contains("no modules, files, network"), "{text}: {refusal}");
    }
}

#[test]
fn code_without_end_is_ended() {
    for text in [
        "for (;;);",
        "while (true) { try { for (;;); } catch {} }",
        "(function f() { try { f() } finally { f() } })()",
        "[].indexOf.call({ length: 2 ** 52 }, 1)",
        "/(a*)*b/.test('a'.repeat(5000))",
        "module.exports = { get pivots() { for (;;); } }",
        "module.exports = Object.defineProperty([1], 0, { get() { for (;;); } })",
        "export const pivots = await new Promise(function again() { Promise.resolve().then(again) })",
        "export const pivots = await (async () => { for (;;) await 0; })()",
    ] {
        let refusal = refusal_within(text, "p.js", SMALL);
        assert!(refusal.contains("takes too long"), "{text}: {refusal}");
    }
}

#[test]
fn a_caller_does_not_wait_for_code_that_is_slow_in_one_step() {
    let limits = Limits { wait: Duration::ZERO, ..SMALL };
    assert!(refusal_within("for (;;);", "p.js", limits).contains("takes too long"));
}

#[test]
fn code_that_needs_too_much_memory_is_refused() {
    for text in [
        "let all = []; for (;;) all.push(all.length + 'x'.repeat(1000));",
        "'x'.repeat(1e9)",
        "new Array(1e8).fill(0)",
        "let text = 'x'; for (;;) text += text;",
        "Array.from({ length: 1e9 }, (_, i) => `a${i}`)",
    ] {
        let refusal = refusal_within(text, "p.js", Limits { interrupts: 100_000, ..SMALL });
        assert!(
            ["MB of memory", "invalid", "string too long"].iter().any(|why| refusal.contains(why)),
            "{text}: {refusal}"
        );
    }
    let nested = "[".repeat(200_000);
    assert!(refusal_within(&nested, "p.json", SMALL).contains("cannot be evaluated"));
    assert!(refusal_within("(function f() { f() })()", "p.js", SMALL).contains("stack"));
}

#[test]
fn the_example_files_are_good() {
    let literal = read_pivots(include_str!("../../examples/pivots.json"), "pivots.json").unwrap();
    let computed = read_pivots(include_str!("../../examples/pivots.js"), "pivots.js").unwrap();
    assert_eq!(literal.range_count(), 57);
    assert_eq!(computed.range_count(), 2 + 26 * 27 + 1 + 26 + 1);
}
