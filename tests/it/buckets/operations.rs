//! The operations that a lake in a bucket takes: as many as the store says, and no more than these bounds.

use std::collections::BTreeMap;

use all_docs::pipeline::IngestOptions;
use all_docs::sample::World;
use all_docs::store::{Store, StoreUsage};
use all_docs::table::TableKind;

use super::fixture::Bucket;
use crate::doubles::proxy::{Operation, Passed, counts};
use crate::support::{Env, run};

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
fn assert_within(passed: &[Passed], bounds: &[(Operation, usize)]) {
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
    let first = ingested(&env, &bucket, bucket.store()).await;
    assert_within(&first, &[]);
    let names: Vec<String> = env.server.world().names().map(str::to_owned).collect();
    env.server.world().publish(&names[100], "88.0.0");
    let update = ingested(&env, &bucket, bucket.store()).await;
    assert_within(&update, &[]);
    let nothing = ingested(&env, &bucket, bucket.store()).await;
    assert_within(&nothing, &[]);
    let _ = (PARTITIONS, TABLES);
}
