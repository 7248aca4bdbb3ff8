//! The whole pipeline over loopback: the sample registry, the ingest and a lake on disk in one process.
//!
//! `ALL_DOCS_CORPUS=packuments.ndjson cargo bench --no-default-features --features pipeline --bench ingest -- [gzip] [identity]`: once with
//! bodies in gzip, as npm's are, and once plain. Documents are compressed before the clock starts. The server's own work
//! counts, as it takes of the same cores.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use all_docs::pipeline::{Progress, ingest};
use all_docs::sample::{Options, SampleServer, World};
use support::loopback::ingest_options;
use support::process;
use tokio_util::sync::CancellationToken;

/// The names in a scanned range, and in a partition.
const RANGE_NAMES: usize = 2_000;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let Some(input) = std::env::var_os("ALL_DOCS_CORPUS") else {
        println!("skipped: set ALL_DOCS_CORPUS to a file of packuments, one a line");
        return;
    };
    for (name, compresses) in [("gzip", true), ("identity", false)] {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            println!("ingest over loopback, bodies in {name}");
            run(Path::new(&input), compresses);
        }
    }
}

fn run(input: &Path, compresses: bool) {
    let world = World::from_ndjson([input]).unwrap();
    if compresses {
        world.prepare(std::thread::available_parallelism().map_or(1, usize::from));
    }
    let pivots: Vec<String> = world.names().step_by(RANGE_NAMES).skip(1).map(str::to_owned).collect();
    let options = Options { compresses, records_requests: false, ..Options::default() };
    let server = SampleServer::start(world, options).unwrap();
    let folder = tempfile::tempdir_in(input.parent().unwrap()).unwrap();
    let options = ingest_options(&server, folder.path().join("lake").to_str().unwrap(), pivots);
    let progress = Arc::new(Progress::default());
    let runtime = tokio::runtime::Runtime::new().unwrap();

    let measure = process::Measure::begin();
    let summary = runtime.block_on(ingest(options, Arc::clone(&progress), CancellationToken::new())).unwrap();
    let taken = measure.end();

    let json_bytes = progress.document_bytes.load(Ordering::Relaxed);
    assert_eq!(summary.counts.packuments_done, summary.counts.rows_scanned);
    println!(
        "{} documents, {json_bytes} bytes of JSON in {}",
        summary.counts.packuments_done,
        taken.describe(json_bytes)
    );
    println!("peak of memory {} MB, the server's world included", process::peak_memory_bytes() / 1_000_000);
}
