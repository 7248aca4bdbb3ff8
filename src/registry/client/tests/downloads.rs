//! Download counts: what is retried, what is refused for its names, and what closes the gate.

use super::*;
use crate::npm::{Days, DownloadsQuery, NamedCounts};
use crate::registry::DownloadsAnswer;

const WEEK: &str = "2026-11-22:2026-11-28";

fn query(names: &[&str]) -> DownloadsQuery {
    let (first, last) = WEEK.split_once(':').unwrap();
    let days = Days::new(first.parse().unwrap(), last.parse().unwrap()).unwrap();
    DownloadsQuery { names: names.iter().map(|&name| name.into()).collect(), days }
}

fn object(package: &str, count: u64) -> String {
    let package = if package.is_empty() { String::new() } else { format!(r#""package":"{package}","#) };
    format!(
        r#"{{{package}"start":"2026-11-22","end":"2026-11-28","downloads":[{{"downloads":{count},"day":"2026-11-23"}}]}}"#
    )
}

fn counts(answer: DownloadsAnswer) -> Vec<Option<u64>> {
    let DownloadsAnswer::Counts(counts) = answer else { panic!("{answer:?}") };
    let total = |counts| match counts {
        NamedCounts::Counts(counts) => Some(counts.counts.into_iter().flatten().sum()),
        NamedCounts::Unknown => None,
        NamedCounts::LeftOut => panic!("a name was left out"),
    };
    counts.into_iter().map(total).collect()
}

#[tokio::test]
async fn counts_are_requested_by_their_days_and_decoded() {
    let bulk = format!(r#"{{"a":{},"b":null}}"#, object("a", 3));
    let total = object("", 1 << 40);
    let server = ScriptedServer::in_turn(vec![gzipped(bulk.as_bytes()), json(&object("@s/c", 4)), json(&total)]).await;
    let registry = open(&server, config(), Credentials::none());
    assert_eq!(counts(registry.downloads(&query(&["a", "b"])).await.unwrap()), [Some(3), None]);
    assert_eq!(counts(registry.downloads(&query(&["@s/c"])).await.unwrap()), [Some(4)]);
    assert_eq!(counts(registry.downloads(&query(&[])).await.unwrap()), [Some(1 << 40)]);
    let below = format!("/downloads/range/{WEEK}");
    let asked: Vec<String> = server.requests().iter().map(|head| target(head).to_owned()).collect();
    assert_eq!(asked, [format!("{below}/a,b"), format!("{below}/@s%2Fc"), below]);
    assert_eq!(header(&server.requests()[0], "accept"), Some("application/json"));
}

#[tokio::test]
async fn a_refusal_of_names_is_final_and_leaves_the_gate_open() {
    for (status, body) in [(403, HTML), (403, b"{}"), (400, b"{\"error\":\"x\"}"), (414, b""), (431, HTML)] {
        let server = ScriptedServer::in_turn(vec![response(status, &["Retry-After: 0"], body)]).await;
        let registry = open(&server, config(), Credentials::none());
        let answer = registry.downloads(&query(&["a", "b"])).await.unwrap();
        let DownloadsAnswer::Refused { said } = &answer else { panic!("{status}: {answer:?}") };
        assert!(said.starts_with(&format!("status {status}")), "{said}");
        assert_eq!((server.requests().len(), registry.statistics().refusals), (1, 0), "{status}");
        assert_eq!(registry.gates()[2].closed_for, None, "{status}");
    }
}

#[tokio::test]
async fn a_refusal_of_the_pace_is_waited_out() {
    let limited = b"<!doctype html><title>Access denied</title><p>Error 1015. You are being rate limited.";
    for refusal in [
        response(429, &["Retry-After: 0"], HTML),
        response(403, &[], limited),
        response(403, &["Retry-After: 1"], b"{}"),
    ] {
        let patient = RegistryConfig { max_attempts: 2, ..config() };
        let server = ScriptedServer::in_turn(vec![refusal.clone(), refusal, json(&object("a", 1))]).await;
        let registry = open(&server, patient, Credentials::none());
        assert_eq!(counts(registry.downloads(&query(&["a"])).await.unwrap()), [Some(1)]);
        assert_eq!((server.requests().len(), registry.statistics().refusals), (3, 2));
    }
}

#[tokio::test]
async fn names_without_counts_are_no_failure() {
    for status in [404, 410, 451] {
        let body = br#"{"error":"package a not found"}"#;
        let server = ScriptedServer::in_turn(vec![response(status, &[], body)]).await;
        let registry = open(&server, config(), Credentials::none());
        assert_eq!(counts(registry.downloads(&query(&["a"])).await.unwrap()), [None]);
        let failure = registry.downloads(&query(&[])).await.unwrap_err();
        assert_eq!(failure.http_status, Some(status), "the registry itself has counts");
    }
}

#[tokio::test]
async fn the_counts_of_others_are_asked_for_again() {
    let server = ScriptedServer::in_turn(vec![
        json(&object("a", 1)),
        json(&object("b", 9)),
        json(&object("", 9)),
        json(&object("a", 9).replace("11-28", "11-30")),
        json(&object("a", 2)),
    ])
    .await;
    let registry = open(&server, config(), Credentials::none());
    for count in [1, 2] {
        assert_eq!(counts(registry.downloads(&query(&["a"])).await.unwrap()), [Some(count)]);
    }
    let heads = server.requests();
    assert_eq!((heads.len(), header(&heads[4], "cache-control")), (5, Some("no-cache")));

    let server = ScriptedServer::in_turn(vec![json(&object("b", 9))]).await;
    let registry = open(&server, config(), Credentials::none());
    let failure = registry.downloads(&query(&["a"])).await.unwrap_err();
    assert_eq!((failure.outcome, failure.attempts), (Some(Outcome::Failed), 3));
    assert!(failure.error.message().contains("it is of \"b\""), "{failure}");
    assert!(failure.error.hint_text().is_some_and(|hint| hint.contains("--downloads")), "{failure}");
}

#[tokio::test]
async fn a_host_that_refuses_all_names_is_asked_for_what_names_none() {
    let refuses_names = |_, head: &str| match target(head).ends_with("28") {
        true => json(&object("", 1)),
        false => response(403, &[], HTML),
    };
    let server = ScriptedServer::start(refuses_names).await;
    let registry = open(&server, config(), Credentials::none());
    for _ in 0..40 {
        assert!(matches!(registry.downloads(&query(&["a"])).await.unwrap(), DownloadsAnswer::Refused { .. }));
    }
    assert_eq!(server.requests().len(), 42, "two requests without names");

    let server = ScriptedServer::start(|_, _| response(403, &[], HTML)).await;
    let mut impatient = config();
    impatient.registry.patience = Duration::from_millis(20);
    let registry = open(&server, impatient, Credentials::none());
    let mut outcome = registry.downloads(&query(&["a"])).await;
    for _ in 0..40 {
        if outcome.is_err() {
            break;
        }
        outcome = registry.downloads(&query(&["a"])).await;
    }
    let failure = outcome.unwrap_err();
    assert_eq!((failure.error.kind(), failure.outcome), (ErrorKind::RateLimit, None), "{failure}");
}

#[tokio::test]
async fn refused_credentials_stop_the_run() {
    let server = ScriptedServer::in_turn(vec![response(401, &[], b"{}")]).await;
    let failure = open(&server, config(), Credentials::none()).downloads(&query(&["a"])).await.unwrap_err();
    assert_eq!((failure.error.kind(), failure.outcome, failure.attempts), (ErrorKind::Denied, None, 1));
}

#[test]
fn the_host_of_counts_has_limits_of_its_own() {
    let npm = Origin::npm().unwrap();
    let config = RegistryConfig::for_origin(&npm);
    assert_eq!((config.downloads.max_requests_per_second, config.downloads.min_requests_per_second), (Some(1.0), 0.2));
    assert_eq!(
        (config.downloads.closed_floor, config.downloads.closed_cap),
        (Duration::from_secs(60), Duration::from_secs(900))
    );
    let here = RegistryConfig::for_origin(&npm.clone().with_downloads("http://127.0.0.1:1").unwrap());
    assert_eq!((here.downloads.max_requests_per_second, here.monthly_budget), (None, Some(4_000_000)));
    let mirror = Origin::parse("http://127.0.0.1:1", None).unwrap();
    assert_eq!(RegistryConfig::for_origin(&mirror).monthly_budget, None);
    let elsewhere = mirror.with_downloads("https://counts.example.com").unwrap();
    assert_eq!(RegistryConfig::for_origin(&elsewhere).monthly_budget, Some(4_000_000));
    let registry = Registry::new(npm, config, Credentials::none()).unwrap();
    let hosts = registry.gates().map(|gate| gate.host);
    assert!(hosts[2] != hosts[0] && hosts[2] != hosts[1]);
}
