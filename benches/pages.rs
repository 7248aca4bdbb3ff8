//! `_all_docs` pages to rows and to a shard: measures the rows per second of one core, in npm's form and in looser
//! ones.
//!
//! `cargo bench --no-default-features --features pipeline --bench pages`. Feeding is in pieces of 16 KiB, as they come from a socket.
//! With `ALL_DOCS_NAMES=FILE`, names as JSON strings one a line, the rows are of those names.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::sync::LazyLock;

use all_docs::encode::ShardWriter;
use all_docs::npm::{DocRow, MAX_PAGE_ROWS, PageDecoder};
use all_docs::table::TableKind;
use all_docs::table::{DocsBuilder, schema};
use divan::counter::{BytesCount, ItemsCount};
use support::corpus;

/// The rows of a full page.
const PAGE_ROWS: usize = MAX_PAGE_ROWS as usize;

static NAMES: LazyLock<Vec<String>> = LazyLock::new(corpus::names);

/// Returns a full page as the server sends it, one row a line.
fn page(names: &[String], row: impl Fn(&str, &str) -> String) -> String {
    let rows: Vec<String> =
        names.iter().enumerate().map(|(number, name)| row(name, &corpus::revision(number))).collect();
    format!("{{\"total_rows\":4446361,\"offset\":120000,\"rows\":[\n{}\n]}}\n", rows.join(",\n"))
}

fn npm_row(name: &str, rev: &str) -> String {
    let name = serde_json::to_string(name).unwrap();
    format!("{{\"id\":{name},\"key\":{name},\"value\":{{\"rev\":\"{rev}\"}}}}")
}

fn one_page_of_names() -> &'static [String] {
    // From the middle: names of letters, as most are.
    let start = (NAMES.len() - PAGE_ROWS) / 2;
    &NAMES[start..start + PAGE_ROWS]
}

fn decode(body: &str) -> Vec<DocRow> {
    let mut decoder = PageDecoder::new(MAX_PAGE_ROWS);
    body.as_bytes().chunks(16 << 10).for_each(|piece| decoder.feed(piece).unwrap());
    decoder.finish().unwrap().rows
}

fn bench_decode(bencher: divan::Bencher<'_, '_>, body: &str) {
    let counted = bencher.counter(ItemsCount::new(PAGE_ROWS)).counter(BytesCount::new(body.len()));
    counted.bench(|| decode(body));
}

#[divan::bench]
fn as_npm_sends_it(bencher: divan::Bencher<'_, '_>) {
    bench_decode(bencher, &page(one_page_of_names(), npm_row));
}

#[divan::bench]
fn with_spaces(bencher: divan::Bencher<'_, '_>) {
    let spaced = |name: &str, rev: &str| {
        let name = serde_json::to_string(name).unwrap();
        format!("{{\"id\": {name}, \"key\": {name}, \"value\": {{\"rev\": \"{rev}\"}}}}")
    };
    bench_decode(bencher, &page(one_page_of_names(), spaced));
}

/// Turns the pages of all names into one shard of `docs`.
#[divan::bench(sample_count = 10)]
fn to_a_docs_shard(bencher: divan::Bencher<'_, '_>) {
    let pages: Vec<String> = NAMES.chunks(PAGE_ROWS).map(|names| page(names, npm_row)).collect();
    let bytes: usize = pages.iter().map(String::len).sum();
    bencher.counter(ItemsCount::new(NAMES.len())).counter(BytesCount::new(bytes)).bench(|| {
        let schema = schema(TableKind::Docs);
        let mut writer = ShardWriter::new(TableKind::Docs, schema, Vec::new()).unwrap();
        let mut builder = DocsBuilder::new();
        for page in &pages {
            decode(page).iter().for_each(|row| builder.push(row));
            writer.write(builder.take_batch().unwrap()).unwrap();
        }
        writer.finish().unwrap().1.size_bytes
    });
}

/// For scale: parses the same page by serde into borrowed text, the whole body at once.
#[divan::bench]
fn serde_json_borrowed_for_comparison(bencher: divan::Bencher<'_, '_>) {
    #[derive(serde::Deserialize)]
    struct Page<'a> {
        #[serde(borrow)]
        rows: Vec<Row<'a>>,
    }
    #[derive(serde::Deserialize)]
    struct Row<'a> {
        #[serde(borrow)]
        id: std::borrow::Cow<'a, str>,
        #[serde(borrow)]
        value: Value<'a>,
    }
    #[derive(serde::Deserialize)]
    struct Value<'a> {
        rev: &'a str,
    }
    let body = page(one_page_of_names(), npm_row);
    bencher.counter(ItemsCount::new(PAGE_ROWS)).counter(BytesCount::new(body.len())).bench(|| {
        let page: Page<'_> = serde_json::from_str(&body).unwrap();
        page.rows.iter().map(|row| DocRow::new(&*row.id, row.value.rev)).collect::<Vec<DocRow>>()
    });
}

fn main() {
    divan::main();
}
