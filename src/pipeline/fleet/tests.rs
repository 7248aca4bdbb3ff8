#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::error::{ErrorKind, Result};
use crate::lake::{Item, ItemResult, OriginInfo, Pivots};
use crate::pipeline::crash_tests::{Backend, Lake};
use crate::pipeline::{IngestOptions, ItemRunner, PartitionMode, RunnerOptions, lake_status};
use crate::queue::test_server::NatsServer;
use crate::queue::{Priority, Queue, QueueAddress, QueueOptions, WorkQueue};
use crate::registry::{BudgetSnapshot, Credentials, Origin, Registry, RegistryConfig, RequestLedger};
use crate::sample::{Action, Fault, FaultScript, Options, SampleServer, World};

async fn connect(server: &NatsServer) -> Queue {
    let options = QueueOptions { ack_wait: Duration::from_secs(2), ..QueueOptions::default() };
    Queue::connect(&QueueAddress::parse(&server.url()).unwrap(), options).await.unwrap()
}

fn sample() -> SampleServer {
    SampleServer::start(World::seeded(61, 30), Options::default()).unwrap()
}

/// A process of the fleet.
struct Member {
    fleet: QueueFleet,
    registry: Registry,
}

async fn member(nats: &NatsServer, sample: &SampleServer, set: impl FnOnce(&mut RegistryConfig)) -> Member {
    let fleet = QueueFleet::join(connect(nats).await).await.unwrap();
    let mut origin = Origin::parse(sample.url(), None).unwrap();
    "sample".clone_into(&mut origin.name);
    let mut config = RegistryConfig::for_origin(&origin);
    config.fleet = Some(fleet.fleet());
    set(&mut config);
    Member { fleet, registry: Registry::new(origin, config, Credentials::default()).unwrap() }
}

/// The count of a lake.
#[derive(Default)]
struct LakeCount(Mutex<BudgetSnapshot>);

impl RequestLedger for LakeCount {
    fn update<'a>(&'a self, change: &'a mut (dyn FnMut(&mut BudgetSnapshot) + Send)) -> BoxFuture<'a, Result<()>> {
        change(&mut self.0.lock().unwrap());
        Box::pin(std::future::ready(Ok(())))
    }
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lowest_pace_of_any_process_is_that_of_all_and_leaves_with_it() {
    let (Some(nats), sample) = (NatsServer::start(), sample()) else { return };
    let fast = member(&nats, &sample, |config| config.registry.max_requests_per_second = Some(900.0)).await;
    fast.registry.info().await.unwrap();
    let slow = member(&nats, &sample, |config| config.registry.max_requests_per_second = Some(70.0)).await;
    slow.registry.info().await.unwrap();
    let pace = |member: &Member| member.registry.gates()[0].requests_per_second;
    until(|| pace(&fast) == Some(70.0) && pace(&slow) == Some(70.0)).await;
    // The one that decides goes, in order.
    let Member { fleet, registry } = slow;
    drop(registry);
    fleet.leave().await;
    fast.registry.info().await.unwrap();
    assert_eq!(sample.request_count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_one_closes_the_gate_for_all() {
    let (Some(nats), sample) = (NatsServer::start(), sample()) else { return };
    let (one, other) = (member(&nats, &sample, |_| {}).await, member(&nats, &sample, |_| {}).await);
    one.registry.info().await.unwrap();
    other.registry.info().await.unwrap();
    sample.set_faults(FaultScript::of([Fault::any(Action::too_many_requests("60"))]));
    let refused = {
        let registry = other.registry.clone();
        tokio::spawn(async move { registry.info().await })
    };
    until(|| [&one, &other].iter().all(|member| member.registry.gates()[0].closed_for.is_some())).await;
    let sent = sample.request_count();
    let waits = {
        let registry = one.registry.clone();
        tokio::spawn(async move { registry.info().await })
    };
    // Its request waits at the gate of both: the state of a gate counts those of all.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waits.is_finished() && !refused.is_finished());
    assert_eq!(sample.request_count(), sent);
    refused.abort();
    waits.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_has_one_budget_a_month_and_each_lake_counts_its_own_requests() {
    let (Some(nats), sample) = (NatsServer::start(), sample()) else { return };
    let lakes = [Arc::new(LakeCount::default()), Arc::new(LakeCount::default())];
    let mut members = Vec::new();
    for lake in &lakes {
        let member = member(&nats, &sample, |config| config.monthly_budget = Some(21)).await;
        member.registry.count_in(Arc::clone(lake) as Arc<dyn RequestLedger>).await.unwrap();
        members.push(member);
    }
    let mut sent = [0, 0];
    let mut spent = [false, false];
    while spent != [true, true] {
        for (number, member) in members.iter().enumerate() {
            match member.registry.info().await {
                Ok(_) => sent[number] += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::RateLimit, "{error:?}");
                    spent[number] = true;
                }
            }
        }
    }
    assert_eq!((sample.request_count(), sent[0] + sent[1]), (21, 21));
    for (lake, sent) in lakes.iter().zip(sent) {
        let counted: Vec<u64> = lake.0.lock().unwrap().hosts.values().map(|count| count.requests).collect();
        assert_eq!(counted, [sent]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_survives_a_restart_of_the_server() {
    let (Some(mut nats), sample) = (NatsServer::start(), sample()) else { return };
    let (one, other) = (member(&nats, &sample, |_| {}).await, member(&nats, &sample, |_| {}).await);
    one.registry.info().await.unwrap();
    other.registry.info().await.unwrap();
    nats.kill();
    nats.begin();
    let (one, other) = tokio::join!(one.registry.info(), other.registry.info());
    one.unwrap();
    other.unwrap();
    assert_eq!(sample.request_count(), 4);
}

/// A worker and its lake.
struct Worker {
    queue: WorkQueue,
    runner: ItemRunner,
    lake: Lake,
    member: Member,
}

async fn worker(nats: &NatsServer, sample: &SampleServer) -> Worker {
    let member = member(nats, sample, |_| {}).await;
    let lake = Backend::Disk.lake(&BTreeMap::new()).await;
    let info = OriginInfo { replicate_url: "sample".to_owned(), registry_url: "sample".to_owned() };
    let ingest = IngestOptions {
        pivots: Some(Pivots::new(vec!["m".to_owned()]).unwrap()),
        partitions: PartitionMode::Exact,
        ..IngestOptions::new(lake.store.clone(), member.registry.clone(), info)
    };
    let runner = ItemRunner::new(RunnerOptions { ingest, keep_results: Duration::from_secs(3600) });
    Worker { queue: connect(nats).await.work("sample").await.unwrap(), runner, lake, member }
}

impl Worker {
    /// Consumes until `work` has ended.
    async fn during<T>(&self, max_failures: u64, work: impl Future<Output = T>) -> T {
        let stop = CancellationToken::new();
        let consumer = Consumer::new(self.queue.clone(), &self.member.fleet, self.runner.clone(), max_failures);
        let consume = consumer.run(2, &stop);
        let work = async {
            let done = work.await;
            stop.cancel();
            done
        };
        let (consumed, done) = tokio::join!(Box::pin(consume), Box::pin(work));
        consumed.unwrap();
        done
    }

    async fn ask(&self, item: &Item) -> ItemResult {
        let result = self.queue.ask(&dispatch::work_of(item, Priority::Normal).unwrap()).await.unwrap();
        serde_json::from_slice(&result).unwrap()
    }
}

fn item(value: &serde_json::Value) -> Item {
    Item::parse(value.to_string().as_bytes(), None, "sample").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_set_fans_out_into_the_queue_and_an_item_that_was_done_is_not_done_again() {
    let (Some(nats), sample) = (NatsServer::start(), sample()) else { return };
    let worker = worker(&nats, &sample).await;
    let set = item(&json!({"type": "partition-set", "payload": {}}));
    let partition = item(&json!({"type": "partition", "payload": {"startKey": "m", "endKey": null}}));
    worker
        .during(3, async {
            let made = worker.ask(&set).await;
            assert!(made.success, "{made:?}");
            assert_eq!((&made.data["queued"], made.data.get("items")), (&json!(2), None));
            let is_empty =
                async || worker.queue.waiting().await.unwrap().iter().all(|some| some.waiting + some.in_progress == 0);
            while !is_empty().await {
                tokio::task::yield_now().await;
            }
            let status = lake_status(&worker.lake.store).await.unwrap().unwrap();
            assert_eq!((status[0].partitions_total, status[0].tables["packuments"].rows), (Some(2), 30));
            let sent = sample.request_count();
            // This one has another payload, and the lake is up to date: its range is listed, and no more.
            assert!(worker.ask(&partition).await.success);
            let listed = sample.request_count();
            assert!(listed > sent);
            assert!(worker.ask(&partition).await.success && worker.ask(&set).await.success);
            assert_eq!(sample.request_count(), listed);
        })
        .await;
    worker.runner.end().await.unwrap();
    assert_eq!(worker.queue.dead_letters(5).await.unwrap().count, 0);
    worker.member.fleet.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_for_good_becomes_a_dead_letter_and_so_does_what_kills_its_workers() {
    let (Some(nats), sample) = (NatsServer::start(), sample()) else { return };
    let worker = worker(&nats, &sample).await;
    let unknown = item(&json!({"type": "packument", "payload": {"packageName": "no-such-package"}}));
    let deadly = item(&json!({"type": "packument", "payload": {"packageName": "deadly"}}));
    // Two workers begin it, and are not heard of again.
    worker.queue.put(&dispatch::work_of(&deadly, Priority::High).unwrap()).await.unwrap();
    let stop = CancellationToken::new();
    for (lost, failures) in [("one", 0), ("two", 1)] {
        let delivery = worker.queue.next(&stop).await.unwrap().unwrap();
        let note = json!({"failures": failures, "worker": lost, "error": null});
        worker.queue.keep_note(&deadly.digest(), &note).await.unwrap();
        drop(delivery);
    }
    let strange = crate::queue::Work { digest: "x".to_owned(), body: "{".into(), priority: Priority::Normal };
    worker.queue.put(&strange).await.unwrap();
    worker
        .during(2, async {
            let result = worker.ask(&unknown).await;
            assert_eq!(result.error.unwrap().status_code, 404);
            let result = worker.ask(&deadly).await;
            assert_eq!(result.error.unwrap().message, "two began it, and died or was cut off");
            while worker.queue.dead_letters(1).await.unwrap().count < 3 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    worker.runner.end().await.unwrap();
    let mut dead = worker.queue.dead_letters(5).await.unwrap().newest;
    dead.sort_by_key(|letter| letter.item.len());
    let told: Vec<(u64, bool)> = dead.iter().map(|letter| (letter.attempts, !letter.error.is_empty())).collect();
    assert_eq!(told, [(1, true), (2, true), (1, true)], "{dead:?}");
    let waiting = worker.queue.waiting().await.unwrap();
    assert!(waiting.iter().all(|some| some.waiting + some.in_progress == 0), "{waiting:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_hands_its_item_back_and_that_is_no_failure() {
    let (Some(nats), sample) = (NatsServer::start(), sample()) else { return };
    let worker = worker(&nats, &sample).await;
    let all = item(&json!({"type": "partition", "payload": {"startKey": null, "endKey": null}}));
    // No response ends while the worker has the item.
    let hold = Action::Slow { before_headers_ms: 60_000, between_chunks_ms: 0, chunk_bytes: 1 << 20 };
    sample.set_faults(FaultScript::of([Fault::any(hold)]));
    worker.queue.put(&dispatch::work_of(&all, Priority::Normal).unwrap()).await.unwrap();
    worker.during(1, until(|| sample.request_count() > 0)).await;
    let waiting = worker.queue.waiting().await.unwrap();
    assert_eq!(worker.queue.dead_letters(1).await.unwrap().count, 0, "{waiting:?}");
    sample.set_faults(FaultScript::default());
    // One failure is allowed, and none has happened.
    let result = worker.during(1, worker.ask(&all)).await;
    assert!(result.success, "{result:?}");
    worker.runner.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pace_of_a_process_holds_before_its_first_request() {
    let (Some(nats), sample) = (NatsServer::start(), sample()) else { return };
    let idle = member(&nats, &sample, |config| config.registry.max_requests_per_second = Some(70.0)).await;
    idle.registry.join();
    let other = member(&nats, &sample, |config| config.registry.max_requests_per_second = Some(900.0)).await;
    other.registry.join();
    until(|| other.registry.gates()[0].requests_per_second == Some(70.0)).await;
    assert_eq!(sample.request_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_does_no_item_for_another_lake_registry_or_kind_of_documents() {
    let (Some(nats), sample) = (NatsServer::start(), sample()) else { return };
    let (first, elsewhere) = (worker(&nats, &sample).await, worker(&nats, &sample).await);
    let one = item(&json!({"type": "partition", "payload": {"startKey": null, "endKey": "m"}}));
    let rest = item(&json!({"type": "partition", "payload": {"startKey": "m", "endKey": null}}));
    // The queue becomes that of the first lake.
    assert!(first.during(2, first.ask(&one)).await.success);
    elsewhere.queue.put(&dispatch::work_of(&rest, Priority::Normal).unwrap()).await.unwrap();
    let sent = sample.request_count();
    let same_lake = |change: &dyn Fn(&mut IngestOptions)| {
        let mut ingest = first.runner.options().clone();
        change(&mut ingest);
        ItemRunner::new(RunnerOptions { ingest, keep_results: Duration::from_secs(3600) })
    };
    let other_registry = same_lake(&|ingest| "other".clone_into(&mut ingest.origin_info.registry_url));
    let other_documents = same_lake(&|ingest| ingest.selection = crate::diff::Selection::None);
    for (runner, word) in
        [(elsewhere.runner.clone(), "another lake"), (other_registry, "registry"), (other_documents, "--packuments")]
    {
        let consumer = Consumer::new(first.queue.clone(), &first.member.fleet, runner, 2);
        let error = consumer.run(1, &CancellationToken::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.message().contains(word), "{error}");
    }
    assert_eq!(sample.request_count(), sent);
    let of_elsewhere = QueueDispatch::new(elsewhere.queue.clone(), &elsewhere.member.fleet, elsewhere.runner.options());
    let refused = crate::pipeline::Dispatch::begin(&of_elsewhere, "run").await.unwrap_err();
    assert!(refused.message().contains("another lake"), "{refused}");
    // The item is still there, for a worker of its lake.
    assert!(first.during(2, first.ask(&rest)).await.success);
    // An empty queue goes over to another lake.
    crate::pipeline::Dispatch::begin(&of_elsewhere, "run").await.unwrap();
    assert!(elsewhere.during(2, elsewhere.ask(&one)).await.success);
}
