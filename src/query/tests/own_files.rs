//! Tests the user's own files as tables: types from all rows, no value changed, and errors that name the place.

use std::io::Write;
use std::path::PathBuf;

use futures::TryStreamExt;
use serde_json::{Value, json};

use super::lake::TestLake;
use crate::error::{Error, ErrorKind};
use crate::query::{Format, Session, SessionOptions, TableOptions, write};

/// A folder of files, and a session that may read them.
pub(super) struct Files {
    folder: tempfile::TempDir,
    _lake: TestLake,
    pub(super) session: Session,
}

impl Files {
    pub(super) fn new() -> Files {
        let lake = TestLake::small();
        let session = lake.session_with(&SessionOptions { reads_own_files: true, ..SessionOptions::default() });
        Files { folder: tempfile::tempdir().unwrap(), _lake: lake, session }
    }

    /// Writes a file, and returns its path.
    pub(super) fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Replaces `@` in a statement by the folder of the files.
    fn sql(&self, sql: &str) -> String {
        sql.replace('@', self.folder.path().to_str().unwrap())
    }

    pub(super) async fn rows(&self, sql: &str) -> Vec<Value> {
        let stream = self.session.query(&self.sql(sql)).await.unwrap();
        let mut out = Vec::new();
        write(stream, Format::Json, &mut out, &TableOptions::default()).await.unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    pub(super) async fn error(&self, sql: &str) -> Error {
        let sql = self.sql(sql);
        let ran: crate::error::Result<Vec<_>> = async { self.session.query(&sql).await?.try_collect().await }.await;
        match ran {
            Ok(_) => unreachable!("{sql} has no error"),
            Err(error) => error,
        }
    }

    async fn types(&self, table: &str) -> Vec<(String, String)> {
        let rows = self.rows(&format!("describe select * from {table}")).await;
        let text = |row: &Value, column: &str| row[column].as_str().unwrap().to_owned();
        rows.iter().map(|row| (text(row, "column_name"), text(row, "data_type"))).collect()
    }
}

fn typed(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, data_type)| ((*name).to_owned(), (*data_type).to_owned())).collect()
}

#[tokio::test]
async fn the_columns_come_from_all_records() {
    let files = Files::new();
    let record = |n: usize| match n {
        20_000 => format!("{{\"n\":{n},\"late\":\"here\"}}\n"),
        20_001 => format!("{{\"n\":\"{n}\"}}\n"),
        n => format!("{{\"n\":{n}}}\n"),
    };
    files.put("late.ndjson", (0..20_002).map(record).collect::<String>());
    let counts = "select count(*) as all, count(late) as late, max(late) as text, min(n) as n from '@/late.ndjson'";
    assert_eq!(files.rows(counts).await, [json!({"all": 20_002, "late": 1, "text": "here", "n": "0"})]);
}

#[tokio::test]
async fn mixed_values_are_text_or_json_and_objects_merge() {
    let files = Files::new();
    let lines = r#"
{"deprecated":false,"author":"Jane","o":{"x":1},"wide":1,"f":1,"l":[],"u":null,"e":{}}

{"deprecated":"use y","author":{"name":"Jo"},"o":{"y":"t"},"wide":12345678901234567890123,"f":1.5,"l":[1,2.5]}
{"deprecated":1.50,"author":["a"],"exact":9007199254740993,"text":1e999}
{"exact":1.5,"dup":1,"dup":2,"s":"\ud800x"}
"#;
    files.put("mixed.ndjson", lines);
    let rows = files.rows("select * from '@/mixed.ndjson'").await;
    assert_eq!(rows.len(), 4);
    let column = |name: &str| rows.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(column("deprecated"), [json!("false"), json!("use y"), json!("1.50"), json!(null)]);
    assert_eq!(column("author"), [json!("\"Jane\""), json!("{\"name\":\"Jo\"}"), json!("[\"a\"]"), json!(null)]);
    assert_eq!(column("o")[..2], [json!({"x": 1, "y": null}), json!({"x": null, "y": "t"})]);
    assert_eq!(column("f")[..2], [json!(1.0), json!(1.5)]);
    assert_eq!(column("l")[..2], [json!([]), json!([1.0, 2.5])]);
    assert_eq!(column("exact")[2..], [json!("9007199254740993"), json!("1.5")], "a double would change it");
    assert_eq!(column("text")[2], json!("1e999"));
    assert_eq!(column("dup")[3], json!(2), "the last one counts, as in JavaScript");
    assert_eq!(column("s")[3], json!("\u{fffd}x"));
    assert_eq!(column("e")[0], json!("{}"));
    let wide = files.rows("select cast(wide as text) as wide from '@/mixed.ndjson' where wide > 1").await;
    assert_eq!(wide, [json!({"wide": "12345678901234567890123"})]);
    let names = files.rows("select json_get_str(author, 'name') as name from '@/mixed.ndjson'").await;
    assert_eq!(names[1], json!({"name": "Jo"}));
    let types = files.types("'@/mixed.ndjson'").await;
    assert_eq!(types.iter().find(|(name, _)| name == "u").unwrap().1, "Utf8", "nulls only are text");
}

#[tokio::test]
async fn an_object_with_many_members_is_json_text() {
    let files = Files::new();
    let line = |n: usize| format!("{{\"deps\":{{\"a{n}\":1,\"b{n}\":{{\"c{n}\":[]}}}}}}\n");
    files.put("maps.ndjson", (0..300).map(line).collect::<String>());
    let rows = files.rows("select deps from '@/maps.ndjson' limit 1").await;
    assert_eq!(rows, [json!({"deps": "{\"a0\":1,\"b0\":{\"c0\":[]}}"})]);
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(400), "]".repeat(400));
    files.put("deep.ndjson", deep);
    assert_eq!(files.rows("select count(a) as n from '@/deep.ndjson'").await, [json!({"n": 1})]);
}

#[tokio::test]
async fn json_is_read_in_each_of_its_forms() {
    let files = Files::new();
    let expected = [json!({"a": 1, "b": "x\ny"}), json!({"a": 2, "b": null})];
    let forms: [(&str, &str); 8] = [
        ("one-line.json", r#"[{"a":1,"b":"x\ny"},{"a":2}]"#),
        ("pretty.json", "[\n  {\n    \"a\": 1,\n    \"b\": \"x\\ny\"\n  },\n  {\"a\": 2}\n]\n"),
        ("lines.json", "{\"a\":1,\"b\":\"x\\ny\"}\n{\"a\":2}"),
        ("values.json", "{\n\"a\":1,\"b\":\"x\\ny\"} {\"a\":\n2}"),
        ("lines.jsonl", "{\"a\":1,\"b\":\"x\\ny\"}\r\n\r\n{\"a\":2}\r\n"),
        ("returns.ndjson", "{\"a\":1,\"b\":\"x\\ny\"}\r{\"a\":2}\r"),
        ("array.ndjson", "\u{feff}[{\"a\":1,\"b\":\"x\\ny\"},\n{\"a\":2}]"),
        ("UPPER.NDJSON", "{\"a\":1,\"b\":\"x\\ny\"}\n{\"a\":2}\n"),
    ];
    for (name, text) in forms {
        files.put(name, text);
        assert_eq!(files.rows(&format!("select * from '@/{name}'")).await, expected, "{name}");
    }
    let utf_16: Vec<u8> = format!("\u{feff}{}", forms[1].1).encode_utf16().flat_map(u16::to_le_bytes).collect();
    files.put("utf-16.json", &utf_16);
    assert_eq!(files.rows("select * from '@/utf-16.json'").await, expected);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(forms[0].1.as_bytes()).unwrap();
    files.put("packed.json.gz", gzip.finish().unwrap());
    files.put("packed.jsonl.zst", zstd::encode_all(forms[4].1.as_bytes(), 1).unwrap());
    for name in ["packed.json.gz", "packed.jsonl.zst"] {
        assert_eq!(files.rows(&format!("select * from '@/{name}'")).await, expected, "{name}");
    }
    files.put("single.json", "{\"a\":1,\n \"b\":\"x\\ny\"}\n");
    assert_eq!(files.rows("select * from '@/single.json'").await, expected[..1]);
    files.put("names.json", "[\"react\", \"left-pad\"]");
    assert_eq!(
        files.rows("select value from '@/names.json'").await,
        [json!({"value": "react"}), json!({"value": "left-pad"})]
    );
    // Records longer than any buffer.
    let long = "x".repeat(300_000);
    files.put("long.json", format!("[{{\"a\":\"{long}\"}},{{\"a\":\"{long}]\"}}]"));
    assert_eq!(
        files.rows("select length(a) as n from '@/long.json'").await,
        [json!({"n": 300_000}), json!({"n": 300_001})]
    );
}

#[tokio::test]
async fn what_is_written_is_read_again() {
    let files = Files::new();
    let sql =
        "select name, version, published_at, is_latest, unpacked_size_bytes as size, bin from versions order by 1, 2";
    let rows = files.rows(sql).await;
    for (name, format) in [("out.json", Format::Json), ("out.ndjson", Format::Ndjson), ("out.parquet", Format::Parquet)]
    {
        let mut out = Vec::new();
        write(files.session.query(sql).await.unwrap(), format, &mut out, &TableOptions::default()).await.unwrap();
        files.put(name, out);
        assert_eq!(files.rows(&format!("select * from '@/{name}' order by 1, 2")).await, rows, "{name}");
    }
    let mut out = Vec::new();
    let none = format!("select * from ({sql}) where name = 'nobody'");
    write(files.session.query(&none).await.unwrap(), Format::Json, &mut out, &TableOptions::default()).await.unwrap();
    files.put("none.json", out);
    files.put("none.ndjson", "");
    for name in ["none.json", "none.ndjson"] {
        assert_eq!(files.rows(&format!("select count(*) as n from '@/{name}'")).await, [json!({"n": 0})]);
    }
}

#[tokio::test]
async fn a_column_of_csv_has_a_type_only_if_every_value_stays_as_it_is() {
    let files = Files::new();
    let text = "range,zeros,sign,power,whole,part,mixed,time,day,flag,name,none\n\
        1.10,007,+5,1e5,1,0.5,1,2020-01-02T03:04:05.678Z,2020-01-02,true,NaN,\n\
        1.2,8,6,2,-2,-1.25,1.5,2021-01-02T03:04:05Z,2021-01-02,false,inf,\n";
    files.put("types.csv", text);
    let expected = typed(&[
        ("range", "Utf8"),
        ("zeros", "Utf8"),
        ("sign", "Utf8"),
        ("power", "Utf8"),
        ("whole", "Int64"),
        ("part", "Float64"),
        ("mixed", "Utf8"),
        ("time", "Timestamp(µs, \"UTC\")"),
        ("day", "Date32"),
        ("flag", "Boolean"),
        ("name", "Utf8"),
        ("none", "Utf8"),
    ]);
    assert_eq!(files.types("'@/types.csv'").await, expected);
    let all_text = files.types("read_csv('@/types.csv', all_text => true)").await;
    assert!(all_text.iter().all(|(_, data_type)| data_type == "Utf8"), "{all_text:?}");
    let mut out = Vec::new();
    let stream = files.session.query(&files.sql("select * from '@/types.csv'")).await.unwrap();
    write(stream, Format::Csv, &mut out, &TableOptions::default()).await.unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), text);
    // Beyond the rows that are judged at once.
    let many: String = (0..20_000).map(|n| format!("{n},{}\n", if n == 19_999 { "x" } else { "1" })).collect();
    files.put("many.csv", format!("n,late\n{many}"));
    assert_eq!(files.types("'@/many.csv'").await, typed(&[("n", "Int64"), ("late", "Utf8")]));
    assert_eq!(
        files.rows("select sum(n) as n, max(late) as l from '@/many.csv'").await,
        [json!({"n": 199_990_000, "l": "x"})]
    );
    assert_eq!(files.rows("select part from '@/types.csv' where mixed > 1.2").await, [json!({"part": -1.25})]);
}

#[tokio::test]
async fn csv_keeps_nulls_quotes_and_line_ends() {
    let files = Files::new();
    files.put("odd.csv", "\u{feff}a,b\r\n\"x\r\ny\",\" z \"\r\n\r\n\"say \"\"hi\"\"\",\r\n\"\",5\" disk");
    let expected =
        [json!({"a": "x\r\ny", "b": " z "}), json!({"a": "say \"hi\"", "b": null}), json!({"a": "", "b": "5\" disk"})];
    assert_eq!(files.rows("select * from '@/odd.csv'").await, expected);
    files.put("one.csv", "v\r\n\r\"\"\nx\n");
    assert_eq!(
        files.rows("select * from '@/one.csv'").await,
        [json!({"v": null}), json!({"v": ""}), json!({"v": "x"})]
    );
    files.put("tabs.tsv", "a\tb\n1\tx,y\n");
    assert_eq!(files.rows("select * from '@/tabs.tsv'").await, [json!({"a": 1, "b": "x,y"})]);
    files.put("names.csv", "a,a,,a_2\n1,2,3,4\n");
    assert_eq!(files.rows("select * from '@/names.csv'").await, [json!({"a": 1, "a_2": 2, "column3": 3, "a_2_2": 4})]);
    files.put("header.csv", "only,a,header\n");
    assert_eq!(files.rows("select * from '@/header.csv'").await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_statement_says_types_and_forms() {
    let files = Files::new();
    files.put("r.txt", "react;007\nvue;8\n");
    let plain = files.rows("select * from read_csv('@/r.txt', delimiter => ';', header => false)").await;
    assert_eq!(plain[0], json!({"column1": "react", "column2": "007"}));
    let named = "select t.name, n from read_csv('@/r.txt', delimiter => ';', header => false,
                 columns => {'name': 'text', 'n': 'bigint'}) as t order by n";
    assert_eq!(files.rows(named).await, [json!({"name": "react", "n": 7}), json!({"name": "vue", "n": 8})]);
    files.put("r.ndjson", "{\"n\":1,\"t\":\"2020-01-02\",\"s\":\"5\",\"o\":{\"x\":1}}\n");
    let typed_rows = "select read_json.* from read_json('@/r.ndjson',
                      columns => '{\"n\":\"text\",\"t\":\"date\",\"s\":\"bigint\",\"o\":\"json\",\"new\":\"bigint[]\"}')";
    let expected = json!({"n": "1", "t": "2020-01-02", "s": 5, "o": "{\"x\":1}", "new": null});
    assert_eq!(files.rows(typed_rows).await, [expected]);
    let text = files.rows("select * from read_json('@/r.ndjson', all_text => true)").await;
    assert_eq!(text, [json!({"n": "1", "t": "2020-01-02", "s": "5", "o": "{\"x\":1}"})]);
    let joined =
        "select p.latest from read_csv('@/r.txt', header => false) r join packages p on p.name <> r.column1 limit 1";
    assert_eq!(files.rows(joined).await.len(), 1);
    for (call, told) in [
        ("read_json('@/r.ndjson', columns => {'n': 'nonsense'})", "no type"),
        ("read_json('@/r.ndjson', header => true)", "no argument header"),
        ("read_csv('@/r.txt', delimiter => ';;')", "one ASCII character"),
        ("read_csv('@/r.txt', columns => {'x': 'text'})", "no column \"x\""),
        ("read_csv()", "path"),
        ("read_json('@/r.ndjson', columns => {'t': 'bigint'})", "line 1: t is "),
    ] {
        let error = files.error(&format!("select * from {call}")).await;
        assert_eq!(error.kind(), ErrorKind::Input, "{call}");
        assert!(error.message().contains(told), "{call}: {}", error.report());
        assert!(error.hint_text().is_some(), "{call}");
    }
}

#[tokio::test]
async fn several_files_are_one_table() {
    let files = Files::new();
    files.put("p1.ndjson", "{\"a\":1}\n");
    files.put("p2.ndjson", "{\"b\":\"x\",\"a\":2.5}\n");
    let rows = files.rows("select * from '@/p*.ndjson' order by a").await;
    assert_eq!(rows, [json!({"a": 1.0, "b": null}), json!({"a": 2.5, "b": "x"})]);
    files.put("c1.csv", "a,b\n1,2\n");
    files.put("c2.csv", "b,a\n3,4\n");
    assert_eq!(
        files.rows("select * from '@/c*.csv' order by a").await,
        [json!({"a": 1, "b": 2}), json!({"a": 4, "b": 3})]
    );
}

#[tokio::test]
async fn an_error_names_the_file_and_the_line() {
    let files = Files::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&b"{\"a\":1}\n".repeat(10_000)).unwrap();
    let gzip = gzip.finish().unwrap();
    files.put("cut.ndjson.gz", &gzip[..gzip.len() - 9]);
    files.put("line.ndjson", "{\"a\":1}\n{\"a\":\n{\"a\":3}\n");
    files.put("array.json", "[{\"a\":1},\n{\"a\":2]\n");
    files.put("open.json", "[{\"a\":1}\n");
    files.put("tail.json", "[{\"a\":1}]}\n");
    files.put("ragged.csv", "a,b\n1,2\n\"x\ny\",2\n3\n");
    files.put("long.csv", "a,b\n1,2,3\n");
    files.put("quote.csv", "a,b\n1,\"x\n");
    files.put("latin.csv", b"a\ncaf\xe9\n");
    files.put("x.xlsx", "");
    files.put("bad.parquet", "no parquet");
    std::fs::create_dir(files.folder.path().join("folder.csv")).unwrap();
    for (name, told) in [
        ("cut.ndjson.gz", "is not whole: its gzip data"),
        ("line.ndjson", "line 2"),
        ("array.json", "line 2"),
        ("open.json", "ends within an array"),
        ("tail.json", "line 1 has a '}'"),
        ("ragged.csv", "line 5 has 1 values, and the header 2"),
        ("long.csv", "line 2 has 3 values"),
        ("quote.csv", "line 2: a field in quotes does not end"),
        ("latin.csv", "line 2 has other bytes, at byte 5"),
        ("x.xlsx", "names no form of records"),
        ("bad.parquet", "is no Parquet file, or is damaged"),
        ("folder.csv", "is a folder"),
        ("absent.csv", "there is no file"),
        ("*.absent.csv", "there is no file"),
    ] {
        let error = files.error(&format!("select * from '@/{name}'")).await;
        assert_eq!(error.kind(), ErrorKind::Input, "{name}: {}", error.report());
        assert!(error.message().contains(told) && error.message().contains(name), "{name}: {}", error.report());
    }
    assert!(files.error("select * from nothing").await.message().contains("there is no table \"nothing\""));
}

#[tokio::test]
async fn a_view_can_read_a_file() {
    let files = Files::new();
    files.put("r.csv", "n\n1.10\n");
    let sql = "with r as (select * from read_csv('@/r.csv', all_text => true)) select r.n from r where n = '1.10'";
    assert_eq!(files.rows(sql).await, [json!({"n": "1.10"})]);
    assert!(files.rows("explain select * from read_csv('@/r.csv')").await.len() > 1);
}

#[tokio::test]
async fn quotes_can_be_letters() {
    let files = Files::new();
    files.put("x.tsv", "a\tb\n\"x\ty\"z\n\t\"\"\n");
    let hint = files.error("select * from '@/x.tsv'").await.hint_text().unwrap_or_default().to_owned();
    assert!(hint.contains("quotes => false"), "{hint}");
    let rows = files.rows("select a, b from read_csv('@/x.tsv', quotes => false)").await;
    assert_eq!(rows, [json!({"a": "\"x", "b": "y\"z"}), json!({"a": null, "b": "\"\""})]);
}

#[tokio::test]
async fn an_empty_file_is_said_to_be_empty() {
    let files = Files::new();
    files.put("empty.ndjson", "");
    assert_eq!(files.rows("select count(*) as n from '@/empty.ndjson'").await, [json!({"n": 0})]);
    for sql in [
        "select name from '@/empty.ndjson'",
        "select e.name from '@/empty.ndjson' e",
        "select p.name from packages p join '@/empty.ndjson' e on p.name = e.name",
        "select name from read_json('@/empty.ndjson')",
    ] {
        let hint = files.error(sql).await.hint_text().unwrap_or_default().to_owned();
        assert!(
            hint.contains("empty.ndjson is empty") && hint.contains("columns => {'name': 'text'}"),
            "{sql}: {hint}"
        );
    }
}
