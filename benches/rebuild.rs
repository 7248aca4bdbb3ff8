//! A rebuild of a whole lake on all cores, in turns with the bench `documents` on one: rates, processor time, and peaks of
//! memory, all in one process.
//!
//! `ALL_DOCS_CORPUS=packuments.ndjson cargo bench --no-default-features --features pipeline --bench rebuild -- [PARTITIONS]`.
//! A process of its own makes the lake over loopback. `--force` makes every table again, the raw documents as well, so
//! it stands beside `documents --raw`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use all_docs::pipeline::{Progress, RebuildOptions, ingest, rebuild};
use all_docs::sample::{Options, SampleServer, World};
use all_docs::store::Store;
use support::document_files;
use support::loopback::ingest_options;
use support::process::{self, Measure};
use tokio_util::sync::CancellationToken;

/// Partitions of the lake, unless the command says otherwise.
const PARTITIONS: usize = 8;
/// Turns; each is one run of `documents` and one rebuild.
const TURNS: usize = 5;
/// The argument of the process that makes the lake; its folder and the number of partitions follow.
const MAKE_LAKE: &str = "--make-lake";

fn main() {
    let Some(input) = std::env::var_os("ALL_DOCS_CORPUS") else {
        println!("skipped: set ALL_DOCS_CORPUS to a file of packuments, one a line");
        return;
    };
    let input = Path::new(&input);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, lake, partitions] = arguments.as_slice()
        && mode == MAKE_LAKE
    {
        return make_lake(input, lake, partitions.parse().unwrap());
    }
    let partitions = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(PARTITIONS);
    let folder = tempfile::tempdir_in(input.parent().unwrap()).unwrap();
    let lake = folder.path().join("lake").to_str().unwrap().to_owned();
    let mut maker = Command::new(std::env::current_exe().unwrap());
    assert!(maker.args([MAKE_LAKE, &lake, &partitions.to_string()]).status().unwrap().success());

    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{partitions} partitions, {cores} cores");
    let (mut anchors, mut rebuilds) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        process::forget_peak();
        let made = document_files::make(input, true);
        report("documents --raw", made.json_bytes, &made.taken);
        anchors.push(made.taken.wall);

        process::forget_peak();
        let (json_bytes, taken) = rebuilt(&lake);
        assert_eq!(json_bytes, made.json_bytes);
        report("rebuild --force", json_bytes, &taken);
        rebuilds.push(taken.wall);
    }
    let ratios = anchors.iter().zip(&rebuilds).map(|(anchor, rebuild)| rebuild.as_secs_f64() / anchor.as_secs_f64());
    let ratios: Vec<String> = ratios.map(|ratio| format!("{ratio:.2}")).collect();
    let (anchor, rebuild) = (median(anchors), median(rebuilds));
    println!("by the wall, rebuild : documents, turn by turn {}", ratios.join(", "));
    println!("medians {rebuild:.2} s : {anchor:.2} s = {:.2}", rebuild / anchor);
}

fn report(what: &str, json_bytes: u64, taken: &process::Taken) {
    let peak = process::peak_memory_bytes() / 1_000_000;
    println!("{what}: {json_bytes} bytes of JSON in {}, peak of memory {peak} MB", taken.describe(json_bytes));
}

/// Returns the median in seconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

/// Makes the tables of the lake again. Returns the bytes of JSON, and the resources used.
fn rebuilt(lake: &str) -> (u64, process::Taken) {
    let store = Store::open(lake).unwrap();
    let options = RebuildOptions { force: true, ..RebuildOptions::default() };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let measure = Measure::begin();
    let summary = runtime.block_on(rebuild(&store, &options, Arc::default(), CancellationToken::new())).unwrap();
    let taken = measure.end();
    assert_eq!(summary.partitions_rebuilt, summary.partitions_total);
    (summary.counts.document_bytes, taken)
}

fn make_lake(input: &Path, lake: &str, partitions: usize) {
    let world = World::from_ndjson([input]).unwrap();
    let partition_names = world.names().count().div_ceil(partitions);
    let pivots: Vec<String> = world.names().step_by(partition_names).skip(1).map(str::to_owned).collect();
    let options = Options { compresses: false, records_requests: false, ..Options::default() };
    let server = SampleServer::start(world, options).unwrap();
    let options = ingest_options(server.url(), lake, pivots);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(ingest(options, Arc::<Progress>::default(), CancellationToken::new())).unwrap();
}
