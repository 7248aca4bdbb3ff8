//! A lake of two origins and a few shards, written with the parquet crate alone, and short functions that query it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::json::ReaderBuilder;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use url::Url;

use crate::error::{Error, Result};
use crate::lake::{Delta, LakeInfo, Layout, OriginInfo, Overlay, Partition, Record};
use crate::query::lake_location::LakeLocation;
use crate::query::{Format, Session, SessionOptions, TableOptions, write};
use crate::store::ObjectCache;
use crate::table::{TableKind, schema, schema_version};

/// A lake in a temporary folder.
pub(super) struct TestLake {
    folder: TempDir,
}

impl TestLake {
    pub(super) fn empty() -> Self {
        TestLake { folder: tempfile::tempdir().unwrap() }
    }

    /// Makes packages `a` to `d` of npm in two shards a table, and `b` of a mirror.
    pub(super) fn small() -> Self {
        let lake = TestLake::empty();
        lake.put(
            "npm",
            TableKind::Packages,
            None,
            Some("c"),
            &[
                json!({"name": "a", "latest": "2.0.0", "description": "first", "keywords": ["x", "y"]}),
                json!({"name": "b", "latest": "1.0.0", "description": "", "keywords": []}),
            ],
        );
        lake.put(
            "npm",
            TableKind::Packages,
            Some("c"),
            None,
            &[json!({"name": "c", "latest": "0.1.0"}), json!({"name": "d", "latest": null})],
        );
        lake.put("npm", TableKind::Versions, None, Some("c"), &[
            json!({"name": "a", "version": "1.0.0", "version_index": 0, "is_latest": false, "published_at": "2020-01-02T03:04:05.678Z"}),
            json!({"name": "a", "version": "2.0.0", "version_index": 1, "is_latest": true, "published_at": "2021-01-02T03:04:05Z",
                   "bin": [{"name": "a", "path": "./a.js"}], "unpacked_size_bytes": 1234567}),
            json!({"name": "b", "version": "1.0.0", "version_index": 0, "is_latest": true}),
        ]);
        lake.put(
            "npm",
            TableKind::Versions,
            Some("c"),
            None,
            &[json!({"name": "c", "version": "0.1.0", "version_index": 0, "is_latest": true})],
        );
        lake.put("npm", TableKind::Packuments, None, Some("c"), &[
            json!({"name": "a", "rev": "2-x", "representation": "full", "size_bytes": 60,
                   "json": r#"{"name":"a","stars":3,"dist-tags":{"latest":"2.0.0"},"tags":["p","q"],"ok":true,"none":null}"#}),
            json!({"name": "b", "rev": "1-x", "representation": "full", "size_bytes": 12, "json": r#"{"name":"b"}"#}),
        ]);
        lake.put("mirror", TableKind::Packages, None, None, &[json!({"name": "b", "latest": "1.0.1"})]);
        lake
    }

    /// Writes one shard.
    pub(super) fn put(&self, origin: &str, kind: TableKind, start: Option<&str>, end: Option<&str>, rows: &[Value]) {
        let partition = Partition { start: start.map(str::to_owned), end: end.map(str::to_owned) };
        let path = self.folder.path().join(Layout::origin(origin).shard(kind, &partition));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let schema = schema(kind);
        let mut decoder = ReaderBuilder::new(Arc::clone(&schema)).build_decoder().unwrap();
        decoder.serialize(&filled(kind, rows)).unwrap();
        let batch = decoder.flush().unwrap().unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(&schema)));
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(1_000)).build();
        // As by a commit, a shard that is open stays what it is.
        let new = path.with_extension("new");
        let mut writer = ArrowWriter::try_new(std::fs::File::create(&new).unwrap(), schema, Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        std::fs::rename(new, path).unwrap();
    }

    pub(super) fn shard(&self, origin: &str, kind: TableKind, start: Option<&str>, end: Option<&str>) -> PathBuf {
        let partition = Partition { start: start.map(str::to_owned), end: end.map(str::to_owned) };
        self.folder.path().join(Layout::origin(origin).shard(kind, &partition))
    }

    /// Writes the manifest of a partition of npm that names shards of `tables`.
    pub(super) fn put_manifest(&self, start: Option<&str>, end: Option<&str>, tables: &[TableKind]) -> PathBuf {
        let partition = Partition { start: start.map(str::to_owned), end: end.map(str::to_owned) };
        let path = self.folder.path().join(Layout::origin("npm").manifest(&partition));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let shard = json!({"rows": 1, "size_bytes": 1, "sha256": "", "schema_version": 1, "tool_version": "0"});
        let shards: BTreeMap<&str, Value> = tables.iter().map(|table| (table.as_str(), shard.clone())).collect();
        let manifest = json!({"format_version": 1, "tool_version": "0", "partition": partition,
                              "written_at": "2026-01-01T00:00:00Z", "shards": shards, "outcomes": {}});
        std::fs::write(&path, manifest.to_string()).unwrap();
        path
    }

    /// Writes the boundaries of npm's partitions.
    pub(super) fn put_partitions(&self, boundaries: &[&str]) {
        let set = json!({"format_version": 1, "rows_per_partition": null, "pivots": [], "boundaries": boundaries});
        self.put_text(&Layout::origin("npm").partition_set(), &set.to_string());
    }

    /// Writes the manifest of a delta of npm, whose shards were put, and returns the delta.
    pub(super) fn put_delta(&self, first: u64, last: u64, tables: &[(TableKind, u64)], removed: &[&str]) -> Delta {
        let layout = Layout::origin("npm").delta(first, last);
        let shard = |table: TableKind, rows: u64| json!({"rows": rows, "size_bytes": 1, "sha256": "", "schema_version": schema_version(table), "tool_version": "0"});
        let shards: BTreeMap<&str, Value> =
            tables.iter().map(|(table, rows)| (table.as_str(), shard(*table, *rows))).collect();
        let manifest = json!({"format_version": 1, "tool_version": "0", "partition": Delta::PARTITION,
                              "written_at": "2026-01-01T00:00:00Z", "shards": shards, "outcomes": {}, "removed": removed});
        let text = manifest.to_string();
        self.put_text(&layout.manifest(&Delta::PARTITION), &text);
        let manifest_sha256 = format!("{:x}", Sha256::digest(&text));
        Delta { first, last, manifest_sha256, names: 0, size_bytes: 0, oldest_at_us: 0 }
    }

    /// Replaces the record of npm's overlay.
    pub(super) fn put_overlay(&self, deltas: Vec<Delta>, folded: &[(&str, u64)]) {
        let folded = folded.iter().map(|(stem, last)| ((*stem).to_owned(), *last)).collect();
        let newest = deltas.iter().map(|delta| delta.last).max().unwrap_or_default();
        let overlay = Overlay { deltas, folded, newest, ..Overlay::empty() };
        let text = String::from_utf8(overlay.to_json().unwrap()).unwrap();
        self.put_text(&Layout::origin("npm").overlay(), &text);
    }

    /// Writes a shard again without one of its columns.
    pub(super) fn drop_column(&self, shard: &std::path::Path, column: &str) {
        let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(shard).unwrap()).unwrap();
        let mut batches: Vec<RecordBatch> = reader.build().unwrap().map(|batch| batch.unwrap()).collect();
        for batch in &mut batches {
            batch.remove_column(batch.schema().index_of(column).unwrap());
        }
        let file = std::fs::File::create(shard).unwrap();
        let mut writer = ArrowWriter::try_new(file, batches[0].schema(), None).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.close().unwrap();
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn put_text(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(super) fn session(&self) -> Session {
        self.session_with(&SessionOptions { threads: 2, ..SessionOptions::default() })
    }

    pub(super) fn session_with(&self, options: &SessionOptions) -> Session {
        self.session_in(Arc::new(LocalFileSystem::new()), options)
    }

    /// Opens a session that reads through `store`.
    pub(super) fn session_in(&self, store: Arc<dyn ObjectStore>, options: &SessionOptions) -> Session {
        self.session_at(&Url::from_directory_path(self.folder.path()).unwrap(), store, None, options)
    }

    /// Opens a session that reads through `store` as from a bucket.
    pub(super) fn session_in_bucket(
        &self,
        store: Arc<dyn ObjectStore>,
        cache: Option<&ObjectCache>,
        options: &SessionOptions,
    ) -> Session {
        let root = Url::from_directory_path(self.folder.path()).unwrap();
        self.session_at(&Url::parse(&format!("s3://bucket{}", root.path())).unwrap(), store, cache, options)
    }

    fn session_at(
        &self,
        root: &Url,
        store: Arc<dyn ObjectStore>,
        cache: Option<&ObjectCache>,
        options: &SessionOptions,
    ) -> Session {
        let info = |url: &str| OriginInfo { replicate_url: url.to_owned(), registry_url: url.to_owned() };
        let origins = ["mirror", "npm"].map(|name| (name.to_owned(), info("http://127.0.0.1")));
        let info = LakeInfo { origins: BTreeMap::from(origins), ..LakeInfo::new("npm") };
        Session::open_at(LakeLocation::new(store, root, cache).unwrap(), &info, options).unwrap()
    }

    /// Returns the rows as JSON.
    pub(super) async fn rows(&self, sql: &str) -> Vec<Value> {
        serde_json::from_str(&self.text(sql, Format::Json).await).unwrap()
    }

    /// Returns the result as text.
    pub(super) async fn text(&self, sql: &str, format: Format) -> String {
        String::from_utf8(self.bytes(sql, format).await).unwrap()
    }

    pub(super) async fn bytes(&self, sql: &str, format: Format) -> Vec<u8> {
        let stream = self.session().query(sql).await.unwrap();
        let mut out = Vec::new();
        write(stream, format, &mut out, &TableOptions::default()).await.unwrap();
        out
    }

    /// Returns the error of a statement, before its first row or after.
    pub(super) async fn error(&self, sql: &str) -> Error {
        let ran: Result<Vec<RecordBatch>> = async { self.session().query(sql).await?.try_collect().await }.await;
        match ran {
            Ok(_) => unreachable!("{sql} has no error"),
            Err(error) => error,
        }
    }
}

/// Makes rows with a value in every column that is not nullable.
fn filled(kind: TableKind, rows: &[Value]) -> Vec<Value> {
    let fill = |row: &Value| {
        let mut row = row.clone();
        for field in schema(kind).fields().iter().filter(|field| !field.is_nullable()) {
            let empty = match field.data_type() {
                kind if kind.is_numeric() => json!(0),
                arrow::datatypes::DataType::Boolean => json!(false),
                arrow::datatypes::DataType::List(_) => json!([]),
                arrow::datatypes::DataType::Timestamp(..) => json!("1970-01-01T00:00:00Z"),
                _ => json!(""),
            };
            row.as_object_mut().unwrap().entry(field.name()).or_insert(empty);
        }
        row
    };
    rows.iter().map(fill).collect()
}
