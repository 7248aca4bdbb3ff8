//! The cost of changes: commits of 73 changes into the overlay, and a simulated week of them with its folds.
//!
//! `cargo bench --no-default-features --features pipeline --bench overlay`. `ALL_DOCS_SCALE=100` (the default) makes all numbers
//! of a week of npm smaller by that: 4,000,000 names in 450 partitions, and 147,000 changes in commits of 73. A commit keeps
//! its size, so there are fewer of them: 20 instead of 2,016. `ALL_DOCS_COMMITS` makes more of them.
//!
//! The documents are those of the sample registry, whose figures compare with nothing, or with
//! `ALL_DOCS_CORPUS=packuments.ndjson:mirror.ndjson` copies of real ones under names of their own. In August 2026 the documents that
//! changed on npm were 165 KB in the mean, compressed, 11 times as large as all documents. So a change picks a package with a
//! weight that grows with the size of its document, to the power of `ALL_DOCS_WEIGHT` (1): of the real documents that makes
//! 173 KB as stored, and 15 KB for all.
//!
//! The server runs in this process, and its time and memory are included; its documents are compressed before the clock starts. Bytes written
//! are those of the process by the system's count, zero on a file system in memory.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::path::Path;
use std::sync::Arc;

use all_docs::pipeline::{FoldOptions, FoldPolicy, FollowMetrics, FollowOptions, Progress, fold, follow, ingest};
use all_docs::sample::{Options, SampleServer, World};
use support::loopback::ingest_options;
use support::{corpus, process};
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

/// Returns copies of the documents in some files, at least `names` of them, under names of their own.
fn copies(files: &str, names: usize) -> World {
    let texts: Vec<String> = files.split(':').map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let lines: Vec<&str> = texts.iter().flat_map(|text| text.lines()).filter(|line| !line.is_empty()).collect();
    let mut world = World::new();
    for copy in 0..names.div_ceil(lines.len()) {
        for line in &lines {
            let name = corpus::name_of(line.as_bytes());
            let own = match name.strip_prefix('@') {
                Some(rest) => format!("@r{copy:03}-{rest}"),
                None => format!("r{copy:03}-{name}"),
            };
            let mut line = (*line).to_owned();
            for member in ["\"name\":", "\"name\": ", "\"_id\":", "\"_id\": "] {
                for end in ["\"", "@"] {
                    line = line.replace(&format!("{member}\"{name}{end}"), &format!("{member}\"{own}{end}"));
                }
            }
            let revision = serde_json::from_str::<Revised>(&line).unwrap().revision;
            world.put_raw(&own, revision.as_deref().unwrap_or("1-0"), line);
        }
    }
    world
}

#[derive(serde::Deserialize)]
struct Revised {
    #[serde(rename = "_rev")]
    revision: Option<String>,
}

/// Picks names at random, with weights that grow with the size of their documents. The same ones in every run.
struct Pick {
    names: Vec<String>,
    /// The sum of the weights up to each name.
    sums: Vec<f64>,
    state: u64,
}

impl Pick {
    fn new(world: &World, weight: f64) -> Pick {
        let names: Vec<String> = world.names().map(str::to_owned).collect();
        let mut sum = 0.0;
        let sums = names.iter().map(|name| {
            sum += (world.document(name).map_or(0, |document| document.len()) as f64).powf(weight);
            sum
        });
        Pick { sums: sums.collect(), names, state: 7 }
    }

    fn next(&mut self) -> &str {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let wanted = (self.state >> 11) as f64 / (1_u64 << 53) as f64 * self.sums.last().unwrap();
        &self.names[self.sums.partition_point(|sum| *sum <= wanted)]
    }
}

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    let scale: usize = setting("ALL_DOCS_SCALE", 100);
    let world = match std::env::var("ALL_DOCS_CORPUS") {
        Ok(files) => copies(&files, NAMES / scale),
        Err(_) => World::seeded(7, NAMES / scale),
    };
    let mut pick = Pick::new(&world, setting("ALL_DOCS_WEIGHT", 1.0));
    let names = pick.names.clone();
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
    let commits = setting("ALL_DOCS_COMMITS", CHANGES_OF_A_WEEK.div_ceil(scale * CHANGES_OF_A_COMMIT));
    let mut served_bytes = 0;
    let (began, mut changed_bytes, mut most_files) = (written_bytes(), 0, 0);
    for commit in 0..commits {
        let mut world = server.world();
        for change in 0..CHANGES_OF_A_COMMIT {
            let name = pick.next().to_owned();
            world.publish(&name, &format!("999.{commit}.{change}"));
            served_bytes += world.document(&name).map_or(0, |document| document.len());
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
        // Merges and folds shrink the overlay.
        changed_bytes += if summary.counts.merges + summary.counts.folds == 0 {
            bytes
        } else {
            changed_bytes / (commit as u64).max(1)
        };
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
        "{served_bytes} bytes of JSON changed, {:.0} a document",
        served_bytes as f64 / (commits * CHANGES_OF_A_COMMIT) as f64
    );
    println!(
        "the week: {written} bytes written for {changed_bytes} bytes of changed names in deltas, {:.1} times; at most {most_files} deltas",
        written as f64 / changed_bytes.max(1) as f64,
    );
}
