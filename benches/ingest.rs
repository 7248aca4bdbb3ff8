//! The whole pipeline over loopback: the ingest and a lake on disk in one process, the sample registry in another.
//!
//! `ALL_DOCS_CORPUS=packuments.ndjson cargo bench --no-default-features --features pipeline --bench ingest -- [gzip] [identity]`: once with
//! bodies in gzip, as npm's are, and once plain. Documents are compressed before the clock starts. The processor time is
//! that of the ingest alone; the server's is printed beside it, as it takes of the same cores.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use all_docs::pipeline::{Progress, ingest};
use all_docs::sample::{Options, SampleServer, World};
use support::loopback::ingest_options;
use support::process;
use tokio_util::sync::CancellationToken;

/// The names in a scanned range, and in a partition.
const RANGE_NAMES: usize = 2_000;
/// Set in the process that serves the documents: `gzip` or `identity`.
const SERVES: &str = "ALL_DOCS_BENCH_SERVES";

fn main() {
    if let Some(compresses) = std::env::var_os(SERVES) {
        return serve(compresses == "gzip");
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let Some(input) = std::env::var_os("ALL_DOCS_CORPUS") else {
        println!("skipped: set ALL_DOCS_CORPUS to a file of packuments, one a line");
        return;
    };
    for encoding in ["gzip", "identity"] {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == encoding) {
            println!("ingest over loopback, bodies in {encoding}");
            run(Path::new(&input), encoding);
        }
    }
}

fn run(input: &Path, encoding: &str) {
    let mut server = Server::start(encoding);
    let folder = tempfile::tempdir_in(input.parent().unwrap()).unwrap();
    let lake = folder.path().join("lake");
    let options = ingest_options(&server.url, lake.to_str().unwrap(), std::mem::take(&mut server.pivots));
    let progress = Arc::new(Progress::default());
    let runtime = tokio::runtime::Runtime::new().unwrap();

    let served = process::processor_time_of(server.process.id());
    let measure = process::Measure::begin();
    let summary = runtime.block_on(ingest(options, Arc::clone(&progress), CancellationToken::new())).unwrap();
    let taken = measure.end();
    let served = process::processor_time_of(server.process.id()).saturating_sub(served);

    let json_bytes = progress.document_bytes.load(Ordering::Relaxed);
    assert_eq!(summary.counts.packuments_done, summary.counts.rows_scanned);
    println!(
        "{} documents, {json_bytes} bytes of JSON in {}; the server {:.2} s processor",
        summary.counts.packuments_done,
        taken.describe(json_bytes),
        served.as_secs_f64(),
    );
    println!("peak of memory {} MB", process::peak_memory_bytes() / 1_000_000);
}

/// The process that serves the documents. It ends with its standard input.
struct Server {
    process: Child,
    url: String,
    /// The first names of the partitions, without the first.
    pivots: Vec<String>,
}

impl Server {
    fn start(encoding: &str) -> Server {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let command = command.env(SERVES, encoding).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut words = line.split_whitespace().map(str::to_owned);
        Server { url: words.next().unwrap(), pivots: words.collect(), process }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Serves the documents, and prints the URL and the pivots on one line.
fn serve(compresses: bool) {
    let world = World::from_ndjson([std::env::var_os("ALL_DOCS_CORPUS").unwrap()]).unwrap();
    if compresses {
        world.prepare(std::thread::available_parallelism().map_or(1, usize::from));
    }
    let pivots: Vec<String> = world.names().step_by(RANGE_NAMES).skip(1).map(str::to_owned).collect();
    let options = Options { compresses, records_requests: false, ..Options::default() };
    let server = SampleServer::start(world, options).unwrap();
    println!("{} {}", server.url(), pivots.join(" "));
    let _ = std::io::stdin().read(&mut [0]);
}
