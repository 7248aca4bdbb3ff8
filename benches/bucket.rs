//! An ingest into a bucket that is far away, against one into a local disk: 100 ms of latency, and 20 MB/s for each
//! connection. The registry is the bottleneck, with 200 documents a second. Then an update of one document.
//!
//! `cargo bench --no-default-features --features pipeline --bench bucket [-- DOCUMENTS]`. The registry, the store (the
//! tests' double of Google Cloud Storage) and the proxy before it are in this process; the requests that reach the proxy
//! are counted there.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

#[path = "../tests/it/doubles/mod.rs"]
mod doubles;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use all_docs::pipeline::{IngestOptions, Progress, ingest};
use all_docs::sample::{Options, SampleServer, World};
use all_docs::store::{Store, StoreOptions};
use doubles::gcs::Gcs;
use doubles::proxy::{Distance, Proxy, counts};
use support::loopback::ingest_options_with;
use support::process;
use tokio_util::sync::CancellationToken;

const DOCUMENTS_PER_SECOND: f64 = 200.0;
const DISTANCE: Distance = Distance { latency: Duration::from_millis(100), bytes_per_second: 20e6 };
/// The documents of a partition.
const PARTITION_DOCUMENTS: usize = 2_000;
/// How often the progress of an ingest is looked at, and after how many looks a rate is printed.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
const LOOKS_PER_RATE: usize = 50;

fn main() {
    let documents = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(10_000);
    let world = World::seeded(1, documents);
    world.prepare(std::thread::available_parallelism().map_or(1, usize::from));
    let names: Vec<String> = world.names().map(str::to_owned).collect();
    let pivots: Vec<String> = names.iter().step_by(PARTITION_DOCUMENTS).skip(1).cloned().collect();
    let server = SampleServer::start(world, Options { records_requests: false, ..Options::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();

    let gcs = Gcs::start("bench");
    let proxy = Proxy::start_far(&gcs.url, DISTANCE);
    let environment = BTreeMap::from([("GOOGLE_SERVICE_ACCOUNT_KEY".to_owned(), Gcs::service_account_key(&proxy.url))]);
    let options = StoreOptions { scratch: Some(folder.path().join("scratch")), environment, ..StoreOptions::default() };
    let far = || Store::open_with("gs://bench/lake", &options).unwrap();
    let local = || Store::open(folder.path().join("lake").to_str().unwrap()).unwrap();

    let run = |what: &str, store: Store| {
        let (measure, begun) = (process::Measure::begin(), Instant::now());
        let options = options_of(&server, store, &pivots);
        let progress = Arc::new(Progress::default());
        let work = ingest(options, Arc::clone(&progress), CancellationToken::new());
        let (summary, done) = runtime.block_on(watched(work, &progress));
        let (summary, taken) = (summary.unwrap(), measure.end());
        let rate = summary.counts.packuments_done as f64 / taken.wall.as_secs_f64();
        println!(
            "{what}: {} documents in {:.1} s, {rate:.1} a second; {:.1} s processor",
            summary.counts.packuments_done,
            taken.wall.as_secs_f64(),
            taken.processor.as_secs_f64()
        );
        let seconds = |looks: usize| looks as f64 * LOOK_INTERVAL.as_secs_f64();
        let first = done.iter().position(|done| *done > 0).unwrap_or_default();
        let last = done.iter().position(|now| Some(now) == done.last()).unwrap_or_default();
        let rates: Vec<String> = done[first..=last]
            .chunks(LOOKS_PER_RATE + 1)
            .filter(|part| part.len() > 1)
            .map(|part| format!("{:.0}", (part[part.len() - 1] - part[0]) as f64 / seconds(part.len() - 1)))
            .collect();
        let end = taken.wall.as_secs_f64() - seconds(last);
        println!(
            "  {:.1} s before the first document, {end:.1} s after the last; between them a second: {}",
            seconds(first),
            rates.join(" ")
        );
        let passed = proxy.take_passed();
        if std::env::args().any(|argument| argument == "--requests") {
            for passed in &passed {
                let at = passed.at.duration_since(begun).as_secs_f64();
                println!("  {at:.2} {:?} {} {}", passed.operation, passed.target, passed.sent_bytes);
            }
        }
        if !passed.is_empty() {
            let sent: u64 = passed.iter().map(|passed| passed.sent_bytes).sum();
            let received: u64 = passed.iter().map(|passed| passed.received_bytes).sum();
            println!("  {} requests, {sent} bytes sent, {received} received: {:?}", passed.len(), counts(&passed));
        }
        rate
    };
    let on_disk = run("a first ingest, local disk", local());
    let in_bucket = run("a first ingest, far bucket", far());
    println!("the far bucket has {:.0} % of the local rate", 100.0 * in_bucket / on_disk);
    server.world().publish(&names[documents / 2], "999.0.0");
    run("an update of one document, local disk", local());
    run("an update of one document, far bucket", far());
    run("nothing changed, far bucket", far());
}

/// Runs an ingest. Returns also how many documents were done at each look.
async fn watched<T>(work: impl Future<Output = T>, progress: &Progress) -> (T, Vec<u64>) {
    tokio::pin!(work);
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    let mut done = Vec::new();
    loop {
        tokio::select! {
            summary = &mut work => return (summary, done),
            _ = looks.tick() => done.push(progress.snapshot().packuments_done),
        }
    }
}

/// Returns the options to ingest all of the registry, no faster than it may serve.
fn options_of(server: &SampleServer, store: Store, pivots: &[String]) -> IngestOptions {
    ingest_options_with(server.url(), store, pivots.to_vec(), |config| {
        config.registry.max_requests_per_second = Some(DOCUMENTS_PER_SECOND);
        config.replicate.max_requests_per_second = Some(DOCUMENTS_PER_SECOND);
    })
}
