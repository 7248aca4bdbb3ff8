//! Tests tables in terminals of several widths.

use serde_json::json;

use super::lake::TestLake;
use crate::query::{TableOptions, write};
use crate::table::TableKind;

async fn shown(lake: &TestLake, sql: &str, width: u16) -> String {
    let stream = lake.session().query(sql).await.unwrap();
    let mut out = Vec::new();
    let options = TableOptions { width: Some(width), styled: false };
    write(stream, crate::query::Format::Table, &mut out, &options).await.unwrap();
    String::from_utf8(out).unwrap()
}

fn widest(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or_default()
}

fn wordy() -> TestLake {
    let lake = TestLake::empty();
    let long = "a long description that no narrow terminal can show in one line, and so on";
    let rows = [
        json!({"name": "short", "latest": "1.0.0", "description": long, "version_count": 1_234_567}),
        json!({"name": "evil", "latest": "2.0.0", "description": "red \u{1b}[31m\r\n\tline\u{202e}", "version_count": 7}),
    ];
    lake.put("npm", TableKind::Packages, None, None, &rows);
    lake
}

#[tokio::test]
async fn columns_give_way_to_the_terminal_but_numbers_do_not() {
    let text = shown(&wordy(), "select name, description, version_count from packages", 50).await;
    assert!(widest(&text) <= 50, "{text}");
    assert!(text.contains('…') && text.contains(" 1234567\n"), "{text}");
    assert_eq!(text.lines().count(), 5, "one line a row: {text}");
}

#[tokio::test]
async fn a_row_too_wide_for_the_terminal_is_one_column_a_line() {
    let text = shown(&wordy(), "select * from packages where name = 'short'", 60).await;
    assert!(text.starts_with("── row 1 ──\n name "), "{text}");
    assert!(text.ends_with("(1 row)\n"), "{text}");
    assert!(widest(&text) <= 60, "{text}");
    assert!(text.contains("│ 1234567\n") && text.contains("│ NULL\n"), "{text}");
}

/// Widths are counted in 16 bits.
#[tokio::test]
async fn a_text_of_any_length_is_shown_where_there_is_no_terminal() {
    let lake = TestLake::empty();
    for value in ["repeat('x', 65534)", "repeat('漢', 200000)", "repeat('x', 65534), repeat('y', 65534)"] {
        let mut out = Vec::new();
        let stream = lake.session().query(&format!("select {value}")).await.unwrap();
        write(stream, crate::query::Format::Table, &mut out, &TableOptions::default()).await.unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains('…') && text.ends_with("(1 row)\n"));
    }
}

#[tokio::test]
async fn text_cannot_command_the_terminal() {
    let text = shown(&wordy(), "select description from packages where name = 'evil'", 80).await;
    assert!(text.contains("red \u{fffd}[31m⏎ line\u{fffd}"), "{text:?}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[tokio::test]
async fn nulls_are_dimmed_where_codes_are_wanted() {
    let lake = wordy();
    let stream = lake.session().query("select license from packages").await.unwrap();
    let mut out = Vec::new();
    let options = TableOptions { width: Some(80), styled: true };
    write(stream, crate::query::Format::Table, &mut out, &options).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("\u{1b}[2mNULL\u{1b}[0m"), "{text:?}");
}

#[tokio::test]
async fn widths_of_the_first_rows_hold_for_the_rest() {
    let lake = TestLake::empty();
    let row = |n: usize| json!({"name": format!("{n:06}"), "rev": if n > 25_000 { "1-longer" } else { "1-x" }});
    lake.put("npm", TableKind::Docs, None, None, &(0..30_000).map(row).collect::<Vec<_>>());
    let text = shown(&lake, "select name, rev from docs order by name", 80).await;
    assert_eq!(text.lines().count(), 30_000 + 3);
    assert_eq!(text.matches("name").count(), 1, "one header");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines[2], lines[20_002]), (" 000000 │ 1-x", " 020000 │ 1-x"));
    assert!(lines[30_001].starts_with(" 029999 │ ") && lines[30_001].ends_with('…'), "{}", lines[30_001]);
    assert_eq!(lines[30_002], "(30000 rows)");
}
