//! Tests each format's bytes for texts, numbers, times, lists and nulls, for no rows, and for a reader that closes the
//! pipe.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, TimeUnit};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;

use super::lake::TestLake;
use crate::error::ErrorKind;
use crate::query::{Format, SessionOptions, TableOptions, write};
use crate::table::TableKind;

const VALUES: &str =
    "select v.name, published_at, unpacked_size_bytes as size, is_latest, p.keywords, bin, p.description
    from versions v join packages p on p.name = v.name where v.name in ('a', 'b') order by v.name, version";

#[tokio::test]
async fn csv_has_a_header_iso_times_and_json_lists() {
    let text = TestLake::small().text(VALUES, Format::Csv).await;
    assert_eq!(
        text,
        "name,published_at,size,is_latest,keywords,bin,description\n\
         a,2020-01-02T03:04:05.678Z,,false,\"[\"\"x\"\",\"\"y\"\"]\",,first\n\
         a,2021-01-02T03:04:05Z,1234567,true,\"[\"\"x\"\",\"\"y\"\"]\",\"[{\"\"name\"\":\"\"a\"\",\"\"path\"\":\"\"./a.js\"\"}]\",first\n\
         b,,,true,[],,\"\"\n"
    );
}

#[tokio::test]
async fn csv_tells_null_from_empty_and_quotes_what_a_reader_would_change() {
    let lake = TestLake::small();
    let sql =
        "select * from (values (1, null), (2, ''), (3, ' a'), (4, 'a,b'), (5, 'say \"hi\"'), (6, 'NULL')) t(n, text)
               order by n";
    let expected = "n,text\n1,\n2,\"\"\n3,\" a\"\n4,\"a,b\"\n5,\"say \"\"hi\"\"\"\n6,NULL\n";
    assert_eq!(lake.text(sql, Format::Csv).await, expected);
    // A null alone in its row is an empty line, as PostgreSQL and DuckDB write it.
    assert_eq!(lake.text("select null as nothing", Format::Csv).await, "nothing\n\n");
    assert_eq!(lake.text("select '' as \"a,b\"", Format::Csv).await, "\"a,b\"\n\"\"\n");
    assert_eq!(lake.text("select chr(13) || 'x' as r", Format::Csv).await, "r\n\"\rx\"\n");
}

#[tokio::test]
async fn json_is_one_array_with_explicit_nulls() {
    let text = TestLake::small().text(VALUES, Format::Json).await;
    assert!(text.starts_with("[\n{\"name\":\"a\",") && text.ends_with("}\n]\n"), "{text}");
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(
        rows[1],
        json!({"name": "a", "published_at": "2021-01-02T03:04:05Z", "size": 1234567, "is_latest": true,
               "keywords": ["x", "y"], "bin": [{"name": "a", "path": "./a.js"}], "description": "first"})
    );
    assert_eq!(
        rows[2],
        json!({"name": "b", "published_at": null, "size": null, "is_latest": true, "keywords": [], "bin": null, "description": ""})
    );
}

#[tokio::test]
async fn ndjson_is_one_object_a_line() {
    let text = TestLake::small()
        .text("select name, latest from packages where name > 'b' order by name", Format::Ndjson)
        .await;
    assert_eq!(text, "{\"name\":\"c\",\"latest\":\"0.1.0\"}\n{\"name\":\"d\",\"latest\":null}\n");
}

#[tokio::test]
async fn parquet_is_zstd_with_plain_types() {
    let bytes = Bytes::from(TestLake::small().bytes(VALUES, Format::Parquet).await);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let column = reader.metadata().row_group(0).column(0).compression();
    assert!(matches!(column, parquet::basic::Compression::ZSTD(_)), "{column:?}");
    assert_eq!(reader.schema().field(0).data_type(), &DataType::Utf8);
    assert_eq!(reader.schema().field(1).data_type(), &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
    let batch = reader.build().unwrap().next().unwrap().unwrap();
    assert_eq!(batch.num_rows(), 3);
    assert_eq!(batch.column(6).as_string::<i32>().value(2), "");
    assert!(batch.column(5).is_null(0) && batch.column(5).is_valid(1));
}

#[tokio::test]
async fn a_table_is_aligned_and_counts_its_rows() {
    let sql = "select name, unpacked_size_bytes as size, version_index as i, description as d
               from versions order by name, version limit 2";
    assert_eq!(
        TestLake::small().text(sql, Format::Table).await,
        " name │    size │ i │ d\n\
         ──────┼─────────┼───┼──────\n \
         a    │    NULL │ 0 │ NULL\n \
         a    │ 1234567 │ 1 │ NULL\n\
         (2 rows)\n"
    );
    assert!(
        TestLake::small()
            .text("select keywords from packages where name = 'a'", Format::Table)
            .await
            .contains(" [x, y]\n(1 row)\n")
    );
}

#[tokio::test]
async fn an_empty_result_is_whole_in_every_format() {
    let lake = TestLake::small();
    let sql = "select name, keywords from packages where name = 'nobody'";
    assert_eq!(lake.text(sql, Format::Table).await, " name │ keywords\n──────┼──────────\n(0 rows)\n");
    assert_eq!(lake.text(sql, Format::Csv).await, "name,keywords\n");
    assert_eq!(lake.rows(sql).await, Vec::<serde_json::Value>::new());
    assert_eq!(lake.text(sql, Format::Ndjson).await, "");
    let bytes = Bytes::from(lake.bytes(sql, Format::Parquet).await);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
    assert_eq!(reader.schema().fields().len(), 2);
}

#[tokio::test]
async fn values_out_of_documents_are_json_in_json_and_text_elsewhere() {
    let lake = TestLake::small();
    let sql = "select json->'stars' as stars, json->'tags' as tags, json->'ok' as ok, json->'name' as name,
               json->'none' as none, json->'missing' as missing from packuments where name = 'a'";
    let expected = json!({"stars": 3, "tags": ["p", "q"], "ok": true, "name": "a", "none": null, "missing": null});
    assert_eq!(lake.rows(sql).await, [expected]);
    assert_eq!(
        lake.text(sql, Format::Csv).await,
        "stars,tags,ok,name,none,missing\n3,\"[\"\"p\"\",\"\"q\"\"]\",true,a,,\n"
    );
    let table = lake.text(sql, Format::Table).await;
    assert!(table.contains(" 3     │ [\"p\",\"q\"] │ true │ a    │ NULL │ NULL"), "{table}");
    let bytes = Bytes::from(lake.bytes(sql, Format::Parquet).await);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    assert_eq!(reader.schema().field(0).data_type(), &DataType::Utf8);
}

#[tokio::test]
async fn columns_of_one_name_all_arrive() {
    let sql = "select n.name, m.name from packages n join mirror.packages m on m.name = n.name";
    assert_eq!(TestLake::small().rows(sql).await, [json!({"name": "b", "name_2": "b"})]);
}

/// A sink that takes some bytes and then fails in one way. It records the bytes.
struct Limited {
    room: usize,
    kind: io::ErrorKind,
    taken: Arc<Mutex<Vec<u8>>>,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = self.taken.lock().unwrap();
        if taken.len() + bytes.len() > self.room {
            return Err(self.kind.into());
        }
        taken.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn many_rows() -> TestLake {
    let lake = TestLake::empty();
    let rows: Vec<_> = (0..30_000).map(|n| json!({"name": format!("{n:06}"), "rev": "1-x"})).collect();
    lake.put("npm", TableKind::Docs, None, None, &rows);
    lake
}

#[tokio::test]
async fn a_reader_that_leaves_ends_the_writing_quietly() {
    let lake = many_rows();
    for format in Format::ALL {
        let stream = lake.session().query("select name, rev from docs").await.unwrap();
        let mut out = Limited { room: 3_000, kind: io::ErrorKind::BrokenPipe, taken: Arc::default() };
        let written = write(stream, format, &mut out, &TableOptions::default()).await.unwrap();
        assert!(written.reader_left, "{format}");
        assert!(written.rows <= 30_000, "{format}");
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error() {
    let lake = many_rows();
    for format in Format::ALL {
        let stream = lake.session().query("select name, rev from docs").await.unwrap();
        let mut out = Limited { room: 3_000, kind: io::ErrorKind::StorageFull, taken: Arc::default() };
        let error = write(stream, format, &mut out, &TableOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input, "{format}");
        assert_eq!(error.message(), "cannot write the result", "{format}");
    }
}

#[tokio::test]
async fn rows_are_written_before_the_statement_ends() {
    let lake = many_rows();
    std::fs::rename(
        lake.shard("npm", TableKind::Docs, None, None),
        lake.shard("npm", TableKind::Docs, None, Some("b")),
    )
    .unwrap();
    lake.put("npm", TableKind::Docs, Some("b"), None, &[]);
    std::fs::write(lake.shard("npm", TableKind::Docs, Some("b"), None), "no parquet at all").unwrap();
    for format in [Format::Table, Format::Csv, Format::Json, Format::Ndjson] {
        let options = SessionOptions { threads: 1, ..SessionOptions::default() };
        let stream = lake.session_with(&options).query("select name from docs").await.unwrap();
        let taken = Arc::default();
        let mut out = Limited { room: usize::MAX, kind: io::ErrorKind::Other, taken: Arc::clone(&taken) };
        let error = write(stream, format, &mut out, &TableOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lake);
        assert!(
            taken.lock().unwrap().len() > 10_000,
            "{format}: rows of the first shard stand although the second is broken"
        );
    }
}
