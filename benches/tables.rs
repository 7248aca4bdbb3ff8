//! Documents to columns, and columns to shards: bytes of JSON per second on one core.
//!
//! `ALL_DOCS_CORPUS=packuments.ndjson cargo bench --no-default-features --bench tables`; without the variable a small
//! generated corpus stands in, whose figures compare with nothing.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use all_docs::lake::TableKind;
use all_docs::npm::Representation;
use all_docs::npm::packument::Outline;
use all_docs::shard::ShardWriter;
use all_docs::table::{DocumentInput, DocumentTables, schema};
use divan::Bencher;
use divan::counter::BytesCount;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows are written on at this size, as the pipeline does.
const BUFFERED_BYTES: usize = 32 << 20;

struct Document {
    name: String,
    bytes: Vec<u8>,
}

static CORPUS: LazyLock<Vec<Document>> = LazyLock::new(|| {
    let text = match std::env::var_os("ALL_DOCS_CORPUS") {
        Some(path) => std::fs::read(path).unwrap(),
        None => generated(),
    };
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| Document { name: name_of(line), bytes: line.to_vec() }).collect()
});

fn main() {
    divan::main();
}

fn corpus_bytes() -> BytesCount {
    BytesCount::new(CORPUS.iter().map(|document| document.bytes.len()).sum::<usize>())
}

/// Finding where everything stands, nothing more.
#[divan::bench(sample_count = 10)]
fn outline(bencher: Bencher) {
    bencher.counter(corpus_bytes()).bench_local(|| {
        let mut outline = Outline::default();
        for document in CORPUS.iter() {
            outline.read(std::str::from_utf8(&document.bytes).unwrap()).unwrap();
            divan::black_box(&outline);
        }
    });
}

/// Rows of all tables as record batches.
#[divan::bench(sample_count = 10, args = [false, true])]
fn batches(bencher: Bencher, keep_raw: bool) {
    bencher.counter(corpus_bytes()).bench_local(|| to_tables(keep_raw, |_, _| ()));
}

/// Rows of all tables as Parquet in memory.
#[divan::bench(sample_count = 10, args = [false, true])]
fn shards(bencher: Bencher, keep_raw: bool) {
    bencher.counter(corpus_bytes()).bench_local(|| {
        let mut writers = BTreeMap::new();
        for table in TableKind::OF_DOCUMENTS {
            writers.insert(table, ShardWriter::new(table, schema(table), Vec::new()).unwrap());
        }
        to_tables(keep_raw, |table, batch| writers.get_mut(&table).unwrap().write(batch).unwrap());
        writers.into_values().map(|writer| writer.finish().unwrap().1.size_bytes).sum::<u64>()
    });
}

fn to_tables(keep_raw: bool, mut take: impl FnMut(TableKind, arrow::array::RecordBatch)) {
    let mut tables = DocumentTables::new(keep_raw);
    for document in CORPUS.iter() {
        tables.push(DocumentInput {
            name: &document.name,
            announced_rev: "",
            representation: Representation::Full,
            bytes: &document.bytes,
        });
        if tables.buffered_bytes() > BUFFERED_BYTES {
            tables.take_batches().unwrap().into_iter().for_each(|(table, batch)| take(table, batch));
        }
    }
    tables.take_batches().unwrap().into_iter().for_each(|(table, batch)| take(table, batch));
}

fn name_of(line: &[u8]) -> String {
    let document: serde_json::Value = serde_json::from_slice(line).unwrap();
    document["name"].as_str().unwrap_or_default().to_owned()
}

/// 200 packages of 20 versions each.
fn generated() -> Vec<u8> {
    let mut text = String::new();
    for package in 0..200 {
        let mut versions = serde_json::Map::new();
        let mut time = serde_json::Map::new();
        for patch in 0..20 {
            let version = format!("1.{package}.{patch}");
            let dependencies: BTreeMap<_, _> =
                (0..15).map(|index| (format!("dependency-{index}"), format!("^{}.0.{package}", patch / 5))).collect();
            versions.insert(version.clone(), serde_json::json!({
                "name": format!("package-{package}"), "version": version, "description": "A package of the bench.",
                "scripts": {"test": "node test.js", "build": "tsc -p ."}, "dependencies": dependencies,
                "license": "MIT", "dist": {"shasum": format!("{package:020x}{patch:020x}"),
                    "tarball": format!("https://registry.example/package-{package}/-/package-{package}-{patch}.tgz")},
                "_npmUser": {"name": "someone", "email": "someone@example.org"},
            }));
            time.insert(version, format!("2021-03-04T05:{patch:02}:07.089Z").into());
        }
        let document = serde_json::json!({"_id": format!("package-{package}"), "_rev": "1-0",
            "name": format!("package-{package}"), "dist-tags": {"latest": format!("1.{package}.19")},
            "versions": versions, "time": time});
        text.push_str(&document.to_string());
        text.push('\n');
    }
    text.into_bytes()
}
