//! The arrays of a large registry: download counts of all packages written, a day appended, and read again; the dependency
//! graph built. Time, processor time and the peak of memory, each part in a process of its own.
//!
//! `cargo bench --no-default-features --features array --bench arrays -- FOLDER [PACKAGES [DAYS [EDGES...]]]`. The folder
//! must not exist; `arrays_in_python.py` reads it afterwards. Without arguments the data is small, and is removed.
//! 6 % of the cells are not zero. The packages that are downloaded most come first, but not in their exact order.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::process::Command;
use std::sync::Arc;

use all_docs::array::{
    Counts, DependencyGraph, Downloads, EDGE_KINDS, Edges, PackageAxis, Right, Rows, Side, StoredGraph, UNKNOWN,
};
use all_docs::lake::{Layout, OriginLayout};
use all_docs::store::Store;
use jiff::ToSpan;
use jiff::civil::{Date, date};
use support::process::{self, Measure};

/// The day before the one that is appended.
const LAST_DAY: Date = date(2026, 11, 27);
/// The days of the rows of the first block: five years.
const FIRST_BLOCK_DAYS: u32 = 1_826;
/// The downloads of the first package on a day, with so many packages: then 6 % of the cells are not zero.
const MOST_DOWNLOADS: f64 = 37.4e6;
const PACKAGES_OF_NPM: f64 = 4.4e6;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let texts: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match texts.as_slice() {
        ["write", folder, packages, days] => run(write(folder, packages.parse().unwrap(), days.parse().unwrap())),
        ["append", folder, packages] => run(append(folder, packages.parse().unwrap())),
        ["read", folder] => run(read(folder)),
        ["graph", folder, packages, edges] => {
            run(graph(folder, packages.parse().unwrap(), edges.parse().unwrap()));
        }
        [] => {
            let folder = tempfile::tempdir().unwrap();
            all(folder.path().join("arrays").to_str().unwrap(), "44000", "365", &["100000"]);
        }
        [folder] => all(folder, "4400000", "365", &["10000000", "60000000"]),
        [folder, packages] => all(folder, packages, "365", &["10000000", "60000000"]),
        [folder, packages, days] => all(folder, packages, days, &[]),
        [folder, packages, days, edges @ ..] => all(folder, packages, days, edges),
    }
}

/// Runs each part in a process of its own, so that its peak of memory is its own.
fn all(folder: &str, packages: &str, days: &str, edges: &[&str]) {
    let part = |arguments: &[&str]| {
        assert!(Command::new(std::env::current_exe().unwrap()).args(arguments).status().unwrap().success());
    };
    part(&["write", folder, packages, days]);
    part(&["append", folder, packages]);
    part(&["read", folder]);
    for edges in edges {
        part(&["graph", folder, packages, edges]);
    }
}

fn run(part: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().unwrap().block_on(part);
    println!("    peak of memory {} MB", process::peak_memory_bytes() / 1_000_000);
}

fn layout() -> OriginLayout {
    Layout::origin("npm")
}

fn right() -> Right {
    Arc::new(|| Ok(()))
}

fn axis(packages: u32) -> PackageAxis {
    let mut axis = PackageAxis::default();
    for row in 0..packages {
        axis.add(&format!("@scope-{}/package-{row}", row % 1_000), LAST_DAY);
    }
    axis
}

/// The downloads of packages: each package has its own sequence.
struct World {
    packages: u32,
}

impl World {
    fn counts(&self, row: u32, first_day: u32, days: u32) -> Vec<Option<u64>> {
        let mut random = fastrand::Rng::with_seed(u64::from(row));
        // The order of the rows is near that of the downloads.
        let disorder = (random.f64() + random.f64() + random.f64() - 1.5) * 2.0;
        let most = MOST_DOWNLOADS * (f64::from(self.packages) / PACKAGES_OF_NPM).powf(1.5);
        let mean = most * f64::from(row + 1).powf(-1.5) * disorder.exp();
        let mut random = fastrand::Rng::with_seed(u64::from(row) << 32 | u64::from(first_day));
        let count = |day: u32| {
            let mean = mean * [1.0, 1.1, 1.1, 1.1, 1.0, 0.5, 0.45][(first_day + day) as usize % 7];
            if mean > 20.0 {
                return (mean * (0.8 + 0.4 * random.f64())) as u64;
            }
            // Knuth's way to a Poisson number.
            let (mut product, limit, mut count) = (random.f64(), (-mean).exp(), 0);
            while product > limit {
                product *= random.f64();
                count += 1;
            }
            count
        };
        (0..days).map(count).map(Some).collect()
    }
}

/// Records the counts of all packages, block by block, and writes the array.
async fn write(folder: &str, packages: u32, days: u32) {
    std::fs::create_dir(folder).unwrap();
    let store = Store::open(folder).unwrap();
    let axis = Arc::new(axis(packages));
    axis.write(&store, &layout()).await.unwrap();
    let downloads = Downloads::open(&store, &layout(), &axis, LAST_DAY, &right()).await.unwrap();
    let (mut recorded, mut folded) = (0.0, 0.0);
    let mut known = (0u64, 0u64);
    for block in downloads.blocks() {
        // The packages that people compare have more days, to be read over years.
        let days = if block.number == 0 { days.max(FIRST_BLOCK_DAYS) } else { days };
        let since = LAST_DAY - i64::from(days - 1).days();
        let mut writer = downloads.writer(&block, &right()).await.unwrap();
        let mut made = 0.0;
        let recording = Measure::begin();
        for row in block.rows.clone() {
            let making = process::thread_ns();
            let counts = World { packages }.counts(row, 0, days);
            known.0 += counts.len() as u64;
            known.1 += counts.iter().filter(|count| **count != Some(0)).count() as u64;
            made += (process::thread_ns() - making) as f64 / 1e9;
            writer.record(Counts { row, since, counts }).await.unwrap();
        }
        writer.flush().await.unwrap();
        recorded += recording.end().processor.as_secs_f64() - made;
        let folding = Measure::begin();
        writer.finish().await.unwrap();
        folded += folding.end().processor.as_secs_f64();
    }
    downloads.finish().await.unwrap();
    let bytes = bytes_of(&store, "downloads.zarr/downloads/c").await;
    let cells = known.0 as f64;
    println!(
        "{packages} packages x {days} days, the first 131,072 of them x {FIRST_BLOCK_DAYS}: {:.0} million cells, {:.2} % not zero",
        cells / 1e6,
        known.1 as f64 / cells * 100.0
    );
    println!(
        "    written: {:.1} MB, {:.3} bytes a cell; recorded in {recorded:.1} s and folded in {folded:.1} s of processor \
         time: {:.0} M cells/s a core into shards",
        bytes as f64 / 1e6,
        bytes as f64 / cells,
        cells / folded / 1e6
    );
}

/// Appends one day of all packages.
async fn append(folder: &str, packages: u32) {
    let store = Store::open(folder).unwrap();
    let day = LAST_DAY + 1.days();
    let axis = axis(packages);
    process::forget_peak();
    let measure = Measure::begin();
    let downloads = Downloads::open(&store, &layout(), &axis, day, &right()).await.unwrap();
    for block in downloads.blocks() {
        let mut writer = downloads.writer(&block, &right()).await.unwrap();
        for row in block.rows.clone() {
            let counts = World { packages }.counts(row, 1, 1);
            writer.record(Counts { row, since: day, counts }).await.unwrap();
        }
        writer.finish().await.unwrap();
    }
    downloads.finish().await.unwrap();
    report("a day appended", &measure);
}

async fn read(folder: &str) {
    let store = Store::open(folder).unwrap();
    let downloads = Downloads::find(&store, &layout()).await.unwrap().unwrap();
    let year = LAST_DAY - 364.days()..=LAST_DAY;
    let measure = Measure::begin();
    downloads.read(&[777], year.clone()).await.unwrap();
    report("one package in a year", &measure);
    let measure = Measure::begin();
    let rows: Vec<u32> = (0..1_000).collect();
    let read = downloads.read(&rows, LAST_DAY - 1_825.days()..=LAST_DAY).await.unwrap();
    report(&format!("the 1,000 first packages in five years ({} known)", known(&read)), &measure);
    let measure = Measure::begin();
    let mut random = fastrand::Rng::with_seed(3);
    let rows: Vec<u32> = (0..1_000).map(|_| random.u32(0..20_000.min(downloads.rows()))).collect();
    let read = downloads.read(&rows, LAST_DAY - 1_825.days()..=LAST_DAY).await.unwrap();
    report(&format!("1,000 of the 20,000 first packages in five years ({} known)", known(&read)), &measure);
    let measure = Measure::begin();
    let rows: Vec<u32> = (0..1_000).map(|number| (u64::from(downloads.rows()) * number / 1_000) as u32).collect();
    let read = downloads.read(&rows, year).await.unwrap();
    report(&format!("1,000 scattered packages in a year ({} known)", known(&read)), &measure);
    let measure = Measure::begin();
    let sum = sum(&downloads, LAST_DAY).await;
    report(&format!("all packages on a day ({sum} downloads)"), &measure);
}

fn known(read: &[Vec<Option<u32>>]) -> usize {
    read.iter().flatten().flatten().count()
}

/// Adds the downloads of a day, tile by tile, on one core.
async fn sum(downloads: &Downloads, day: Date) -> u64 {
    let mut sum = 0;
    for tile in downloads.tiles(&Rows::All, day..=day) {
        for piece in downloads.read_tile(&tile).await.unwrap() {
            sum += piece.cells.iter().filter(|&&count| count != UNKNOWN).map(|&count| u64::from(count)).sum::<u64>();
        }
    }
    sum
}

/// Builds the graph of `edges` edges and writes it. The ends of most edges are few packages.
async fn graph(folder: &str, packages: u32, edges: u32) {
    let store = Store::open(folder).unwrap();
    store.delete_folder(&layout().dependency_graph()).await.unwrap();
    let axis = Arc::new(axis(packages));
    let mut all = Edges::default();
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..edges {
        let from = random.u32(0..packages);
        let to = (f64::from(packages).powf(random.f64()) - 1.0) as u32;
        all.push(from, to.min(packages - 1), random.u8(0..EDGE_KINDS.len() as u8));
    }
    let measure = Measure::begin();
    let graph = DependencyGraph::new(Arc::clone(&axis), Vec::new(), all);
    report(&format!("{edges} edges sorted from both sides"), &measure);
    let writing = Measure::begin();
    graph.write(&store, &layout(), &right()).await.unwrap();
    report("    written", &writing);
    let bytes = bytes_of(&store, "dependency_graph.zarr").await;
    report(&format!("    both together, {} MB", bytes / 1_000_000), &measure);
    let measure = Measure::begin();
    let graph = StoredGraph::find(&store, &layout()).await.unwrap().unwrap();
    let found = graph.edges_of(Side::In, &Rows::of([777])).await.unwrap();
    report(&format!("    {} dependents of one package read", found.csr.indices.len()), &measure);
}

async fn bytes_of(store: &Store, folder: &str) -> u64 {
    let mut bytes = 0;
    for path in store.list(&format!("npm/{folder}")).await.unwrap() {
        bytes += store.open_shard(&path).await.unwrap().unwrap().size_bytes();
    }
    bytes
}

fn report(work: &str, measure: &Measure) {
    let taken = measure.end();
    let (wall, processor) = (taken.wall.as_secs_f64(), taken.processor.as_secs_f64());
    println!("    {work}: {wall:.3} s wall, {processor:.2} s processor");
}
