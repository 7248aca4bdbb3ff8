//! Tests the SQL that is made of CouchDB's parameters.

use super::*;
use crate::query::named::QueryKind;

fn sql(selection: &Selection) -> String {
    let view = NamedQuery::parse(
        "v",
        QueryKind::View,
        "-- One row is: x\n-- Columns: a, n, at, x_json\n-- Key: a, n, at\nselect 1",
    )
    .unwrap();
    let column = |name: &str, kind, nullable| ViewColumn { name: name.to_owned(), kind, nullable };
    let columns = [
        column("a", ColumnKind::Text, false),
        column("n", ColumnKind::Number, true),
        column("at", ColumnKind::Time, false),
        column("x_json", ColumnKind::Text, true),
    ];
    let bound = select_from_view(&view, "v", &columns, selection);
    bound.map_or_else(|error| error.message().to_owned(), |bound| bound.to_string())
}

fn condition(selection: &Selection) -> String {
    let sql = sql(selection);
    let Some((_, rest)) = sql.split_once("\nwhere ") else { return sql };
    rest.split("\norder").next().unwrap().to_owned()
}

#[test]
fn a_whole_view_is_in_the_order_of_its_key() {
    assert_eq!(sql(&Selection::default()), "select a, n, at, x_json\nfrom v\norder by a, n nulls first, at");
    let turned = Selection { descending: true, limit: Some(2), skip: Some(1), ..Selection::default() };
    assert!(
        sql(&turned).ends_with("order by a desc, n desc nulls last, at desc\nlimit 2\noffset 1"),
        "{}",
        sql(&turned)
    );
}

#[test]
fn a_key_is_the_beginning_of_a_row() {
    let key = |text: &str| condition(&Selection { key: Some(Key::parse(text)), ..Selection::default() });
    assert_eq!(key("react"), "(a = $key_1)");
    assert_eq!(key("2020"), "(a = $key_1)");
    assert_eq!(key(r#"["react", 5]"#), "(a = $key_2 and (n = $key_1))");
    assert_eq!(key(r#"["react", null]"#), "(a = $key_1 and (n is null))");
    assert_eq!(key(r#"["react", "x"]"#), "(a = $key_1 and (false))".replace("a = $key_1 and (false)", "false"));
    assert!(key(r#"["a", 1, "2020-01-01", "x"]"#).contains("the key has 4 values"));
    assert!(key(r#"["a", 1, "soon"]"#).contains("\"soon\" is not a time"));
    let keys =
        |text: &str| condition(&Selection { keys: Some(Key::parse_list(text).unwrap()), ..Selection::default() });
    assert_eq!(keys(r#"["a", ["b", 1]]"#), "(a = $key_1 or a = $key_3 and (n = $key_2))");
    assert_eq!(keys("[]"), "(false)");
    assert!(Key::parse_list("react").is_err());
}

#[test]
fn ranges_compare_keys_from_the_left() {
    let range = |start: &str, end: &str, descending| {
        let key = |text: &str| (!text.is_empty()).then(|| Key::parse(text));
        condition(&Selection { start_key: key(start), end_key: key(end), descending, ..Selection::default() })
    };
    assert_eq!(range("b", "c", false), "(a >= $key_1) and (a <= $key_2)");
    assert_eq!(range("c", "b", true), "(a >= $key_1) and (a <= $key_2)");
    assert_eq!(range(r#"["b"]"#, r#"["c"]"#, false), "(a >= $key_1) and (a < $key_2)");
    assert_eq!(range(r#"["b"]"#, r#"["b", {}]"#, false), "(a >= $key_1) and (a <= $key_2)");
    assert_eq!(range(r#"["b", 2]"#, "", false), "(a > $key_2 or a = $key_2 and (n >= $key_1))");
    assert_eq!(range("", r#"["b", 2]"#, false), "(a < $key_2 or a = $key_2 and (n is null or n < $key_1))");
    assert_eq!(range("null", "{}", false), "(true) and (true)");
}

#[test]
fn groups_are_counted() {
    let grouped = Selection { group_level: Some(2), key: Some(Key::parse("x")), ..Selection::default() };
    assert_eq!(
        sql(&grouped),
        "select a, n, count(*) as value\nfrom v\nwhere (a = $key_1)\ngroup by a, n\norder by a, n nulls first\n-- $key_1 = 'x'"
    );
    let whole = Selection { group_level: Some(9), ..Selection::default() };
    assert!(sql(&whole).starts_with("select a, n, at, count(*) as value"), "{}", sql(&whole));
    assert_eq!(sql(&Selection { reduce: true, ..Selection::default() }), "select count(*) as value\nfrom v");
}
