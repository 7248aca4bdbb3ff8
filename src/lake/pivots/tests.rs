//! Tests of the pivots files that are data, and of the errors for bad ones. `script` has the tests of those that are
//! code.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::error::ErrorKind;

fn keys(text: &str, file_name: &str) -> Vec<String> {
    match Pivots::parse(text, file_name).unwrap() {
        PivotsText::Pivots(pivots) => pivots.keys().to_vec(),
        PivotsText::Code(code) => panic!("code: {code}"),
    }
}

/// Returns the error's message and hint, after checking that it is an input error.
fn refusal(text: &str, file_name: &str) -> String {
    let error = Pivots::parse(text, file_name).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input, "{error:?}");
    format!("{} | {}", error.message(), error.hint_text().unwrap_or_default())
}

#[test]
fn json_and_lines_are_read_without_an_engine() {
    let expected = ["0", "@a", "Z", "a"];
    for (file_name, text) in [
        ("p.json", r#"["0", "@a", "Z", "a"]"#),
        ("p.js", "[null,\n \"0\", \"@a\", \"\\u005a\", \"a\", null]\n"),
        ("p.txt", "# keys\n\n0\n@a # scopes\nZ\r\na\n"),
        ("pivots", "null\n0\n@a\nZ\na\nnull"),
    ] {
        assert_eq!(keys(text, file_name), expected, "{file_name}: {text}");
    }
}

#[test]
fn anything_but_an_array_of_texts_is_left_to_an_engine() {
    for text in ["['a']", r#"{"pivots":["a"]}"#, r#"["a", 5]"#, r#"["\ud800"]"#, "", "module.exports = ['a']"] {
        assert_eq!(Pivots::parse(text, "p.json").unwrap(), PivotsText::Code(text));
    }
    assert_eq!(Pivots::parse("['a']", "p").unwrap(), PivotsText::Code("['a']"));
}

#[test]
fn a_bad_key_is_refused_with_its_place() {
    for (text, file_name, expected) in [
        (r#"["a", "c", "b"]"#, "p.json", r#"pivots[2], "b", sorts below pivots[1], "c""#),
        ("a\n\n# x\nc\nb\n", "p.txt", r#"line 5, "b", sorts below line 4, "c""#),
        (r#"["a", null, "b"]"#, "p.json", r#"pivots[1] is null, after "a", before "b""#),
        ("[]", "p.json", "[null]"),
        ("# only a comment", "p.txt", "[null]"),
    ] {
        let refusal = refusal(text, file_name);
        assert!(refusal.contains(expected), "{text}: {refusal}");
    }
}

#[test]
fn more_lines_than_any_registry_has_ranges_for_are_refused() {
    let lines = "x\n".repeat(Pivots::MAX_COUNT + 1);
    assert!(refusal(&lines, "p.txt").contains("1000001 pivots"));
    let long = "x".repeat(MAX_SOURCE_BYTES + 1);
    assert!(refusal(&long, "p.txt").contains("bytes"));
    assert!(refusal(&long[..Pivots::MAX_KEY_BYTES + 1], "p.txt").contains("4097 bytes"));
}
