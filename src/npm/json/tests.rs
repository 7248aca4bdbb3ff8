#![allow(clippy::unwrap_used)]

use std::borrow::Cow;

use proptest::prelude::*;

use super::scan::value_end;
use super::*;

fn end(text: &str) -> Result<usize, JsonError> {
    value_end(text.as_bytes(), 0, MAX_DEPTH)
}

fn problem(text: &str) -> (usize, JsonProblem) {
    let mut cursor = Cursor::new(text);
    let error = cursor.value().and_then(|_| cursor.finish()).unwrap_err();
    (error.offset, error.problem)
}

#[test]
fn values_end_where_they_end() {
    for text in [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "12.5e+3",
        "1E9",
        "\"\"",
        "\"a\\\"b\\u00e9\\\\\"",
        "[]",
        "{}",
        "[[],{}]",
        "{\"a\":[1,{\"b\":null}],\"c\":\"d\"}",
        "[ 1 , 2 ]",
        "{ \"a\" : 1 , \"b\" : [ ] }",
        "\"raw \u{1} control\"",
        "\"a string that is longer than sixty-four bytes, so that the vector search has to find its end quote\"",
    ] {
        assert_eq!(end(text), Ok(text.len()), "{text}");
        assert_eq!(end(&format!("{text},")), Ok(text.len()), "{text}");
    }
}

#[test]
fn invalid_json_is_refused_with_its_position() {
    use JsonProblem::{Expected, TrailingText, UnexpectedEnd};
    for (text, expected) in [
        ("", (0, UnexpectedEnd)),
        ("  ", (2, UnexpectedEnd)),
        ("[1", (2, UnexpectedEnd)),
        ("[1,]", (3, Expected("a value"))),
        ("[,1]", (1, Expected("a value"))),
        ("{,}", (1, Expected("a key"))),
        ("{\"a\"}", (4, Expected("`:`"))),
        ("{\"a\":1,}", (7, Expected("a key"))),
        ("{\"a\":1]", (6, Expected("`,` or `}`"))),
        ("[1}", (2, Expected("`,` or `]`"))),
        ("[1 2]", (3, Expected("`,` or `]`"))),
        ("01", (1, TrailingText)),
        ("1.", (2, UnexpectedEnd)),
        ("-x", (1, Expected("a digit"))),
        ("1e+", (3, UnexpectedEnd)),
        ("nul", (0, Expected("a value"))),
        ("<!doctype html>", (0, Expected("a value"))),
        ("\"abc", (4, UnexpectedEnd)),
        ("\"\\x\"", (1, Expected("an escape"))),
        ("\"\\u12G4\"", (1, Expected("four hex digits"))),
        ("\"\\u12", (5, UnexpectedEnd)),
        ("null null", (5, TrailingText)),
    ] {
        assert_eq!(problem(text), expected, "{text}");
    }
}

#[test]
fn depth_is_bounded_and_memory_with_it() {
    let deepest = MAX_DEPTH as usize;
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert_eq!(end(&nested(deepest)), Ok(2 * deepest));
    assert_eq!(end(&nested(deepest + 1)).unwrap_err().problem, JsonProblem::TooDeep);
    assert_eq!(end(&"[".repeat(1_000_000)).unwrap_err().problem, JsonProblem::TooDeep);
    let mut cursor = Cursor::new("[[[");
    cursor.depth = MAX_DEPTH - 1;
    cursor.enter_array().unwrap();
    assert_eq!(cursor.enter_array().unwrap_err().problem, JsonProblem::TooDeep);
}

#[test]
fn escapes_are_resolved() {
    let text = |literal| RawString::of(literal).unescape();
    assert_eq!(text(r#""plain é""#).text, "plain é");
    assert!(matches!(text(r#""plain""#).text, Cow::Borrowed(_)));
    assert_eq!(text(r#""\"\\\/\b\f\n\r\t""#).text, "\"\\/\u{8}\u{c}\n\r\t");
    assert_eq!(text(r#""\u0000\u00e9\u20ac\ud83d\ude00x""#).text, "\0é€😀x");
    assert!(!text(r#""\ud83d\ude00""#).lone_surrogate);
}

#[test]
fn a_lone_surrogate_becomes_the_replacement_character() {
    for (literal, expected) in [
        (r#""\ud800""#, "\u{fffd}"),
        (r#""\udc00x""#, "\u{fffd}x"),
        (r#""\ud800\ud800\udc00""#, "\u{fffd}\u{10000}"),
        (r#""\ud800\u0041""#, "\u{fffd}A"),
        (r#""\ud800é""#, "\u{fffd}é"),
    ] {
        let unescaped = RawString::of(literal).unescape();
        assert!(unescaped.lone_surrogate, "{literal}");
        assert_eq!(unescaped.text, expected, "{literal}");
    }
}

#[test]
fn members_and_items_are_read_one_by_one() {
    let mut cursor = Cursor::new(r#" { "a" : [ 1 , "x" ] , "b\n" : null } "#);
    let mut first = true;
    cursor.enter_object().unwrap();
    assert_eq!(cursor.next_key(&mut first).unwrap().unwrap().inner, "a");
    cursor.enter_array().unwrap();
    let mut first_item = true;
    assert!(cursor.next_item(&mut first_item).unwrap());
    assert_eq!(cursor.value().unwrap(), "1");
    assert!(cursor.next_item(&mut first_item).unwrap());
    assert_eq!(cursor.raw_value().unwrap(), RawValue { raw: "\"x\"", plain_string: true });
    assert!(!cursor.next_item(&mut first_item).unwrap());
    assert_eq!(cursor.next_key(&mut first).unwrap().unwrap().unescape().text, "b\n");
    assert_eq!(cursor.peek_kind().unwrap(), Kind::Null);
    assert_eq!(cursor.value().unwrap(), "null");
    assert_eq!(cursor.next_key(&mut first).unwrap(), None);
    cursor.finish().unwrap();
}

proptest! {
    /// serde_json is stricter in just the two liberties that this cursor takes, and in depth.
    #[test]
    fn agrees_with_serde_json_on_what_is_json(text in r#"[\[\]{}:,"\\a0-9eE.+ tfn-]{0,24}"#) {
        let mut cursor = Cursor::new(&text);
        let own = cursor.value().and_then(|_| cursor.finish()).is_ok();
        let other = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(own, other, "{}", text);
    }

    #[test]
    fn strings_round_trip(value in ".{0,100}") {
        let literal = serde_json::to_string(&value).unwrap();
        let mut cursor = Cursor::new(&literal);
        let string = cursor.string().unwrap();
        prop_assert_eq!(string.unescape().text, value.as_str());
        cursor.finish().unwrap();
    }

    #[test]
    fn truncated_documents_are_never_json(cut in 0_usize..70) {
        let text = r#"{"a":[1,2.5e3,{"b":"c\u00e9\n","d":[true,false,null]}],"e":{}}"#;
        let whole = text.len();
        let mut cursor = Cursor::new(&text[..cut.min(whole - 1)]);
        prop_assert!(cursor.value().is_err());
    }
}
