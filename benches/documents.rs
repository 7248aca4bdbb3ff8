//! Documents to all tables, from a file to files: measures the whole process, its rate and its peak of memory.
//!
//! `ALL_DOCS_CORPUS=packuments.ndjson taskset -c 1 cargo bench --no-default-features --features pipeline --bench documents -- [--raw]`.
//! With `--raw` it also keeps the documents themselves, as `ingest` does. It reads the file in blocks, so the peak is
//! that of the work. A partition is 10,000 documents, as in a lake.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::path::Path;

use support::{document_files, process};

fn main() {
    let keep_raw = std::env::args().any(|argument| argument == "--raw");
    let Some(input) = std::env::var_os("ALL_DOCS_CORPUS") else {
        println!("skipped: set ALL_DOCS_CORPUS to a file of packuments, one a line");
        return;
    };
    let made = document_files::make(Path::new(&input), keep_raw);
    println!("documents to all tables, raw documents {}", if keep_raw { "kept" } else { "not kept" });
    println!("{} bytes of JSON in {}", made.json_bytes, made.taken.describe(made.json_bytes));
    println!("peak of memory {} MB", process::peak_memory_bytes() / 1_000_000);
    for (table, bytes) in made.shard_bytes {
        println!("{table:<14} {bytes:>11} bytes");
    }
}
