#![allow(clippy::unwrap_used)]

mod database;
mod downloads;
mod measures;
mod network;
mod tls;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::super::budget::MemoryLedger;
use super::super::config::HostLimits;
use super::super::scripted::{ScriptedServer, gzip, gzipped, header, json, response, target};
use super::*;
use crate::error::ErrorKind;
use crate::npm::{Outcome, PageQuery};

const DOCUMENT: &str = r#"{"_id":"a","_rev":"1-x","name":"a","versions":{}}"#;
const JSON_IN_GZIP: [&str; 2] = ["Content-Type: application/json; charset=utf-8", "Content-Encoding: gzip"];
const HTML: &[u8] = b"<!doctype html><title>Sorry, you have been blocked</title>";

/// Pauses of a millisecond, so that nothing here waits.
fn config() -> RegistryConfig {
    let limits = HostLimits {
        closed_floor: Duration::from_millis(1),
        closed_cap: Duration::from_millis(2),
        ..HostLimits::loopback()
    };
    RegistryConfig {
        replicate: limits.clone(),
        registry: limits,
        max_attempts: 4,
        retry_pause: Duration::from_millis(1),
        retry_pause_cap: Duration::from_millis(1),
        monthly_budget: None,
        ..RegistryConfig::default()
    }
}

fn open(server: &ScriptedServer, config: RegistryConfig, credentials: Credentials) -> Registry {
    Registry::new(Origin::parse(&server.url, None).unwrap(), config, credentials).unwrap()
}

async fn ask(registry: &Registry, name: &str) -> Result<Response, RequestFailure> {
    registry.packument(&PackumentRequest::full(name), &()).await
}

fn bytes(response: &Response) -> &[u8] {
    let Answer::Fresh(document) = &response.answer else { panic!("{response:?}") };
    &document.bytes
}

#[derive(Default)]
struct Counting {
    grown: AtomicU64,
    shrunk: AtomicU64,
}

impl BodyGate for Counting {
    async fn grow(&self, more_bytes: u64) {
        self.grown.fetch_add(more_bytes, Ordering::Relaxed);
    }

    fn shrink(&self, bytes: u64) {
        self.shrunk.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_page_is_requested_by_json_keys_and_decoded() {
    let body = r#"{"total_rows":9,"offset":1,"rows":[{"id":"@a/\"b","key":"","value":{"rev":"1-x"}}]}"#;
    let server = ScriptedServer::in_turn(vec![gzipped(body.as_bytes())]).await;
    let registry = open(&server, config(), Credentials::none());
    let query = PageQuery { start: Some("@a/\"b & c".to_owned()), end: Some("é".to_owned()), limit: 10 };
    let page = registry.page(&query).await.unwrap();
    assert_eq!((page.rows.len(), page.total_rows), (1, Some(9)));
    let request = &server.requests()[0];
    assert_eq!(
        target(request),
        "/_all_docs?limit=10&startkey=%22%40a%2F%5C%22b%20%26%20c%22&endkey=%22%C3%A9%22&inclusive_end=false"
    );
    assert_eq!(header(request, "user-agent"), Some(concat!("all-docs/", env!("CARGO_PKG_VERSION"))));
    registry.page(&PageQuery { start: None, end: None, limit: 7 }).await.unwrap();
    assert_eq!(target(&server.requests()[1]), "/_all_docs?limit=7");
}

#[tokio::test]
async fn a_packument_is_returned_byte_for_byte_in_the_requested_form() {
    let document = format!("{{\"name\":\"@s/\\u0061 b\",\"x\":\"{}\"}}\r\n", "é\u{0}".repeat(100_000));
    let sent = gzipped(document.as_bytes());
    let server = ScriptedServer::in_turn(vec![sent.clone()]).await;
    let registry = open(&server, config(), Credentials::none());
    let gate = Counting::default();
    let mut request = PackumentRequest::full("@s/a b");
    let response = registry.packument(&request, &gate).await.unwrap();
    assert_eq!(bytes(&response), document.as_bytes());
    assert_eq!((response.http_status, response.attempts), (200, 1));
    let as_it_came = gzip(document.as_bytes());
    assert_eq!(response.gzip.as_deref(), Some(as_it_came.as_slice()));
    assert_eq!(gate.grown.load(Ordering::Relaxed), (document.len() + as_it_came.len()) as u64);
    assert_eq!(gate.shrunk.load(Ordering::Relaxed), 0);
    let statistics = registry.statistics();
    assert_eq!((statistics.requests, statistics.decoded_bytes), (1, document.len() as u64));
    assert!(statistics.wire_bytes < sent.len() as u64);

    request.representation = crate::npm::Representation::Abbreviated;
    registry.packument(&request, &()).await.unwrap();
    let requests = server.requests();
    assert_eq!(target(&requests[0]), "/@s%2Fa%20b");
    assert_eq!(header(&requests[0], "accept"), Some("application/json"));
    assert_eq!(header(&requests[0], "accept-encoding"), Some("gzip"));
    assert_eq!(header(&requests[1], "accept"), Some("application/vnd.npm.install-v1+json"));
}

#[tokio::test]
async fn gzip_of_several_members_and_with_padding_is_read() {
    let (head, tail) = DOCUMENT.as_bytes().split_at(10);
    let sent = [gzip(head), gzip(tail), vec![0; 64]].concat();
    let server = ScriptedServer::in_turn(vec![response(200, &["Content-Encoding: x-gzip"], &sent)]).await;
    let response = ask(&open(&server, config(), Credentials::none()), "a").await.unwrap();
    assert_eq!((bytes(&response), response.attempts), (DOCUMENT.as_bytes(), 1));
}

#[tokio::test]
async fn a_document_of_the_lake_is_requested_by_its_tag() {
    let server = ScriptedServer::in_turn(vec![response(304, &["ETag: W/\"2\""], b"")]).await;
    let registry = open(&server, config(), Credentials::none());
    let validators = Validators { etag: Some("W/\"1\"".to_owned()), last_modified: Some("yesterday".to_owned()) };
    let request = PackumentRequest { validators: Some(validators), ..PackumentRequest::full("a") };
    let response = registry.packument(&request, &()).await.unwrap();
    assert_eq!((response.answer, response.http_status), (Answer::NotModified, 304));
    assert_eq!(response.validators.etag.as_deref(), Some("W/\"2\""));
    assert_eq!(response.validators.last_modified.as_deref(), Some("yesterday"));
    assert_eq!(header(&server.requests()[0], "if-none-match"), Some("W/\"1\""));
    assert_eq!(header(&server.requests()[0], "if-modified-since"), None);
    assert_eq!(registry.statistics().not_modified, 1);
}

#[tokio::test]
async fn gone_is_an_answer() {
    for status in [401, 403, 404, 410, 451] {
        let server = ScriptedServer::in_turn(vec![response(status, &[], b"\"Not Found\"")]).await;
        let response = ask(&open(&server, config(), Credentials::none()), "a").await.unwrap();
        let said = Some(format!("status {} (\"Not Found\")", reqwest::StatusCode::from_u16(status).unwrap()));
        assert_eq!((response.answer, response.attempts), (Answer::Gone { status, said }, 1));
    }
}

#[tokio::test]
async fn refusals_and_false_responses_are_retried_and_are_no_facts() {
    let compressed = gzip(DOCUMENT.as_bytes());
    let other = r#"{"_id":"b","name":"b"}"#;
    let length = |bytes: usize| format!("Content-Length: {bytes}");
    for (what, bad) in [
        ("429", response(429, &["Retry-After: 0"], HTML)),
        ("403 with HTML", response(403, &[], HTML)),
        ("503", response(503, &["Retry-After: Sun, 01 Nov 2020 10:00:00 GMT"], b"")),
        ("522", response(522, &[], HTML)),
        ("HTML with 200", response(200, &["Content-Type: text/html"], HTML)),
        ("nothing with 200", response(200, &[], b"")),
        ("a cut body", response(200, &[&length(DOCUMENT.len())], &DOCUMENT.as_bytes()[..20])),
        ("a cut chunk", response(200, &["Transfer-Encoding: chunked", "X-Content-Length: 0"], b"7\r\n{\"_id\":\r\n")),
        ("a cut without a length", b"HTTP/1.1 200 OK\r\n\r\n{\"_id\":\"a\",\"x\":{}".to_vec()),
        ("text as JSON", response(200, &JSON_IN_GZIP, &gzip(b"Too many requests"))),
        ("nothing as JSON", response(200, &JSON_IN_GZIP, &gzip(b""))),
        ("cut gzip of JSON", response(200, &JSON_IN_GZIP, &compressed[..compressed.len() - 9])),
        ("damaged gzip of JSON", response(200, &JSON_IN_GZIP, &[&compressed[..20], b"xxxxxxxx"].concat())),
        ("cut gzip", response(200, &["Content-Encoding: gzip"], &compressed[..compressed.len() - 9])),
        ("damaged gzip", response(200, &["Content-Encoding: gzip"], &[&compressed[..20], b"xxxxxxxx"].concat())),
        ("no gzip", response(200, &["Content-Encoding: gzip"], DOCUMENT.as_bytes())),
        ("a coding that was not asked for", response(200, &["Content-Encoding: br"], DOCUMENT.as_bytes())),
        ("another's document", json(other)),
        ("an unasked 304", response(304, &[], b"")),
        ("no HTTP", b"220 smtp.example.com\r\n".to_vec()),
        ("a closed connection", b"\r\n".to_vec()),
    ] {
        let server = ScriptedServer::in_turn(vec![bad, json(DOCUMENT)]).await;
        let registry = open(&server, config(), Credentials::none());
        let gate = Counting::default();
        let response = registry.packument(&PackumentRequest::full("a"), &gate).await.expect(what);
        assert_eq!((bytes(&response), response.attempts), (DOCUMENT.as_bytes(), 2), "{what}");
        let kept = gate.grown.load(Ordering::Relaxed) - gate.shrunk.load(Ordering::Relaxed);
        assert_eq!(kept, DOCUMENT.len() as u64, "{what}");
        assert_eq!((registry.statistics().requests, registry.statistics().retries), (2, 1), "{what}");
        let past_caches = header(&server.requests()[1], "cache-control") == Some("no-cache");
        assert!(past_caches || !matches!(what, "an unasked 304" | "another's document"), "{what}");
    }
}

/// The predecessor gave up at the first 429 and dropped what it had.
#[tokio::test]
async fn predecessor_5_a_refused_page_is_retried() {
    let page = r#"{"rows":[{"id":"a","key":"a","value":{"rev":"1-a"}}]}"#;
    let refusal = response(429, &["Retry-After: 0"], HTML);
    let strange = [json(page), response(200, &[], HTML), json("{\"ok\":true}"), response(404, &[], b"{}")];
    let answers = [vec![refusal.clone(), refusal], strange.to_vec(), vec![json(page)]].concat();
    let server = ScriptedServer::in_turn(answers).await;
    let registry = open(&server, RegistryConfig { max_attempts: 8, ..config() }, Credentials::none());
    for _ in 0..2 {
        let page = registry.page(&PageQuery { start: None, end: None, limit: 10 }).await.unwrap();
        assert_eq!(page.rows.len(), 1);
    }
    assert_eq!((registry.statistics().refusals, server.requests().len()), (2, 7));
}

/// The predecessor counted attempts twice, and went on after 401.
#[tokio::test]
async fn predecessor_6_attempts_are_counted_once_and_401_stops() {
    let server = ScriptedServer::in_turn(vec![response(500, &[], b"")]).await;
    let failure = ask(&open(&server, config(), Credentials::none()), "a").await.unwrap_err();
    assert_eq!((failure.attempts, server.requests().len()), (4, 4));
    assert_eq!((failure.http_status, failure.outcome), (Some(500), Some(Outcome::Failed)));
    assert!(failure.error.report().contains("packument of \"a\""), "{}", failure.error.report());

    let server = ScriptedServer::in_turn(vec![response(401, &[], b"{\"error\":\"unauthorized\"}")]).await;
    let registry = open(&server, config(), Credentials::none());
    let response = ask(&registry, "a").await.unwrap();
    assert_eq!((response.http_status, response.attempts), (401, 1), "whether it concerns the name is not known here");
    assert_eq!(server.requests().len(), 1);
    let error = registry.page(&PageQuery { start: None, end: None, limit: 1 }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}

/// The predecessor sent its token to any host that it was pointed at.
#[tokio::test]
async fn predecessor_10_a_token_goes_to_its_own_host_only() {
    let elsewhere = ScriptedServer::in_turn(vec![json(DOCUMENT)]).await;
    let location = format!("Location: {}/a", elsewhere.url);
    let own = ScriptedServer::in_turn(vec![response(302, &[&location], b"")]).await;
    let npmrc = format!("{}/:_authToken=sesame", own.url.trim_start_matches("http:"));
    let credentials = Credentials::from_npmrc([npmrc.as_str()], |_| None).with_npm_token("sesame").unwrap();

    let response = ask(&open(&own, config(), credentials.clone()), "a").await.unwrap();
    assert_eq!((bytes(&response), response.attempts), (DOCUMENT.as_bytes(), 1));
    assert_eq!(header(&own.requests()[0], "authorization"), Some("Bearer sesame"));
    assert_eq!(header(&elsewhere.requests()[0], "authorization"), None);

    ask(&open(&elsewhere, config(), credentials), "a").await.unwrap();
    assert_eq!(header(&elsewhere.requests()[1], "authorization"), None);
}

/// A server's words end in errors and in the lake.
#[tokio::test]
async fn a_token_that_a_server_repeats_is_not_shown() {
    for status in [400, 401, 403, 404] {
        let server = ScriptedServer::in_turn(vec![response(status, &[], br#"{"error":"unknown token sesame"}"#)]).await;
        let npmrc = format!("{}/:_authToken=sesame", server.url.trim_start_matches("http:"));
        let registry = open(&server, config(), Credentials::from_npmrc([npmrc.as_str()], |_| None));
        let result = ask(&registry, "a").await;
        assert_eq!(header(&server.requests()[0], "authorization"), Some("Bearer sesame"));
        let told = match &result {
            Ok(response) => format!("{response:?}"),
            Err(failure) => format!("{failure:?} {} {}", failure.error.report(), failure.error.message()),
        };
        assert!(told.contains("unknown token") && !told.contains("sesame"), "{told}");
    }
}

#[tokio::test]
async fn redirects_end() {
    let server = ScriptedServer::start(|nth, _| response(307, &[&format!("Location: /{nth}")], b"")).await;
    let failure = ask(&open(&server, config(), Credentials::none()), "a").await.unwrap_err();
    assert_eq!((failure.outcome, failure.attempts, server.requests().len()), (Some(Outcome::Failed), 1, 4));
}

#[tokio::test]
async fn a_complete_body_that_is_not_a_truncated_packument_is_an_answer() {
    for body in ["null", "\"Not Found\"", "[]\n", "{\"name\":\"a\"}{", "{\"name\":\"a\"} <p>"] {
        let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        for sent in [json(body), gzipped(body.as_bytes()), response_chunked(&chunked)] {
            let server = ScriptedServer::in_turn(vec![sent]).await;
            let answer = ask(&open(&server, config(), Credentials::none()), "a").await.unwrap();
            assert_eq!((bytes(&answer), answer.attempts), (body.as_bytes(), 1));
        }
    }
    for body in ["not found", "{\"name\":\"a\"", "{\"name\":\"a\",\"x\":[{}]", "[1,2", "\"Not"] {
        let server = ScriptedServer::in_turn(vec![json(body)]).await;
        let failure = ask(&open(&server, config(), Credentials::none()), "a").await.unwrap_err();
        assert_eq!((failure.outcome, failure.attempts), (Some(Outcome::Failed), 4), "{body}");
    }
}

fn response_chunked(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 Scripted\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{body}").into_bytes()
}

#[tokio::test]
async fn each_hop_of_a_redirect_is_a_request_to_its_host() {
    let storage = ScriptedServer::in_turn(vec![json(DOCUMENT)]).await;
    let location = format!("Location: {}/stored/a", storage.url);
    let server = ScriptedServer::start(move |nth, _| match nth % 2 {
        0 => response(302, &["Location: /moved/a"], b""),
        _ => response(307, &[&location], b""),
    })
    .await;
    let registry = open(&server, RegistryConfig { monthly_budget: Some(3), ..config() }, Credentials::none());
    let ledger = Arc::new(MemoryLedger::default());
    registry.count_in(ledger.clone()).await.unwrap();
    let answer = ask(&registry, "a").await.unwrap();
    assert_eq!((bytes(&answer), answer.attempts), (DOCUMENT.as_bytes(), 1));
    registry.settle_budget().await.unwrap();
    let hosts = ledger.counts.lock().unwrap().hosts.clone();
    let counted: Vec<(String, u64)> = hosts.into_iter().map(|(host, count)| (host, count.requests)).collect();
    let host = |server: &ScriptedServer| server.url.trim_start_matches("http://").to_owned();
    let mut expected = vec![(host(&server), 2), (host(&storage), 1)];
    expected.sort();
    assert_eq!(counted, expected);
    assert_eq!((server.requests().len(), storage.requests().len()), (2, 1));
    assert_eq!(registry.gates()[1].in_flight, 0);

    // One request is left for the registry, and its redirect cannot be followed there.
    let failure = ask(&registry, "a").await.unwrap_err();
    assert_eq!((failure.outcome, failure.error.kind()), (None, ErrorKind::RateLimit));
    assert!(failure.error.hint_text().is_some());
    assert_eq!((server.requests().len(), storage.requests().len()), (3, 1));
}

#[tokio::test]
async fn the_target_of_a_redirect_is_requested_no_faster_than_it_allows() {
    let storage = ScriptedServer::start(|nth, _| match nth {
        0 => response(429, &["Retry-After: 1"], b""),
        _ => json(DOCUMENT),
    })
    .await;
    let location = format!("Location: {}/a", storage.url);
    let server = ScriptedServer::start(move |_, _| response(302, &[&location], b"")).await;
    let registry = open(&server, config(), Credentials::none());
    let (one, other) = tokio::join!(ask(&registry, "a"), ask(&registry, "a"));
    assert!(one.is_ok() && other.is_ok());
    assert_eq!(registry.gates()[1].closed_for, None, "the host that sends us on has refused nothing");
    assert!(registry.statistics().refusals >= 1);
}

#[tokio::test]
async fn a_name_that_would_reach_another_url_is_never_sent() {
    let server = ScriptedServer::in_turn(vec![json(DOCUMENT)]).await;
    let registry = open(&server, config(), Credentials::none());
    for name in ["@x/..", "..", ".", ""] {
        let failure = ask(&registry, name).await.unwrap_err();
        assert_eq!((failure.outcome, failure.attempts), (Some(Outcome::Blocked), 0), "{name:?}");
    }
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn a_registry_says_what_it_is() {
    let server = ScriptedServer::in_turn(vec![json("{\"db_name\":\"registry\",\"doc_count\":3}")]).await;
    assert_eq!(open(&server, config(), Credentials::none()).info().await.unwrap().doc_count, Some(3));
    assert_eq!(target(&server.requests()[0]), "/");
}

#[tokio::test]
async fn an_absent_or_silent_server_is_reported() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let origin = Origin::parse(&format!("http://{closed}"), None).unwrap();
    let error = Registry::new(origin, config(), Credentials::none()).unwrap().info().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
    assert!(error.message().contains("cannot be reached"), "{error}");

    let silent = ScriptedServer::in_turn(vec![Vec::new()]).await;
    let config = RegistryConfig { silence_timeout: Duration::from_millis(20), max_attempts: 2, ..config() };
    let failure = ask(&open(&silent, config, Credentials::none()), "a").await.unwrap_err();
    assert_eq!((failure.outcome, failure.attempts), (Some(Outcome::Failed), 2));
    assert!(failure.error.message().contains("silent"), "{}", failure.error);
}

#[tokio::test]
async fn a_spent_budget_stops_before_the_request() {
    let server = ScriptedServer::in_turn(vec![json(DOCUMENT)]).await;
    let registry = open(&server, RegistryConfig { monthly_budget: Some(2), ..config() }, Credentials::none());
    let ledger = Arc::new(MemoryLedger::default());
    registry.count_in(ledger.clone()).await.unwrap();
    ask(&registry, "a").await.unwrap();
    ask(&registry, "a").await.unwrap();
    let failure = ask(&registry, "a").await.unwrap_err();
    assert_eq!((failure.error.kind(), failure.outcome, failure.attempts), (ErrorKind::RateLimit, None, 0));
    assert_eq!(server.requests().len(), 2);

    let later = open(&server, RegistryConfig { monthly_budget: Some(2), ..config() }, Credentials::none());
    later.count_in(ledger).await.unwrap();
    assert!(ask(&later, "a").await.is_err());
}

#[tokio::test]
async fn many_tasks_share_one_registry() {
    let server = ScriptedServer::start(|_, head| json(&format!("{{\"name\":\"{}\"}}", &target(head)[1..]))).await;
    let registry = open(&server, config(), Credentials::none());
    assert_eq!(registry.gates()[0], registry.gates()[1]);
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let registry = registry.clone();
            tokio::spawn(async move { ask(&registry, &format!("p{number}")).await.map(|response| response.attempts) })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap(), 1);
    }
    assert_eq!((registry.statistics().requests, registry.gates()[1].in_flight), (200, 0));
}
