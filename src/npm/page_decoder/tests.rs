#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::npm::DocRow;

fn decode(body: &[u8]) -> Result<Page> {
    let mut decoder = PageDecoder::new(MAX_PAGE_ROWS);
    decoder.feed(body)?;
    decoder.finish()
}

/// Feeds the body in pieces of `size` bytes; a cut row takes the slow path.
fn decode_in_pieces(body: &[u8], size: usize) -> Result<Page> {
    let mut decoder = PageDecoder::new(MAX_PAGE_ROWS);
    for piece in body.chunks(size) {
        decoder.feed(piece)?;
    }
    decoder.finish()
}

fn row(name: &str, rev: &str) -> DocRow {
    DocRow::new(name, rev)
}

#[test]
fn a_page_as_npm_serves_it() {
    let body = br#"{"total_rows":3628088,"offset":0,"rows":[
{"id":"-","key":"-","value":{"rev":"5-f089"}},
{"id":"@types/node","key":"@types/node","value":{"rev":"1-a"}}
]}
"#;
    let page = decode(body).unwrap();
    assert_eq!((page.total_rows, page.offset, page.unusable_rows), (Some(3_628_088), Some(0), 0));
    assert_eq!(page.rows, [row("-", "5-f089"), row("@types/node", "1-a")]);
    assert_eq!(decode(br#"{"rows":[]}"#).unwrap(), Page::default());
}

#[test]
fn order_of_members_white_space_and_unknown_members_do_not_matter() {
    let body = br#" { "rows" : [ {"value" : { "x":[1,{"rev":"9-no"}], "rev":"1-a" } , "key":7, "id":"a\u0062\/c"} ,
        {"id":"d","key":"d","value":{"rev":"2-b","deleted":true},"doc":null} ] , "warning" : { "rows": ["]}"] },
        "offset" : null, "total_rows" : 2 } "#;
    let page = decode(body).unwrap();
    assert_eq!(page.rows, [row("ab/c", "1-a"), row("d", "2-b")]);
    assert_eq!((page.total_rows, page.offset), (Some(2), None));
}

#[test]
fn rows_that_cannot_be_used_are_counted_and_the_others_kept() {
    let body = br#"{"rows":[{"id":"a","key":"a","value":{"rev":"1-a"}},{"key":"b","error":"not_found"},{"id":3,"value":{"rev":"1-b"}},
        {"id":"\ud800x","key":"\ud800x","value":{"rev":"1-c"}},{"id":"c","key":"c","value":{}},null,[1],"text",12,
        {"id":"d","value":{"rev":null}},{"id":"_design/app","key":"_design/app","value":{"rev":"1-d"}},{oops},
        {"id":"z","key":"z","value":{"rev":"1-z"}}]}"#;
    let page = decode(body).unwrap();
    assert_eq!(page.rows, [row("a", "1-a"), row("z", "1-z")]);
    assert_eq!(page.unusable_rows, 11);

    let not_utf8 = b"{\"rows\":[{\"id\":\"\xff\",\"key\":\"\xff\",\"value\":{\"rev\":\"1-a\"}},{\"id\":\"\xff\",\"value\":{\"rev\":\"1-a\"}}]}";
    let page = decode(not_utf8).unwrap();
    assert_eq!((page.rows.len(), page.unusable_rows), (0, 2));
}

#[test]
fn of_equal_members_the_last_counts() {
    let page = decode(br#"{"rows":[{"id":"a","id":"b","value":{"rev":"1-a","rev":"2-b"}}]}"#).unwrap();
    assert_eq!(page.rows, [row("b", "2-b")]);
}

#[test]
fn a_body_that_is_not_a_page_is_an_error_with_a_reason() {
    for (body, why) in [
        ("", "stops before its end"),
        ("<!doctype html><html>", "begins with \"<!doctype"),
        ("\"Bad Request\"", "begins with"),
        ("[1,2]", "begins with"),
        (r#"{"error":"x","reason":"y"}"#, "no array called rows"),
        (r#"{"rows":null}"#, "no array called rows"),
        (r#"{"rows":[{"id":"a","key":"a","value":{"rev":"1-a"}}"#, "stops before its end"),
        (r#"{"rows":[{"id":"a","key":"a","value":{"re"#, "stops before its end"),
        (r#"{"rows":[]}}"#, "follows its end"),
        (r#"{"rows":[,]}"#, "between two commas"),
        (r#"{"rows"=[]}"#, "where it must not"),
        (r#"{"rows":[] "offset":1}"#, "where it must not"),
    ] {
        let error = decode(body.as_bytes()).unwrap_err();
        assert!(error.message().contains(why), "{body}: {error}");
        assert_eq!(error.kind(), ErrorKind::Network);
    }
}

#[test]
fn more_rows_than_a_page_can_have_are_refused() {
    let mut decoder = PageDecoder::new(1);
    decoder.feed(b"{\"rows\":[").unwrap();
    for _ in 0..MAX_PAGE_ROWS {
        decoder.feed(b"{\"id\":\"a\",\"key\":\"a\",\"value\":{\"rev\":\"1-a\"}},").unwrap();
    }
    let error = decoder.feed(b"{\"id\":\"a\",\"key\":\"a\",\"value\":{\"rev\":\"1-a\"}},").unwrap_err();
    assert!(error.message().contains("more than the 10000 rows"), "{error}");

    let mut decoder = PageDecoder::new(1);
    decoder.feed(b"{\"rows\":[").unwrap();
    let endless = (0..=MAX_PAGE_ROWS).try_for_each(|_| decoder.feed(b"null,"));
    assert!(endless.is_err());
}

#[test]
fn a_value_without_end_does_not_grow_without_bound() {
    let mut decoder = PageDecoder::new(1);
    decoder.feed(b"{\"rows\":[{\"id\":\"").unwrap();
    let block = [b'a'; 4096];
    let fed = (0..1024).take_while(|_| decoder.feed(&block).is_ok()).count();
    assert!((255..=257).contains(&fed), "{fed} blocks of 4 KiB were taken");
}

#[test]
fn a_long_row_in_single_bytes_is_not_read_again_for_each() {
    // A quadratic decoder would look at 5 * 10^11 bytes here.
    let body = format!(r#"{{"rows":[{{"id":"{}","value":{{"rev":"1-a"}}}}]}}"#, "a".repeat(1_000_000));
    let page = decode_in_pieces(body.as_bytes(), 1).unwrap();
    assert_eq!(page.rows.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn random_cuts_give_the_same_page(
        names in prop::collection::vec("[^\u{0}-\u{1f}]{0,12}", 0..12),
        cuts in prop::collection::vec(1usize..40, 1..200),
        spaced in any::<bool>(),
    ) {
        let rows: Vec<String> = names.iter().map(|name| {
            let id = serde_json::to_string(name).unwrap();
            if spaced { format!("{{ \"key\": {id}, \"id\": {id}, \"value\": {{ \"rev\": \"1-a\" }} }}") }
            else { format!("{{\"id\":{id},\"key\":{id},\"value\":{{\"rev\":\"1-a\"}}}}") }
        }).collect();
        let body = format!("{{\"total_rows\":12,\"offset\":3,\"rows\":[\n{}\n]}}\n", rows.join(",\n"));
        let mut decoder = PageDecoder::new(MAX_PAGE_ROWS);
        let (mut rest, mut cut) = (body.as_bytes(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*cut.next().unwrap()).min(rest.len()));
            decoder.feed(piece).unwrap();
            rest = after;
        }
        let page = decoder.finish().unwrap();
        prop_assert_eq!(&page, &decode(body.as_bytes()).unwrap());
        let expected: Vec<&String> = names.iter().filter(|name| !name.starts_with("_design/")).collect();
        prop_assert_eq!(page.rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), expected);
        prop_assert_eq!((page.total_rows, page.offset), (Some(12), Some(3)));
    }

    #[test]
    fn no_bytes_make_it_panic(mut body in prop::collection::vec(prop::sample::select(&b"{}[]\",:\\ rowsidvalue\x80\xff0n"[..]), 0..200), inside in any::<bool>()) {
        if inside {
            body.splice(0..0, *b"{\"rows\":[");
        }
        let whole = decode(&body).ok();
        prop_assert_eq!(whole, decode_in_pieces(&body, 1).ok());
    }
}
