//! `_all_docs` pages to rows: how many rows a second one core decodes, in the form that npm sends and in looser ones.
//!
//! `cargo bench --no-default-features --bench pages`. Feeding is in pieces of 16 KiB, as they come from a socket.

#![allow(missing_docs, clippy::unwrap_used)]

use all_docs::npm::{MAX_PAGE_ROWS, PageDecoder};
use divan::counter::{BytesCount, ItemsCount};

/// Names of the lengths that npm's have (17 bytes in the mean, half of them scoped) and revisions of theirs (34).
fn page(row: impl Fn(&str, &str) -> String) -> String {
    let rows: Vec<String> = (0..MAX_PAGE_ROWS)
        .map(|number| {
            let name = match number % 2 {
                0 => format!("@scope-{:03}/package-{number:05}", number / 100),
                _ => format!("package-{number:06}"),
            };
            row(&name, &format!("{}-{:032x}", number % 90 + 1, u128::from(number).pow(5)))
        })
        .collect();
    format!("{{\"total_rows\":4446361,\"offset\":120000,\"rows\":[\n{}\n]}}\n", rows.join(",\n"))
}

fn decode(bencher: divan::Bencher<'_, '_>, body: &str) {
    bencher.counter(ItemsCount::new(MAX_PAGE_ROWS)).counter(BytesCount::new(body.len())).bench(|| {
        let mut decoder = PageDecoder::new(MAX_PAGE_ROWS);
        body.as_bytes().chunks(16 << 10).for_each(|piece| decoder.feed(piece).unwrap());
        decoder.finish().unwrap()
    });
}

#[divan::bench]
fn as_npm_sends_it(bencher: divan::Bencher<'_, '_>) {
    let body = page(|name, rev| format!("{{\"id\":\"{name}\",\"key\":\"{name}\",\"value\":{{\"rev\":\"{rev}\"}}}}"));
    decode(bencher, &body);
}

#[divan::bench]
fn with_spaces(bencher: divan::Bencher<'_, '_>) {
    let body =
        page(|name, rev| format!("{{\"id\": \"{name}\", \"key\": \"{name}\", \"value\": {{\"rev\": \"{rev}\"}}}}"));
    decode(bencher, &body);
}

/// For scale: the same page by serde into borrowed text, the whole body at once.
#[divan::bench]
fn serde_json_borrowed_for_comparison(bencher: divan::Bencher<'_, '_>) {
    #[derive(serde::Deserialize)]
    struct Page<'a> {
        #[serde(borrow)]
        rows: Vec<Row<'a>>,
    }
    #[derive(serde::Deserialize)]
    struct Row<'a> {
        id: &'a str,
        #[serde(borrow)]
        value: Value<'a>,
    }
    #[derive(serde::Deserialize)]
    struct Value<'a> {
        rev: &'a str,
    }
    let body = page(|name, rev| format!("{{\"id\":\"{name}\",\"key\":\"{name}\",\"value\":{{\"rev\":\"{rev}\"}}}}"));
    bencher.counter(ItemsCount::new(MAX_PAGE_ROWS)).counter(BytesCount::new(body.len())).bench(|| {
        let page: Page<'_> = serde_json::from_str(&body).unwrap();
        page.rows
            .iter()
            .map(|row| all_docs::npm::DocRow::new(row.id, row.value.rev))
            .collect::<Vec<all_docs::npm::DocRow>>()
    });
}

fn main() {
    divan::main();
}
