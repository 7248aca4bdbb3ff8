//! A fleet that meets at a queue: a real NATS server, workers and an ingest as processes.

use std::process::{Child, ChildStderr, Command, Output, Stdio};

use std::io::{BufRead, BufReader};

use super::*;
use crate::support::all_docs;

#[path = "../../../src/queue/test_server.rs"]
mod nats;

use nats::NatsServer;

/// A worker of a queue, until it is dropped.
struct QueueWorker {
    child: Child,
    _lines: BufReader<ChildStderr>,
}

impl QueueWorker {
    fn start(env: &Env, nats: &NatsServer, arguments: &[&str]) -> QueueWorker {
        let mut command = of_queue(env, nats, "worker");
        command.args(["--items", "1"]).args(arguments).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("items at once") {
            assert!(lines.read_line(&mut said).unwrap() > 0, "the worker ended: {said}");
        }
        QueueWorker { child, _lines: lines }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for QueueWorker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a command with the registry and the lake of `env` and the queue. A silent worker loses its item soon.
fn of_queue(env: &Env, nats: &NatsServer, command: &str) -> Command {
    let mut all = all_docs(env.folder.path());
    all.env_remove("PORT").env("ALL_DOCS_QUEUE_SILENCE", "2s");
    all.args([command, "--queue", &nats.url(), "--origin"]).arg(format!("{ORIGIN}={}", env.server.url()));
    all
}

fn ingest(env: &Env, nats: &NatsServer, arguments: &[&str]) -> Command {
    let file = env.folder.path().join("pivots.json");
    std::fs::write(&file, serde_json::to_string(&PIVOTS).unwrap()).unwrap();
    let mut command = of_queue(env, nats, "ingest");
    command.args(["--partitions", "exact", "--pivots"]).arg(file).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn assert_ended(output: &Output) {
    assert!(matches!(output.status.code(), Some(0 | 6)), "{:?} {}", output.status, stderr(output));
}

fn slow(env: &Env, before_headers_ms: u64) {
    let slow = Action::Slow { before_headers_ms, between_chunks_ms: 0, chunk_bytes: 1 << 20 };
    env.server.set_faults(FaultScript::of([Fault::on(Kind::Packument, slow)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_makes_the_lake_of_one_process_and_the_fleet_has_no_more_in_flight_than_one_may() {
    let Some(nats) = NatsServer::start() else { return };
    let alone = of_one_process(51).await;
    let env = Env::new(World::seeded(51, PACKAGES));
    slow(&env, 2);
    let limits = [["--concurrency", "5"], ["--concurrency", "3"], ["--concurrency", "9"]];
    let _workers: Vec<QueueWorker> = limits.iter().map(|limit| QueueWorker::start(&env, &nats, limit)).collect();
    let output = ingest(&env, &nats, &["--json"]).output().unwrap();
    assert_ended(&output);
    assert_same_lake(&env.lake(), &alone.lake());
    let asked = env.packuments_asked();
    let mut once = asked.clone();
    once.dedup();
    assert_eq!(asked, once, "a document was asked for twice");
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&told["counts"]["partitions_done"], &told["counts"]["partitions_total"]), (&json!(4), &json!(4)));
    assert_eq!(env.server.most_in_work(), 3, "the lowest limit of any process is that of all together");
    // Nothing is left in the queue, and it can be looked at.
    let mut status = all_docs(env.folder.path());
    let output = status.args(["status", "--json", "--queue", &nats.url()]).output().unwrap();
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let queue = &told[0]["queue"];
    assert_eq!(queue["waiting"], json!({"high": 0, "normal": 0, "low": 0}));
    assert_eq!((&queue["in_progress"], &queue["dead_letters"]), (&json!(0), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_and_a_restart_of_the_queue_cost_few_requests_and_no_row() {
    let Some(mut nats) = NatsServer::start() else { return };
    let alone = of_one_process(52).await;
    let env = Env::new(World::seeded(52, PACKAGES));
    slow(&env, 30);
    let mut workers: Vec<QueueWorker> =
        (0..3).map(|_| QueueWorker::start(&env, &nats, &["--concurrency", "8"])).collect();
    let run = ingest(&env, &nats, &[]).spawn().unwrap();
    let asked = || env.server.requests().iter().filter(|request| request.package.is_some()).count();
    let reach = async |count: usize| {
        while asked() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    reach(60).await;
    workers[0].kill();
    reach(120).await;
    nats.kill();
    nats.begin();
    let output = run.wait_with_output().unwrap();
    assert_ended(&output);
    assert_same_lake(&env.lake(), &alone.lake());
    let asked = env.packuments_asked();
    let mut once = asked.clone();
    once.dedup();
    assert!(asked.len() - once.len() <= MOST_REPEATED, "{} of {} were repeated", asked.len() - once.len(), asked.len());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_asked_to_end_hands_its_item_to_the_next_one_at_once() {
    let Some(nats) = NatsServer::start() else { return };
    let alone = of_one_process(53).await;
    let env = Env::new(World::seeded(53, PACKAGES));
    slow(&env, 30);
    let mut first = QueueWorker::start(&env, &nats, &[]);
    let run = ingest(&env, &nats, &[]).spawn().unwrap();
    let asked = || env.server.requests().iter().filter(|request| request.package.is_some()).count();
    while asked() < 60 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(Command::new("kill").args(["-TERM", &first.child.id().to_string()]).status().unwrap().success());
    assert_eq!(first.child.wait().unwrap().code(), Some(0));
    let _second = QueueWorker::start(&env, &nats, &["--attempts", "1"]);
    let output = run.wait_with_output().unwrap();
    assert_ended(&output);
    assert_same_lake(&env.lake(), &alone.lake());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_says_that_no_worker_takes_its_items_and_goes_on_when_one_comes() {
    let Some(nats) = NatsServer::start() else { return };
    let env = Env::new(World::seeded(56, 40));
    let mut run = ingest(&env, &nats, &[]).spawn().unwrap();
    let mut lines = BufReader::new(run.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("all-docs worker --queue") {
        assert!(lines.read_line(&mut said).unwrap() > 0, "the ingest ended: {said}");
    }
    let _worker = QueueWorker::start(&env, &nats, &[]);
    run.stderr = Some(lines.into_inner());
    assert_ended(&run.wait_with_output().unwrap());
    assert_eq!(env.packuments_asked().len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_without_its_folder_costs_no_row() {
    let Some(mut nats) = NatsServer::start() else { return };
    let alone = of_one_process(57).await;
    let env = Env::new(World::seeded(57, PACKAGES));
    slow(&env, 30);
    let _worker = QueueWorker::start(&env, &nats, &["--concurrency", "8"]);
    let run = ingest(&env, &nats, &[]).spawn().unwrap();
    while env.server.requests().iter().filter(|request| request.package.is_some()).count() < 60 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    nats.lose();
    assert_ended(&run.wait_with_output().unwrap());
    assert_same_lake(&env.lake(), &alone.lake());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_not_there_or_is_no_queue_is_told() {
    let env = Env::new(World::seeded(54, 4));
    for (queue, code, word) in
        [("http://s3cret@127.0.0.1:1", 2, "nats://"), ("nats://127.0.0.1:4222/x", 2, "host and a port")]
    {
        let mut command = all_docs(env.folder.path());
        command.args(["ingest", "--queue", queue, "--origin"]).arg(format!("{ORIGIN}={}", env.server.url()));
        let output = command.output().unwrap();
        let told = stderr(&output);
        assert_eq!(
            (output.status.code(), told.contains(word), told.contains("s3cret")),
            (Some(code), true, false),
            "{told}"
        );
    }
    assert_eq!(env.server.request_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_asks_for_credentials() {
    let Some(nats) = NatsServer::start_with(&["--user", "me", "--pass", "s3cret"]) else { return };
    let env = Env::new(World::seeded(55, 4));
    env.ingest(&["m"]).await;
    for (credentials, code) in [("me:s3cret@", 0), ("me:wr0ng@", 3), ("", 3)] {
        let mut command = all_docs(env.folder.path());
        let url = nats.url().replace("//", &format!("//{credentials}"));
        let output = command.args(["status", "--queue", &url]).output().unwrap();
        let told = format!("{}{}", stdout(&output), stderr(&output));
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(!told.contains("s3cret") && !told.contains("wr0ng"), "{told}");
    }
}
