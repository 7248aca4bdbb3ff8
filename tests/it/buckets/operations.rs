//! The operations that a lake in a bucket takes: as many as the store says, and no more than these bounds.

use std::collections::BTreeMap;
use std::path::Path;

use all_docs::pipeline::IngestOptions;
use all_docs::sample::World;
use all_docs::store::{Store, StoreUsage};
use all_docs::table::TableKind;

use super::fixture::Bucket;
use crate::doubles::proxy::{Operation, Passed, counts};
use crate::support::{Env, ORIGIN, run, stderr, stdout};

const PIVOTS: [&str; 3] = ["f", "m", "s"];
const PARTITIONS: usize = PIVOTS.len() + 1;
const TABLES: usize = TableKind::ALL.len();

/// Returns the counts of a store, by the kinds that the proxy tells apart.
fn told(usage: StoreUsage) -> BTreeMap<Operation, usize> {
    let kinds = [
        (Operation::Put, usage.puts),
        (Operation::Create, usage.creates),
        (Operation::Update, usage.updates),
        (Operation::Get, usage.gets),
        (Operation::Head, usage.heads),
        (Operation::List, usage.lists),
        (Operation::Delete, usage.deletes),
        (Operation::MultipartCreate, usage.uploads_begun),
        (Operation::MultipartPart, usage.parts),
        (Operation::MultipartComplete, usage.uploads_completed),
        (Operation::MultipartAbort, usage.uploads_aborted),
    ];
    kinds.into_iter().filter(|(_, count)| *count > 0).map(|(kind, count)| (kind, count as usize)).collect()
}

/// Ingests into the bucket. Returns the requests that the proxy saw, and fails unless the store counted the same.
async fn ingested(env: &Env, bucket: &Bucket, store: Store) -> Vec<Passed> {
    bucket.proxy.take_passed();
    run(IngestOptions { store: store.clone(), ..env.options(&PIVOTS) }).await.unwrap();
    let passed = bucket.proxy.take_passed();
    let usage = store.usage();
    assert_eq!(told(usage), counts(&passed));
    assert_eq!(
        usage.bytes_up,
        passed.iter().filter(|passed| is_data(passed)).map(|passed| passed.sent_bytes).sum::<u64>()
    );
    let received = passed.iter().filter(|passed| passed.operation == Operation::Get && passed.status < 300);
    assert_eq!(usage.bytes_down, received.map(|passed| passed.received_bytes).sum::<u64>());
    passed
}

fn is_data(passed: &Passed) -> bool {
    matches!(passed.operation, Operation::Put | Operation::Create | Operation::Update | Operation::MultipartPart)
}

/// Fails if there were more of an operation than its bound; those without one must not occur.
pub fn assert_within(passed: &[Passed], bounds: &[(Operation, usize)]) {
    let counted = counts(passed);
    eprintln!("{counted:?}");
    for (operation, count) in &counted {
        let bound = bounds.iter().find(|(bounded, _)| bounded == operation).map_or(0, |(_, bound)| *bound);
        let targets: Vec<&str> =
            passed.iter().filter(|each| each.operation == *operation).map(|each| each.target.as_str()).collect();
        assert!(*count <= bound, "{count} of {operation:?}, not {bound}: {targets:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_and_an_update_take_few_operations_and_all_are_counted() {
    let bucket = Bucket::gcs();
    let env = Env::new(World::seeded(86, 200));
    // Leases are renewed, and the status of a run is written, as time passes; so some bounds are wide.
    let as_time_passes = 40;
    let first = ingested(&env, &bucket, bucket.store()).await;
    assert_within(
        &first,
        &[
            (Operation::Put, PARTITIONS * (TABLES + 5) + as_time_passes),
            (Operation::Create, PARTITIONS * 3 + 6),
            (Operation::Update, as_time_passes),
            (Operation::Get, PARTITIONS * 8 + 40),
            (Operation::List, PARTITIONS * 7 + 20),
            (Operation::Delete, PARTITIONS * 6 + 10),
        ],
    );

    let names: Vec<String> = env.server.world().names().map(str::to_owned).collect();
    env.server.world().publish(&names[100], "88.0.0");
    let update = ingested(&env, &bucket, bucket.store()).await;
    assert_within(
        &update,
        &[
            (Operation::Put, TABLES + 15 + as_time_passes),
            (Operation::Create, 3),
            (Operation::Update, as_time_passes),
            (Operation::Get, PARTITIONS * 12 + 40),
            (Operation::List, PARTITIONS * 4 + 16),
            (Operation::Delete, 12),
        ],
    );

    let nothing = ingested(&env, &bucket, bucket.store()).await;
    assert_within(
        &nothing,
        &[
            (Operation::Put, as_time_passes),
            (Operation::Update, as_time_passes),
            (Operation::Get, PARTITIONS * 9 + 30),
            (Operation::List, PARTITIONS * 3 + 16),
            (Operation::Delete, 6),
        ],
    );
}

/// Runs the binary. Returns what it printed, and the requests that the proxy saw: as many as the binary says.
pub fn commanded(bucket: &Bucket, folder: &Path, code: i32, arguments: &[&str]) -> (String, Vec<Passed>) {
    bucket.proxy.take_passed();
    let output = bucket.command(folder, &[arguments, &["--verbose"]].concat()).output().unwrap();
    let passed = bucket.proxy.take_passed();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}{told}", stdout(&output));
    let line = told.lines().find(|line| line.starts_with("  bucket ")).unwrap();
    assert!(line.contains(&format!(": {} operations (", passed.len())), "{arguments:?}: {told}");
    eprintln!("{arguments:?}: {:?}", counts(&passed));
    (stdout(&output), passed)
}

/// Commands that read a lake, each in a process of its own. The first has no cache, and the next one has its cache.
async fn commands_that_read_take_few_operations(bucket: Bucket) {
    let env = Env::new(World::seeded(86, 200));
    run(IngestOptions { store: bucket.store(), ..env.options(&PIVOTS) }).await.unwrap();
    let folder = env.folder.path();
    let no_cache = || drop(std::fs::remove_dir_all(folder.join("cache")));
    #[cfg(feature = "query")]
    {
        let names: Vec<String> = env.server.world().names().map(str::to_owned).collect();
        let find = |name: &str| format!("select name from packuments where name = '{name}' and json like '%{name}%'");
        let query = |sql: &str, rows: &str| {
            let (printed, passed) = commanded(&bucket, folder, 0, &["query", sql, "--format", "csv"]);
            assert_eq!(printed, rows, "{sql}");
            passed
        };
        no_cache();
        // One read of each statement is of the record of the overlay, which is not there.
        let found = format!("name\n{}\n", names[100]);
        assert_within(&query(&find(&names[100]), &found), &[(Operation::List, 2), (Operation::Get, 4)]);
        assert_within(&query(&find(&names[100]), &found), &[(Operation::List, 2), (Operation::Get, 2)]);
        let other = format!("name\n{}\n", names[101]);
        assert_within(&query(&find(&names[101]), &other), &[(Operation::List, 2), (Operation::Get, 2)]);
        no_cache();
        let (sql, count) = ("select count(*) as n from docs", format!("n\n{}\n", names.len()));
        assert_within(&query(sql, &count), &[(Operation::List, 2), (Operation::Get, PARTITIONS + 2)]);
        assert_within(&query(sql, &count), &[(Operation::List, 2), (Operation::Get, 1)]);
    }
    no_cache();
    let status = || commanded(&bucket, folder, 0, &["status"]).1;
    assert_within(&status(), &[(Operation::List, 5), (Operation::Get, PARTITIONS + 6)]);
    assert_within(&status(), &[(Operation::List, 5), (Operation::Get, 5)]);
    no_cache();
    let verify = |code| commanded(&bucket, folder, code, &["verify", "--quick"]);
    assert_within(&verify(0).1, &[(Operation::List, 5), (Operation::Get, PARTITIONS + 7)]);
    assert_within(&verify(0).1, &[(Operation::List, 5), (Operation::Get, 7)]);

    // A shard that is gone, and one of another size.
    let store = bucket.store_behind();
    for table in ["versions", "docs"] {
        let shard = format!("{ORIGIN}/{table}/66-6d.parquet");
        let bytes = store.get(&shard).await.unwrap().unwrap();
        store.delete(&shard).await.unwrap();
        let (told, passed) = verify(4);
        assert!(told.contains(&shard), "{told}");
        assert_within(&passed, &[(Operation::List, 7), (Operation::Get, TABLES + 10), (Operation::Head, 2)]);
        store.put(&shard, [&bytes[..], b"more"].concat()).await.unwrap();
        let (told, _) = verify(4);
        assert!(told.contains(&shard) && told.contains(&format!("it has {} bytes", bytes.len() + 4)), "{told}");
        store.put(&shard, bytes).await.unwrap();
        verify(0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_read_take_few_operations_on_s3() {
    let Some(bucket) = Bucket::s3("operations") else { return };
    commands_that_read_take_few_operations(bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_read_take_few_operations_on_google_cloud_storage() {
    commands_that_read_take_few_operations(Bucket::gcs()).await;
}
