use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use all_docs::lake::{Layout, Partition};
use all_docs::pipeline::{Attempt, ItemRunner, Lease, RunnerOptions};
use all_docs::sample::{Action, Fault, FaultScript, Kind, World};
use all_docs::worker::{Service, ServiceOptions};
use proptest::prelude::*;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::fixture::{Worker, fleet_options, read_reply, send};
use super::of_one_process;
use crate::support::Env;

/// Returns a response that begins, and does not end while a test waits.
fn stands_still() -> Action {
    Action::Slow { before_headers_ms: 0, between_chunks_ms: 600_000, chunk_bytes: 1 }
}

/// Returns a lake, and a registry that does not answer for one name, which is new.
async fn stuck(seed: u64) -> Env {
    let env = of_one_process(seed).await;
    env.server.world().add_names(["dddd"]);
    env.server.set_faults(FaultScript::of([Fault::packument("dddd", stands_still())]));
    env.server.clear_requests();
    env
}

/// Waits until the registry was asked for the name that it does not answer for.
async fn until_asked(env: &Env) {
    while !env.server.requests().iter().any(|request| request.package.as_deref() == Some("dddd")) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

const STUCK: &str = r#"{"payload":{"startKey":"d","endKey":"p"}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_item_is_answered_with_its_reason() {
    let env = Env::new(World::seeded(51, 20));
    let worker = Worker::start(&env, &["--token", "sesame"]);
    let token = "Authorization: Bearer sesame";
    for (path, headers, body, status, why) in [
        ("/work/partition", vec![], "{}", 401, "token"),
        ("/work/partition", vec!["Authorization: Bearer other"], "{}", 401, "token"),
        ("/work/partition", vec![token], "{}", 400, "payload"),
        ("/work/partition", vec![token], "", 400, "no work item"),
        ("/work/partition", vec![token], r#"{"payload":{"startKey":null}}"#, 400, "endKey"),
        ("/work/packument", vec![token], STUCK, 400, "payload"),
        ("/work/packument", vec![token], r#"{"type":"partition","payload":{}}"#, 400, "belongs here"),
        ("/work/packument", vec![token, "Request-Timeout: soon"], r#"{"payload":{"packageName":"x"}}"#, 400, "timeout"),
        ("/work", vec![token], r#"{"payload":{"packageName":"x"}}"#, 400, "no type"),
        ("/work", vec![token], r#"{"message":{"data":"%"}}"#, 400, "base64"),
        ("/work/tarball", vec![token], "{}", 404, "kind"),
        ("/elsewhere", vec![token], "{}", 404, "nothing"),
    ] {
        let reply = worker.post_text(path, &headers, body);
        assert_eq!(reply.status, status, "{path} {body}: {}", reply.text);
        assert_eq!((&reply.body["success"], &reply.body["error"]["statusCode"]), (&json!(false), &json!(status)));
        let message = reply.body["error"]["message"].as_str().unwrap();
        assert!(message.contains(why), "{path} {body}: {message}");
    }
    let long = format!(r#"{{"payload":{{"packageName":"{}"}}}}"#, "x".repeat(2 << 20));
    assert_eq!(worker.post_text("/work/packument", &[token], &long).status, 413);
    assert_eq!(worker.get("/work/packument").status, 405);
    assert_eq!((worker.get("/healthz").status, worker.get("/healthz").text.as_str()), (200, "ok\n"));
    // Who has no token learns nothing but that it is ready.
    assert_eq!((worker.get("/readyz").status, worker.get("/readyz").text.as_str()), (200, "ready\n"));
    let metrics = worker.get("/metrics");
    assert!(metrics.text.contains("all_docs_worker_items_total{end=\"succeeded\"} 0\n"), "{}", metrics.text);
    assert!(metrics.text.contains("all_docs_gate_closed_seconds{host="), "{}", metrics.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_another_process_holds_is_not_waited_for() {
    let env = stuck(52).await;
    let worker = Worker::start(&env, &[]);
    let partition = Partition { start: Some("d".to_owned()), end: Some("p".to_owned()) };
    let (store, layout) = (env.store(), Layout::origin("sample"));
    let Attempt::Taken(lease) = Lease::of_partition(&store, &layout, &partition, "ingest").await.unwrap() else {
        panic!("the partition is held");
    };
    let item = serde_json::from_str(STUCK).unwrap();
    let reply = worker.post("partition", &item);
    assert_eq!((reply.status, reply.header("retry-after").is_some()), (409, true), "{}", reply.body);
    let who = format!("process {}", std::process::id());
    assert!(reply.body["error"]["message"].as_str().unwrap().contains(&who), "{}", reply.body);
    lease.end().await.unwrap();
    let lock = Lease::of_origin(&store, &layout, "verify").await.unwrap();
    let reply = worker.post("partition", &item);
    assert_eq!(reply.status, 409, "{}", reply.body);
    lock.end().await.unwrap();
    // The same item at the same time.
    let first = send(&worker.address, "/work/partition", &[], STUCK.as_bytes());
    until_asked(&env).await;
    assert_eq!(worker.post("partition", &item).status, 409);
    // Other partitions are free.
    let other = worker.post("partition", &json!({"payload": {"startKey": "p", "endKey": null}}));
    assert_eq!(other.status, 200, "{}", other.body);
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn above_its_places_a_worker_is_busy_and_a_sender_that_leaves_frees_one() {
    let env = stuck(53).await;
    let worker = Worker::start(&env, &["--items", "1"]);
    let first = send(&worker.address, "/work/partition", &[], STUCK.as_bytes());
    until_asked(&env).await;
    let other = json!({"payload": {"startKey": "p", "endKey": null}});
    let reply = worker.post("partition", &other);
    assert_eq!((reply.status, reply.header("retry-after").as_deref()), (429, Some("1")), "{}", reply.body);
    assert_eq!(worker.get("/readyz").body["free"], json!(0));
    drop(first);
    while worker.get("/readyz").body["free"] == json!(0) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(worker.post("partition", &other).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_is_late_is_handed_back_and_done_by_the_next_push() {
    let env = stuck(54).await;
    let worker = Worker::start(&env, &["--items", "1"]);
    let late = worker.post_text("/work/partition", &["Request-Timeout: 1"], STUCK);
    assert_eq!((late.status, late.header("retry-after").is_some()), (503, true), "{}", late.text);
    assert_eq!(late.body["workItemId"], json!("v1:partition:sample:64:70"));
    env.server.set_faults(FaultScript::default());
    let reply = worker.post_text("/work/partition", &[], STUCK);
    assert_eq!((reply.status, &reply.body["success"]), (200, &json!(true)), "{}", reply.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_down_makes_the_item_one_to_push_again() {
    let env = of_one_process(55).await;
    env.server.set_faults(FaultScript::of([Fault::on(Kind::Page, Action::Unauthorized401)]));
    let worker = Worker::start(&env, &[]);
    let reply = worker.post_text("/work/partition", &[], STUCK);
    // Credentials that are refused would be refused again.
    assert_eq!((reply.status, &reply.body["error"]["statusCode"]), (200, &json!(403)), "{}", reply.text);
    let refused = Fault::on(Kind::Page, Action::too_many_requests("3600"));
    env.server.set_faults(FaultScript::of([refused]));
    let worker = Worker::start(&env, &["--patience", "0s"]);
    let reply = worker.post_text("/work/partition", &[], r#"{"payload":{"startKey":"d","endKey":"e"}}"#);
    assert_eq!((reply.status, &reply.body["error"]["statusCode"]), (503, &json!(429)), "{}", reply.text);
    assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() >= 60, "{}", reply.head);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_hands_back_what_is_in_progress() {
    let env = stuck(56).await;
    let mut worker = Worker::start(&env, &["--items", "2"]);
    let first = send(&worker.address, "/work/partition", &[], STUCK.as_bytes());
    until_asked(&env).await;
    let (code, said) = worker.terminate();
    assert_eq!(code, Some(0), "{said}");
    let reply = read_reply(first);
    assert_eq!((reply.status, reply.header("retry-after").is_some()), (503, true), "{}", reply.text);
    assert!(said.contains("1 handed back"), "{said}");
    let sample = env.lake().join("sample");
    for folder in ["leases", "items"] {
        let left: Vec<_> = std::fs::read_dir(sample.join(folder)).into_iter().flatten().collect();
        assert!(left.is_empty(), "{folder}: {left:?}");
    }
    for entry in std::fs::read_dir(sample.join("staging")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.starts_with("run-") && !name.starts_with("scan-"), "{name}");
    }
}

#[cfg(unix)]
/// Whoever opens connections and sends half of a request keeps nobody else out.
#[tokio::test(flavor = "multi_thread")]
async fn senders_that_stand_still_take_no_place_and_few_connections() {
    let env = stuck(58).await;
    let mut worker = Worker::start(&env, &["--items", "1"]);
    // Their heads say that a body follows, and none does.
    let head = b"POST /work/partition HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";
    let bodies: Vec<TcpStream> = (0..3)
        .map(|_| {
            let mut stream = TcpStream::connect(&worker.address).unwrap();
            stream.write_all(head).unwrap();
            stream
        })
        .collect();
    let other = json!({"payload": {"startKey": "p", "endKey": null}});
    assert_eq!(worker.post("partition", &other).status, 200);
    // More connections than a worker serves at once: they are ended when no head has come for ten seconds.
    let idle: Vec<TcpStream> = (0..150).map(|_| TcpStream::connect(&worker.address).unwrap()).collect();
    assert_eq!(worker.get("/healthz").status, 200);
    drop((bodies, idle));
    assert_eq!(worker.terminate().0, Some(0));
}

/// Starts a service in this process.
async fn in_process(env: &Env) -> (String, CancellationToken) {
    let runner = ItemRunner::new(RunnerOptions { ingest: fleet_options(env), keep_results: Duration::ZERO });
    let options = ServiceOptions { items: 4, token: None, deadline: None, metrics: Box::new(|_, _| String::new()) };
    let service = Service::listen("127.0.0.1:0".parse().unwrap(), runner, options).await.unwrap();
    let (address, stop) = (service.address().to_string(), CancellationToken::new());
    tokio::spawn(service.run(stop.clone()));
    (address, stop)
}

#[test]
fn whatever_arrives_is_answered_or_dropped_and_the_service_goes_on() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let env = Env::new(World::seeded(57, 20));
    let (address, stop) = runtime.block_on(in_process(&env));
    let paths = ["/work", "/work/partition", "/work/packument", "/work/partition-set", "/work/%ff", "/readyz?run=../x"];
    proptest!(ProptestConfig::with_cases(128), |(
        path in prop::sample::select(paths.to_vec()),
        body in prop_oneof![
            any::<Vec<u8>>(),
            "\\PC*".prop_map(String::into_bytes),
            // JSON that is nearly an item.
            "[a-z@/\"{}:,\\[\\]0-9]{0,40}"
                .prop_map(|text| format!(r#"{{"type":"packument","payload":{{{text}}}}}"#).into_bytes()),
        ],
        header in "[ -~]{0,40}",
    )| {
        let header = format!("X-Deadline: {header}");
        let reply = read_reply(send(&address, path, &[&header], &body));
        prop_assert!((400..500).contains(&reply.status), "{} {}", reply.status, reply.text);
    });
    let healthy = || {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        read_reply(stream).status
    };
    // Bytes that are not HTTP either.
    for garbage in [
        &b"\x16\x03\x01\x02\x00"[..],
        b"POST",
        b"GET / HTTP/9\r\n\r\n",
        b"POST /work HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(garbage).unwrap();
        drop(stream);
    }
    assert_eq!(healthy(), 200);
    stop.cancel();
}
