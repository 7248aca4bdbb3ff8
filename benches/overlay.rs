//! The cost of changes: commits of 73 changes into the overlay, and a simulated week of them with its folds.
//!
//! `cargo bench --no-default-features --features pipeline --bench overlay`. `ALL_DOCS_SCALE=100` (the default) makes all numbers
//! of a week of npm smaller by that: 4,000,000 names in 450 partitions, and 147,000 changes in commits of 73. A commit keeps
//! its size, so there are fewer of them: 20 instead of 2,016. The documents are those of the sample registry, or with
//! `ALL_DOCS_CORPUS=packuments.ndjson` real ones. The server runs in this process, and its time is included; its documents are compressed
//! before the clock starts. Bytes written are those of the process by the system's count, zero on a file system in memory.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::path::Path;
use std::sync::Arc;

use all_docs::pipeline::{FoldOptions, FoldPolicy, FollowMetrics, FollowOptions, Progress, fold, follow, ingest};
use all_docs::sample::{Options, SampleServer, World};
use support::loopback::ingest_options;
use support::process;
use tokio_util::sync::CancellationToken;

const NAMES: usize = 4_000_000;
const PARTITIONS: usize = 450;
const CHANGES_OF_A_WEEK: usize = 147_000;
const CHANGES_OF_A_COMMIT: usize = 73;

/// Returns the bytes that this process has written to files so far.
fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    written.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Returns the bytes of all files below a folder.
fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let entry_size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(entry_size).sum()
}

fn main() {
    let scale: usize = std::env::var("ALL_DOCS_SCALE").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    let world = match std::env::var_os("ALL_DOCS_CORPUS") {
        Some(input) => World::from_ndjson([Path::new(&input)]).unwrap(),
        None => World::seeded(7, NAMES / scale),
    };
    let names: Vec<String> = world.names().map(str::to_owned).collect();
    let of_partition = names.len().div_ceil((PARTITIONS / scale).max(2));
    let pivots: Vec<String> = names.iter().step_by(of_partition).skip(1).cloned().collect();
    let prepare = |world: &World| world.prepare(std::thread::available_parallelism().map_or(1, usize::from));
    prepare(&world);
    let server = SampleServer::start(world, Options { records_requests: false, ..Options::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let options = || ingest_options(server.url(), lake.to_str().unwrap(), pivots.clone());
    runtime.block_on(Box::pin(ingest(options(), Arc::default(), CancellationToken::new()))).unwrap();
    let overlay = lake.join("sample/overlay");
    println!("{} names in {} partitions, {} bytes", names.len(), pivots.len() + 1, size_of(&lake));
    let (store, registry) = (options().store, options().registry);
    let commits = CHANGES_OF_A_WEEK.div_ceil(scale * CHANGES_OF_A_COMMIT);
    let (began, mut changed_bytes, mut most_files) = (written_bytes(), 0, 0);
    for commit in 0..commits {
        let mut world = server.world();
        for change in 0..CHANGES_OF_A_COMMIT {
            // Some names change again and again.
            let place = (commit * 7_919 + change * 104_729) % names.len();
            let place = if change % 4 == 0 { place % (names.len() / 50).max(1) } else { place };
            world.publish(&names[place], &format!("999.{commit}.{change}"));
        }
        prepare(&world);
        drop(world);
        let before = size_of(&overlay);
        process::forget_peak();
        let measure = process::Measure::begin();
        let options = FollowOptions { once: true, ..FollowOptions::new(store.clone(), registry.clone()) };
        let metrics = Arc::new(FollowMetrics::default());
        let following = follow(options, metrics, Arc::new(Progress::default()), CancellationToken::new(), &|_| {});
        let summary = runtime.block_on(Box::pin(following)).unwrap();
        let taken = measure.end();
        let bytes = size_of(&overlay).saturating_sub(before);
        // A merge shrinks the overlay.
        changed_bytes += if summary.counts.merges == 0 { bytes } else { changed_bytes / (commit as u64).max(1) };
        most_files = most_files.max(std::fs::read_dir(&overlay).map_or(0, Iterator::count));
        println!(
            "a commit of {} changes: {bytes} bytes more, {:.2} s wall, {:.2} s processor, peak of memory {} MB, {} merges, {} folds",
            summary.counts.committed,
            taken.wall.as_secs_f64(),
            taken.processor.as_secs_f64(),
            process::peak_memory_bytes() / 1_000_000,
            summary.counts.merges,
            summary.counts.folds,
        );
    }
    let measure = process::Measure::begin();
    let options = FoldOptions { origin: None, policy: FoldPolicy::EVERYTHING };
    let folded = runtime.block_on(Box::pin(fold(&store, &options, Arc::default(), CancellationToken::new()))).unwrap();
    let taken = measure.end();
    println!(
        "the fold of {} partitions with {} changed names: {:.2} s wall, {:.2} s processor",
        folded.partitions_folded,
        folded.names_folded,
        taken.wall.as_secs_f64(),
        taken.processor.as_secs_f64(),
    );
    let written = written_bytes() - began;
    println!(
        "the week: {written} bytes written for {changed_bytes} bytes of changed names in deltas, {:.1} times; at most {most_files} deltas",
        written as f64 / changed_bytes.max(1) as f64,
    );
}
