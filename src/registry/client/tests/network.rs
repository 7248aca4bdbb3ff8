//! Patience, proxies, and headers of the user's own.

use super::super::super::npmrc::Npmrc;
use super::super::super::proxies::Proxies;
use super::super::super::scripted::CLOSED;
use super::*;

/// The first twenty requests are refused with the same named time. A run that comes back at these times ends well.
#[tokio::test(start_paused = true)]
async fn a_server_that_names_three_seconds_twenty_times_is_read_to_the_end() {
    let server = ScriptedServer::start(|nth, head| match (nth, target(head)) {
        (0..20, _) => response(429, &["Retry-After: 3"], b""),
        (_, "/") => json("{\"db_name\":\"registry\",\"doc_count\":1}"),
        (_, "/a") => json(DOCUMENT),
        _ => json(r#"{"total_rows":1,"offset":0,"rows":[{"id":"a","key":"a","value":{"rev":"1-x"}}]}"#),
    })
    .await;
    let origin = Origin::parse(&server.url, None).unwrap();
    let config = RegistryConfig::for_origin(&origin);
    let registry = Registry::new(origin, config, Credentials::none()).unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(registry.info().await.unwrap().doc_count, Some(1));
    let waited = began.elapsed();
    assert!((Duration::from_secs(60)..Duration::from_secs(180)).contains(&waited), "{waited:?}");
    registry.page(&PageQuery { start: None, end: None, limit: 10 }).await.unwrap();
    ask(&registry, "a").await.unwrap();
    assert_eq!((server.requests().len(), registry.statistics().refusals), (23, 20));
}

#[tokio::test]
async fn a_named_time_beyond_patience_ends_the_run_at_once_and_says_until_when() {
    let server = ScriptedServer::in_turn(vec![response(429, &["Retry-After: 7200"], b"")]).await;
    let origin = Origin::parse(&server.url, None).unwrap();
    let config = RegistryConfig::for_origin(&origin);
    let error = Registry::new(origin, config, Credentials::none()).unwrap().info().await.unwrap_err();
    let report = error.report();
    assert_eq!((error.kind(), server.requests().len()), (ErrorKind::RateLimit, 1));
    assert!(report.contains("UTC") && report.contains("--patience is 1 h"), "{report}");
}

/// A server that restarts responds to nothing, or a proxy before it says so. It is waited for also by the last name, when
/// no other request shows whether the host is down.
#[tokio::test(start_paused = true)]
async fn a_restart_is_waited_out_by_the_last_name_and_a_fault_of_one_document_is_not() {
    let gateway = |status| response(status, &[], b"<html>bad gateway</html>");
    for down in [CLOSED.to_vec(), gateway(502), gateway(503)] {
        let fault = down.clone();
        let server = ScriptedServer::start(move |nth, head| match (nth, target(head)) {
            (1..100, _) => down.clone(),
            (_, "/") => json("{}"),
            _ => json(r#"{"_rev":"1-x","versions":{}}"#),
        })
        .await;
        let registry = open(&server, config(), Credentials::none());
        ask(&registry, "a").await.unwrap();
        ask(&registry, "b").await.unwrap();
        let asked = server.requests();
        assert!(asked.len() > 100 && asked.iter().any(|head| target(head) == "/"), "{}", asked.len());

        let server = ScriptedServer::start(move |_, head| match target(head) {
            "/b" => fault.clone(),
            "/" => json("{}"),
            _ => json(r#"{"_rev":"1-x","versions":{}}"#),
        })
        .await;
        let registry = open(&server, config(), Credentials::none());
        ask(&registry, "a").await.unwrap();
        let failure = ask(&registry, "b").await.unwrap_err();
        assert_eq!((failure.outcome, failure.attempts), (Some(Outcome::Failed), 4));
        assert!(server.requests().len() <= 1 + 4 + 3, "{}", server.requests().len());
    }
}

#[tokio::test]
async fn a_redirect_to_a_host_that_is_down_is_given_up_soon() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let location = format!("Location: http://{closed}/x");
    let server = ScriptedServer::start(move |_, head| match target(head) {
        "/" => json("{\"db_name\":\"registry\",\"doc_count\":1}"),
        _ => response(302, &[&location], b""),
    })
    .await;
    let registry = open(&server, config(), Credentials::none());
    registry.info().await.unwrap();
    let page = registry.page(&PageQuery { start: None, end: None, limit: 10 }).await.unwrap_err();
    let document = ask(&registry, "a").await.unwrap_err();
    for error in [page, document.error] {
        assert!(
            error.report().contains(&format!("it redirects to {closed}, and the server cannot")),
            "{}",
            error.report()
        );
    }
    assert_eq!((document.outcome, server.requests().len()), (Some(Outcome::Failed), 1 + 4 + 4));
}

#[tokio::test]
async fn a_403_about_the_pace_is_waited_out() {
    let said = br#"{"message":"You have exceeded a secondary rate limit"}"#;
    let server = ScriptedServer::start(|nth, head| match (nth, target(head)) {
        (0..=6 | 8..=14, _) => response(403, if nth % 2 == 0 { &["Retry-After: 0"] } else { &[] }, said),
        (_, "/") => json("{\"db_name\":\"registry\",\"doc_count\":1}"),
        _ => json(DOCUMENT),
    })
    .await;
    let registry = open(&server, config(), Credentials::none());
    assert_eq!(registry.info().await.unwrap().doc_count, Some(1));
    assert_eq!(ask(&registry, "a").await.unwrap().http_status, 200);
    assert_eq!((server.requests().len(), registry.statistics().refusals), (16, 14));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_listed_names_before_may_be_in_trouble_at_the_start() {
    let server = ScriptedServer::start(|nth, head| match (nth, target(head)) {
        (0..=39 | 41..=79, _) => response(503, &[], b"maintenance"),
        (_, "/") => json("{\"db_name\":\"registry\",\"doc_count\":1}"),
        _ => json(r#"{"total_rows":1,"offset":0,"rows":[{"id":"a","key":"a","value":{"rev":"1-x"}}]}"#),
    })
    .await;
    let registry = open(&server, config(), Credentials::none());
    registry.has_listed_before();
    registry.info().await.unwrap();
    registry.page(&PageQuery { start: None, end: None, limit: 10 }).await.unwrap();
    assert_eq!(server.requests().len(), 81);
    let patience = Duration::from_millis(50);
    let limits = HostLimits { patience, ..config().registry };
    let server = ScriptedServer::in_turn(vec![response(503, &[], b"maintenance")]).await;
    let registry =
        open(&server, RegistryConfig { replicate: limits.clone(), registry: limits, ..config() }, Credentials::none());
    registry.has_listed_before();
    let error = registry.info().await.unwrap_err();
    let report = error.report();
    assert!(report.contains("has given no good response") && report.contains("after status 503"), "{report}");
}

#[tokio::test]
async fn one_document_that_is_refused_for_too_long_fails_and_a_host_that_refuses_all_ends_the_run() {
    let banned = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_banned = Arc::clone(&banned);
    let server = ScriptedServer::start(move |_, head| match target(head) {
        path if path == "/b" || is_banned.load(Ordering::Relaxed) => response(429, &["Retry-After: 7200"], b""),
        _ => json(r#"{"_rev":"1-x","versions":{}}"#),
    })
    .await;
    let registry = open(&server, config(), Credentials::none());
    for _ in 0..3 {
        ask(&registry, "a").await.unwrap();
        let failure = ask(&registry, "b").await.unwrap_err();
        assert_eq!((failure.outcome, failure.attempts), (Some(Outcome::Failed), 1));
    }
    ask(&registry, "a").await.unwrap();
    banned.store(true, Ordering::Relaxed);
    assert_eq!(ask(&registry, "a").await.unwrap_err().outcome, Some(Outcome::Failed));
    let failure = ask(&registry, "a").await.unwrap_err();
    assert_eq!((failure.outcome, failure.error.kind()), (None, ErrorKind::RateLimit));
    // Others may come from a cache.
    banned.store(false, Ordering::Relaxed);
    let registry = open(&server, config(), Credentials::none());
    for turn in 0..9 {
        ask(&registry, "a").await.unwrap();
        assert_eq!(ask(&registry, "b").await.unwrap_err().outcome.is_some(), turn < 8);
    }
}

fn through(proxy: &str, variables: &'static str) -> RegistryConfig {
    let proxy = proxy.to_owned();
    let proxies =
        Proxies::read(None, &Npmrc::default(), &move |name| (name == variables).then(|| proxy.clone())).unwrap();
    RegistryConfig { proxies, ..config() }
}

#[tokio::test]
async fn each_host_decides_by_itself_about_its_proxy_also_across_redirects() {
    let here = ScriptedServer::in_turn(vec![json(DOCUMENT)]).await;
    let info = json("{\"db_name\":\"registry\",\"doc_count\":3}");
    let proxy =
        ScriptedServer::in_turn(vec![info, response(302, &["Location: http://other.test/a"], b""), json(DOCUMENT)])
            .await;
    let origin = Origin::parse("http://npm.test/", Some(&here.url)).unwrap();
    let registry = Registry::new(origin, through(&proxy.url, "http_proxy"), Credentials::none()).unwrap();
    assert_eq!(registry.info().await.unwrap().doc_count, Some(3));
    ask(&registry, "a").await.unwrap();
    assert_eq!((proxy.requests().len(), here.requests().len()), (1, 1));
    let origin = Origin::parse("http://npm.test/", None).unwrap();
    let registry = Registry::new(origin, through(&proxy.url, "http_proxy"), Credentials::none()).unwrap();
    ask(&registry, "a").await.unwrap();
    let targets: Vec<String> = proxy.requests().iter().map(|head| target(head).to_owned()).collect();
    assert_eq!(targets, ["http://npm.test/", "http://npm.test/a", "http://other.test/a"]);
}

#[tokio::test]
async fn a_failure_of_the_proxy_names_it_and_its_source_and_no_password() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let server = ScriptedServer::in_turn(vec![response(407, &[], b"")]).await;
    let open = server.url.replace("http://", "http://me:sesame@");
    for (proxy, url) in [
        (format!("http://me:sesame@{closed}"), "http://npm.test/"),
        (format!("http://me:sesame@{closed}"), "https://npm.test/"),
        (format!("socks5h://me:sesame@{closed}"), "https://npm.test/"),
        (open.clone(), "http://npm.test/"),
        (open, "https://npm.test/"),
    ] {
        let registry =
            Registry::new(Origin::parse(url, None).unwrap(), through(&proxy, "ALL_PROXY"), Credentials::none());
        let error = registry.unwrap().info().await.unwrap_err();
        let report = error.report();
        assert!(error.kind() == ErrorKind::Network && !report.contains("sesame"), "{report}");
        assert!(report.contains("proxy") && report.contains("127.0.0.1") && report.contains("ALL_PROXY"), "{report}");
    }
    // Credentials that are missing are not asked for again and again.
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn headers_of_the_users_own_go_to_the_origins_hosts_only() {
    let elsewhere = ScriptedServer::in_turn(vec![json(DOCUMENT)]).await;
    let location = format!("Location: {}/a", elsewhere.url);
    let own = ScriptedServer::in_turn(vec![response(302, &[&location], b"")]).await;
    let lines = ["X-Gateway: sesame", "Authorization: Bearer own"];
    let npmrc = format!("{}/:_authToken=other", own.url.trim_start_matches("http:"));
    let credentials = Credentials::from_npmrc([npmrc.as_str()], |_| None).with_headers(lines).unwrap();
    ask(&open(&own, config(), credentials), "a").await.unwrap();
    let seen = |server: &ScriptedServer, name: &str| header(&server.requests()[0], name).map(str::to_owned);
    assert_eq!(seen(&own, "x-gateway").as_deref(), Some("sesame"));
    assert_eq!(seen(&own, "authorization").as_deref(), Some("Bearer own"));
    assert_eq!((seen(&elsewhere, "x-gateway"), seen(&elsewhere, "authorization")), (None, None));
}
