//! The cost of an update: makes a lake over loopback, then changes 24 documents in 5 of 6 partitions, several times
//! different ones.
//!
//! `ALL_DOCS_CORPUS=packuments.ndjson cargo bench --no-default-features --features pipeline --bench update`. The server runs in this
//! process, and its time is included; its documents are compressed before the clock starts. Before the update the bench
//! measures an ingest without changes: the scan and the fixed cost of an update.
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

/// Partitions of the lake.
const PARTITIONS: usize = 6;
/// Documents that change, none of them in the last partition.
const CHANGED: usize = 24;
/// The number of updates.
const UPDATES: usize = 4;

fn main() {
    let Some(input) = std::env::var_os("ALL_DOCS_CORPUS") else {
        println!("skipped: set ALL_DOCS_CORPUS to a file of packuments, one a line");
        return;
    };
    let input = Path::new(&input);
    let world = World::from_ndjson([input]).unwrap();
    let names: Vec<String> = world.names().map(str::to_owned).collect();
    let partition_names = names.len().div_ceil(PARTITIONS);
    let pivots: Vec<String> = names.iter().step_by(partition_names).skip(1).cloned().collect();
    let prepare = |world: &World| world.prepare(std::thread::available_parallelism().map_or(1, usize::from));
    prepare(&world);
    let server = SampleServer::start(world, Options { records_requests: false, ..Options::default() }).unwrap();
    let folder = tempfile::tempdir_in(input.parent().unwrap()).unwrap();
    let lake = folder.path().join("lake");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let first = [("the first ingest", None), ("nothing changed", None)];
    for (what, update) in first.into_iter().chain((0..UPDATES).map(|update| ("an update", Some(update)))) {
        if let Some(update) = update {
            let mut world = server.world();
            let of_partitions = names.iter().take((PARTITIONS - 1) * partition_names);
            for changed in of_partitions.skip(update * 17).step_by(names.len() / 29).take(CHANGED) {
                world.publish(changed, "999.0.0");
            }
            prepare(&world);
        }
        let options = ingest_options(server.url(), lake.to_str().unwrap(), pivots.clone());
        let progress = Arc::new(Progress::default());
        let measure = process::Measure::begin();
        runtime.block_on(ingest(options, Arc::clone(&progress), CancellationToken::new())).unwrap();
        let taken = measure.end();
        println!(
            "{what}: {} documents of {} bytes, {} bytes of shards, {:.2} s wall, {:.2} s processor, peak of memory {} MB",
            progress.packuments_done.load(Ordering::Relaxed),
            progress.document_bytes.load(Ordering::Relaxed),
            progress.shard_bytes.load(Ordering::Relaxed),
            taken.wall.as_secs_f64(),
            taken.processor.as_secs_f64(),
            process::peak_memory_bytes() / 1_000_000,
        );
    }
}
