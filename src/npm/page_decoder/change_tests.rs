#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::npm::{ChangeRow, Seq};

fn decode_in_pieces(body: &[u8], size: usize) -> Result<ChangesPage> {
    let mut decoder = ChangesDecoder::new(MAX_PAGE_ROWS);
    body.chunks(size).try_for_each(|piece| decoder.feed(piece))?;
    decoder.finish()
}

fn decode(body: &[u8]) -> Result<ChangesPage> {
    decode_in_pieces(body, body.len().max(1))
}

fn row(seq: Option<&str>, name: &str, rev: &str, is_deleted: bool) -> ChangeRow {
    ChangeRow { seq: seq.map(Seq::new), name: name.into(), rev: rev.into(), is_deleted }
}

#[test]
fn a_page_as_npm_serves_it() {
    let body = br#"{"results":[
{"seq":122876690,"id":"@scope/x","changes":[{"rev":"11-721a"}]},
{"seq":122876701,"id":"gone","changes":[{"rev":"3-b"}],"deleted":true}
],
"last_seq":122876705}
"#;
    let page = decode(body).unwrap();
    let expected = [row(Some("122876690"), "@scope/x", "11-721a", false), row(Some("122876701"), "gone", "3-b", true)];
    assert_eq!(page.rows, expected);
    assert_eq!((page.last_seq, page.pending, page.unusable_rows), (Some(Seq::new("122876705")), None, 0));
    let empty = decode(br#"{"results":[],"last_seq":7}"#).unwrap();
    assert_eq!((empty.rows.len(), empty.last_seq), (0, Some(Seq::new("7"))));
}

#[test]
fn a_page_as_couchdb_serves_it() {
    let body = br#"{"last_seq":"5-g1AAA\u0041","pending":12,"results":[
        {"id":"a\u0062","seq":"3-g1A","doc":{"id":"no"},"changes":[{"rev":"2-b","x":1},{"rev":"1-z"}]},
        {"seq":null,"id":"d","deleted":false,"changes":[{"rev":"1-a"}]}]}"#;
    let page = decode(body).unwrap();
    assert_eq!(page.rows, [row(Some("3-g1A"), "ab", "2-b", false), row(None, "d", "1-a", false)]);
    assert_eq!((page.last_seq, page.pending), (Some(Seq::new("5-g1AAAA")), Some(12)));
}

#[test]
fn rows_that_cannot_be_used_are_counted_and_the_others_kept() {
    let body = br#"{"results":[{"seq":1,"id":"_design/x","changes":[{"rev":"1-a"}]},{"seq":2,"id":"a"},{"seq":3,"changes":[]},
        {"seq":4,"id":"b","changes":[]},{"seq":5,"id":"c","changes":[7]},{"seq":6,"id":null,"changes":[{"rev":"1-a"}]},
        {"seq":7,"id":"\ud800","changes":[{"rev":"1-a"}]},null,{"seq":8,"id":"z","changes":[{"rev":"1-z"}]}],"last_seq":9}"#;
    let page = decode(body).unwrap();
    assert_eq!(page.rows, [row(Some("8"), "z", "1-z", false)]);
    assert_eq!(page.unusable_rows, 8);
}

#[test]
fn a_page_without_a_way_to_continue_is_invalid() {
    for (body, why) in [
        (r#"{"results":[]}"#, "it lacks a last_seq"),
        (r#"{"results":[],"last_seq":null}"#, "it lacks a last_seq"),
        (r#"{"rows":[],"last_seq":1}"#, "no array called results"),
        (r#"{"results":[{"seq":1,"id":"a","changes":[{"rev":"1-a"}]}"#, "stops before its end"),
        ("<html>", "not a page of _changes"),
    ] {
        let error = decode(body.as_bytes()).unwrap_err();
        assert!(error.message().contains(why), "{body}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn cuts_change_nothing(
        rows in prop::collection::vec(("[^\u{0}-\u{1f}]{0,12}", "0|[1-9][0-9]{0,9}|1e3|null", any::<bool>(), any::<bool>()), 0..12),
        size in 1usize..60,
    ) {
        let lines: Vec<String> = rows.iter().map(|(name, seq, deleted, spaced)| {
            let (id, space) = (serde_json::to_string(name).unwrap(), if *spaced { " " } else { "" });
            let deleted = if *deleted { ",\"deleted\":true" } else { "" };
            format!("{{\"seq\":{space}{seq},\"id\":{id},\"changes\":[{{\"rev\":\"1-a\"}}]{deleted}}}")
        }).collect();
        let body = format!("{{\"results\":[\n{}\n],\n\"last_seq\":12}}\n", lines.join(",\n"));
        let whole = decode(body.as_bytes());
        let pieces = decode_in_pieces(body.as_bytes(), size);
        prop_assert_eq!(whole.as_ref().ok(), pieces.as_ref().ok());
        let page = whole.unwrap();
        let read: Vec<_> = page.rows.iter().map(|row| (row.name.as_str(), row.is_deleted)).collect();
        let expected = rows.iter().filter(|(name, ..)| !name.starts_with("_design/"));
        prop_assert_eq!(read, expected.map(|(name, _, deleted, _)| (name.as_str(), *deleted)).collect::<Vec<_>>());
    }
}
