//! A fleet: workers that do items over HTTP, and an ingest that hands its work out to them, as processes.

/// Workers as processes, and requests to them.
mod fixture;
/// Pushing items to workers that fail in every way.
mod push;
/// A fleet that meets at a queue.
#[cfg(feature = "queue")]
mod queue;
/// The responses of the service, whatever arrives.
mod statuses;

use std::time::Duration;

use all_docs::lake::{Item, PartitionSetPayload, Payload};
use all_docs::pipeline::{IngestOptions, ItemOutcome, ItemRunner, RunnerOptions};
use all_docs::sample::{Action, Fault, FaultScript, Kind, World};
use all_docs::store::Store;
use all_docs::table::TableKind;
use serde_json::{Value, json};
use sha2::Digest;
use tokio_util::sync::CancellationToken;

use self::fixture::{Worker, dispatch, fleet_options};
use crate::support::{Env, ORIGIN, assert_same_lake, lake_bytes, run_binary, stderr, stdout};

const PACKAGES: usize = 400;
const PIVOTS: [&str; 3] = ["@", "d", "p"];
/// The requests that a killed process may have sent in vain, as in `crash`.
const MOST_REPEATED: usize = 300;

/// Returns a lake that one process has filled.
async fn of_one_process(seed: u64) -> Env {
    let env = Env::new(World::seeded(seed, PACKAGES));
    env.ingest(&PIVOTS).await;
    env
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_makes_the_same_lake_as_one_process_and_asks_for_each_document_once() {
    let alone = of_one_process(41).await;
    let env = Env::new(World::seeded(41, PACKAGES));
    let workers: Vec<Worker> = (0..3).map(|_| Worker::start(&env, &["--items", "1"])).collect();
    let output = dispatch(&env, &PIVOTS, &workers, &["--json"]);
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
    assert_same_lake(&env.lake(), &alone.lake());
    assert_eq!(env.names(TableKind::Docs), alone.names(TableKind::Docs));
    let asked = env.packuments_asked();
    let mut once = asked.clone();
    once.dedup();
    assert_eq!(asked, once, "a document was asked for twice");
    // One summary for all.
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let counts = &told["counts"];
    assert_eq!(counts["names_added"].as_u64().unwrap() as usize, env.names(TableKind::Docs).len());
    assert_eq!(counts["packuments_fresh"].as_u64().unwrap() as usize, env.names(TableKind::Packuments).len());
    assert_eq!((&counts["partitions_done"], &counts["partitions_total"]), (&json!(4), &json!(4)));
    assert!(told["requests"].as_u64().unwrap() as usize >= asked.len());
    // Nothing is left: no kept results of the run, no leases, no staging.
    for folder in ["items", "leases", "staging"] {
        let left: Vec<_> = std::fs::read_dir(env.lake().join("sample").join(folder))
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert!(left.is_empty(), "{folder}: {left:?}");
    }
    // An update without changes hands nothing out.
    let output = dispatch(&env, &PIVOTS, &workers, &["--json"]);
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(told["counts"]["partitions_done"], json!(4));
    assert_same_lake(&env.lake(), &alone.lake());
    assert_eq!(run_binary(env.folder.path(), &["verify"]).status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_costs_few_requests_and_no_row() {
    let alone = of_one_process(42).await;
    let env = Env::new(World::seeded(42, PACKAGES));
    let slow = Action::Slow { before_headers_ms: 30, between_chunks_ms: 0, chunk_bytes: 1 << 20 };
    env.server.set_faults(FaultScript::of([Fault::on(Kind::Packument, slow)]));
    let mut workers: Vec<Worker> = (0..2).map(|_| Worker::start(&env, &["--items", "1"])).collect();
    let dispatcher = fixture::dispatcher(&env, &PIVOTS, &workers, &[]).spawn().unwrap();
    let asked = || env.server.requests().iter().filter(|request| request.package.is_some()).count();
    while asked() < 100 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    workers[0].kill();
    let output = dispatcher.wait_with_output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
    assert_same_lake(&env.lake(), &alone.lake());
    let asked = env.packuments_asked();
    let mut once = asked.clone();
    once.dedup();
    assert!(asked.len() - once.len() <= MOST_REPEATED, "{} of {} were repeated", asked.len() - once.len(), asked.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_items_of_a_partition_set_make_the_lake_of_an_ingest_whatever_pushes_them() {
    let alone = Env::new(World::seeded(43, PACKAGES));
    crate::support::run(fleet_options(&alone)).await.unwrap();
    let env = Env::new(World::seeded(43, PACKAGES));
    let workers = [Worker::start(&env, &["--partition-rows", "100"]), Worker::start(&env, &[])];
    let set = workers[0].post("partition-set", &json!({"payload": {"run": "nightly"}}));
    assert_eq!((set.status, &set.body["success"]), (200, &json!(true)), "{}", set.body);
    let items = set.body["data"]["items"].as_array().unwrap().clone();
    assert!(items.len() > 2, "{}", set.body);
    for (index, item) in items.iter().enumerate() {
        assert_eq!((&item["payload"]["index"], &item["payload"]["run"]), (&json!(index), &json!("nightly")));
        let reply = workers[index % 2].post_text("/work", &[], &item.to_string());
        assert_eq!((reply.status, &reply.body["success"]), (200, &json!(true)), "{}", reply.body);
        assert_eq!(reply.body["workItemId"], item["id"]);
    }
    drop(workers);
    std::fs::remove_dir_all(env.lake().join("sample/items")).unwrap();
    assert_same_lake(&env.lake(), &alone.lake());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_is_pushed_twice_is_done_once_by_whichever_worker() {
    let env = of_one_process(44).await;
    env.server.clear_requests();
    let workers = [Worker::start(&env, &[]), Worker::start(&env, &["--keep-results", "0s"])];
    let item = json!({"payload": {"startKey": "d", "endKey": "p"}, "attempts": 1});
    let first = workers[0].post("partition", &item);
    assert_eq!((first.status, first.is_kept()), (200, false), "{}", first.body);
    assert_eq!(first.body["workItemId"], json!("v1:partition:sample:64:70"));
    let requests = env.server.request_count();
    let again = json!({"payload": {"endKey": "p", "startKey": "d"}, "priority": 9});
    let second = workers[0].post("partition", &again);
    assert_eq!((second.status, second.is_kept(), &second.body), (200, true, &first.body));
    assert_eq!(env.server.request_count(), requests, "a kept result needs no request");
    // It is over its time for a worker that keeps nothing.
    let third = workers[1].post("partition", &item);
    assert_eq!((third.status, third.is_kept()), (200, false), "{}", third.body);
    // Another payload is other work.
    let other = workers[0].post("partition", &json!({"payload": {"startKey": "d", "endKey": "p", "run": "x"}}));
    assert_eq!((other.status, other.is_kept()), (200, false), "{}", other.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packument_item_says_what_became_of_the_name() {
    let env = of_one_process(45).await;
    let name = env.names(TableKind::Packuments)[7].clone();
    let worker = Worker::start(&env, &[]);
    let reply = worker.post("packument", &json!({"payload": {"packageName": name}}));
    assert_eq!((reply.status, &reply.body["success"]), (200, &json!(true)), "{}", reply.body);
    assert_eq!(reply.body["data"]["packageName"], json!(name));
    let reply = worker.post("packument", &json!({"payload": {"packageName": "no-such-package-here"}}));
    assert_eq!((reply.status, &reply.body["success"]), (200, &json!(false)), "{}", reply.body);
    assert_eq!(reply.body["error"]["statusCode"], json!(404), "{}", reply.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_says_what_is_wrong_with_its_workers() {
    let env = of_one_process(46).await;
    let elsewhere = Env::new(World::seeded(46, 20));
    // Another lake, for the same registry.
    let worker = Worker::start_in(&elsewhere, &env, &[]);
    env.server.clear_requests();
    let output = dispatch(&env, &PIVOTS, &[worker], &[]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("another lake"), "{}", stderr(&output));
    let listed = env.server.requests().iter().any(|request| request.path.contains("_all_docs"));
    assert!(!listed, "the registry was listed for nothing");
    env.server.world().add_names(["dddd"]);
    let worker = Worker::start(&env, &["--packuments", "none"]);
    let output = dispatch(&env, &PIVOTS, &[worker], &[]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let worker = Worker::start(&env, &["--token", "sesame"]);
    let output = dispatch(&env, &PIVOTS, std::slice::from_ref(&worker), &[]);
    assert!(output.status.code() == Some(3) || stderr(&output).contains("token"), "{}", stderr(&output));
    let output = dispatch(&env, &PIVOTS, &[worker], &["--worker-token", "sesame"]);
    assert!(matches!(output.status.code(), Some(0 | 6)), "{}", stderr(&output));
    let file = env.folder.path().join("names.txt");
    std::fs::write(&file, "dddd").unwrap();
    let to = |workers: &str, token: &str| {
        let origin = format!("sample={}", env.server.url());
        run_binary(env.folder.path(), &["ingest", "--workers", workers, "--worker-token", token, "--origin", &origin])
    };
    let output = to(&format!("{}/,", env.server.url()), "x");
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("readyz with 404: it is no worker"), "{}", stderr(&output));
    let output = to(env.server.url(), "a\nb");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let nobody = ["ingest", "--workers", "http://127.0.0.1:1", "--origin"];
    let origin = format!("sample={}", env.server.url());
    let output = run_binary(env.folder.path(), &[&nobody[..], &[&origin]].concat());
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("no worker answers"), "{}", stderr(&output));
    let names = [&nobody[..], &[&origin, "--names", file.to_str().unwrap()]].concat();
    assert_eq!(run_binary(env.folder.path(), &names).status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_a_worker_ends_the_run_with_the_exit_code_of_one_process() {
    for (action, words) in [(Action::Unauthorized401, "401"), (Action::too_many_requests("7200"), "worker")] {
        let env = Env::new(World::seeded(48, 60));
        env.server.set_faults(FaultScript::of([Fault::on(Kind::Packument, action)]));
        let worker = Worker::start(&env, &["--patience", "0s"]);
        let output = dispatch(&env, &PIVOTS, &[worker], &[]);
        let alone = Env::new(World::seeded(48, 60));
        alone.server.set_faults(env.server.faults());
        let of_one = alone.ingest_command(&PIVOTS).args(["--patience", "0s"]).output().unwrap();
        assert_eq!(output.status.code(), of_one.status.code(), "{}\n{}", stderr(&output), stderr(&of_one));
        assert!(output.status.code() != Some(0) && stderr(&output).contains(words), "{}", stderr(&output));
    }
}

/// Two runners are two machines: they share nothing but the bucket.
#[tokio::test(flavor = "multi_thread")]
async fn two_machines_that_get_the_same_items_from_a_queue_do_each_once_in_a_bucket() {
    let alone = Env::new(World::seeded(47, PACKAGES));
    crate::support::run(fleet_options(&alone)).await.unwrap();
    let env = Env::new(World::seeded(47, PACKAGES));
    let bucket = Store::memory();
    let runner = || {
        let ingest = IngestOptions { store: bucket.clone(), ..fleet_options(&env) };
        ItemRunner::new(RunnerOptions { ingest, keep_results: Duration::from_secs(3600) })
    };
    let (one, other) = (runner(), runner());
    let set = Item::new(ORIGIN, Payload::PartitionSet(PartitionSetPayload::default())).unwrap();
    let mut items = vec![set];
    let mut next = 0;
    while let Some(item) = items.get(next).cloned() {
        next += 1;
        let stop = CancellationToken::new();
        let outcomes = futures::future::join(one.run(&item, stop.clone()), other.run(&item, stop)).await;
        let mut done = 0;
        for outcome in [outcomes.0, outcomes.1] {
            match outcome {
                ItemOutcome::Done { result, is_kept } => {
                    assert!(result.success, "{result:?}");
                    done += usize::from(!is_kept);
                    if let Some(of_set) = result.data["items"].as_array().filter(|_| items.len() == 1) {
                        let parse = |item: &Value| Item::parse(item.to_string().as_bytes(), None, ORIGIN).unwrap();
                        items.extend(of_set.iter().map(parse));
                    }
                }
                ItemOutcome::Held { by } => assert!(by.contains("process"), "{by}"),
                outcome => panic!("{outcome:?}"),
            }
        }
        assert_eq!(done, 1, "{}", item.id());
    }
    assert!(items.len() > 3);
    for runner in [one, other] {
        runner.end().await.unwrap();
    }
    for (path, digest) in lake_bytes(&alone.lake()) {
        let bytes = bucket.get(&path).await.unwrap().unwrap_or_else(|| panic!("the bucket lacks {path}"));
        let same: String = sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(same, digest, "{path}");
    }
    let asked = env.packuments_asked();
    let mut once = asked.clone();
    once.dedup();
    assert_eq!(asked, once, "a document was asked for twice");
}
