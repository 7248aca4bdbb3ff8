//! Documents to columns, columns to shards, and the merge of an update, all in memory: bytes of JSON per second on one
//! core.
//!
//! `ALL_DOCS_CORPUS=packuments.ndjson cargo bench --no-default-features --features pipeline --bench tables`. Without
//! the variable it uses a small generated corpus, whose figures compare with nothing. From files to files, with the
//! peak of memory: the bench `documents`.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use all_docs::encode::ShardWriter;
use all_docs::npm::Representation;
use all_docs::npm::packument::Outline;
use all_docs::shard::ShardMerge;
use all_docs::store::ShardFile;
use all_docs::table::TableKind;
use all_docs::table::{DocumentInput, DocumentTables, schema};
use arrow::array::RecordBatch;
use divan::Bencher;
use divan::counter::BytesCount;
use support::corpus::{self, Document};
use tokio_util::sync::CancellationToken;

/// The size at which rows are written, as in the pipeline.
const BUFFERED_BYTES: usize = 8 << 20;

static CORPUS: LazyLock<Vec<Document>> = LazyLock::new(corpus::documents);

fn main() {
    divan::main();
}

fn corpus_bytes() -> BytesCount {
    BytesCount::new(CORPUS.iter().map(|document| document.bytes.len()).sum::<usize>())
}

/// Reads the outline, nothing more.
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

/// Makes the rows of all tables as record batches.
#[divan::bench(sample_count = 10, args = [false, true])]
fn batches(bencher: Bencher, keep_raw: bool) {
    bencher.counter(corpus_bytes()).bench_local(|| to_tables(CORPUS.iter(), keep_raw, |_, _| ()));
}

/// Encodes existing record batches of one table to Parquet in memory.
#[divan::bench(sample_count = 10, args = TableKind::OF_DOCUMENTS)]
fn encode(bencher: Bencher, table: TableKind) {
    let batches = batches_by_table(CORPUS.iter(), true).remove(&table).unwrap_or_default();
    bencher.counter(corpus_bytes()).bench_local(|| {
        let mut writer = ShardWriter::new(table, schema(table), Vec::new()).unwrap();
        batches.iter().for_each(|batch| writer.write(batch.clone()).unwrap());
        writer.finish().unwrap().1.size_bytes
    });
}

/// Makes the rows of all tables as Parquet in memory.
#[divan::bench(sample_count = 10, args = [false, true])]
fn shards(bencher: Bencher, keep_raw: bool) {
    bencher.counter(corpus_bytes()).bench_local(|| make_shards(keep_raw).len());
}

/// Updates every hundredth package: decodes its documents, and merges all tables with the shards before.
#[divan::bench(sample_count = 10)]
fn merge_of_an_update(bencher: Bencher) {
    let before = make_shards(true);
    bencher.counter(corpus_bytes()).bench_local(|| {
        let changed: Vec<&Document> = CORPUS.iter().step_by(100).collect();
        let names: Vec<&str> = changed.iter().map(|document| document.name.as_str()).collect();
        let mut batches = batches_by_table(changed.iter().copied(), true);
        for (table, bytes) in &before {
            let writer = ShardWriter::new(*table, schema(*table), Vec::new()).unwrap();
            let previous = Some(ShardFile::Bytes(bytes.clone()));
            let mut merge = ShardMerge::open(writer, previous, CancellationToken::new()).unwrap();
            merge.replace(&names, batches.remove(table).unwrap_or_default()).unwrap();
            let (after, _) = merge.finish().unwrap();
            // The documents are unchanged, so a right merge returns the same bytes.
            assert!(after == **bytes, "the merge of {table} changed it");
        }
    });
}

/// Makes the shards of all documents, by table.
fn make_shards(keep_raw: bool) -> BTreeMap<TableKind, bytes::Bytes> {
    let mut writers = BTreeMap::new();
    for table in TableKind::OF_DOCUMENTS {
        writers.insert(table, ShardWriter::new(table, schema(table), Vec::new()).unwrap());
    }
    to_tables(CORPUS.iter(), keep_raw, |table, batch| writers.get_mut(&table).unwrap().write(batch).unwrap());
    writers.into_iter().map(|(table, writer)| (table, writer.finish().unwrap().0.into())).collect()
}

fn batches_by_table<'a>(
    documents: impl Iterator<Item = &'a Document>,
    keep_raw: bool,
) -> BTreeMap<TableKind, Vec<RecordBatch>> {
    let mut batches: BTreeMap<TableKind, Vec<RecordBatch>> = BTreeMap::new();
    to_tables(documents, keep_raw, |table, batch| batches.entry(table).or_default().push(batch));
    batches
}

fn to_tables<'a>(
    documents: impl Iterator<Item = &'a Document>,
    keep_raw: bool,
    mut take: impl FnMut(TableKind, RecordBatch),
) {
    let mut tables = DocumentTables::new(keep_raw);
    for document in documents {
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
