//! Bodies that are no document, or larger than a document may be.

use super::*;

#[tokio::test]
async fn a_document_that_is_too_large_is_not_kept_and_not_retried() {
    let large = [b"{\"name\":\"a\",\"x\":\"".as_slice(), &[b'x'; 5_000_000], b"\"}"].concat();
    let small = DOCUMENT.as_bytes();
    for (document, max_document_bytes) in [(large.as_slice(), 1_000_000), (small, small.len() as u64 - 1)]
        .into_iter()
        .flat_map(|(document, limit)| [(response(200, &[], document), limit), (gzipped(document), limit)])
    {
        let sent_bytes = document.len() as u64;
        let server = ScriptedServer::in_turn(vec![document]).await;
        let registry = open(&server, RegistryConfig { max_document_bytes, ..config() }, Credentials::none());
        let gate = Counting::default();
        let failure = registry.packument(&PackumentRequest::full("a"), &gate).await.unwrap_err();
        assert_eq!((failure.outcome, failure.attempts), (Some(Outcome::Oversize), 1));
        // The gzip body is counted beside the inflated one.
        assert!(gate.grown.load(Ordering::Relaxed) <= max_document_bytes + sent_bytes);
        assert_eq!(gate.grown.load(Ordering::Relaxed), gate.shrunk.load(Ordering::Relaxed));
    }
}

#[tokio::test]
async fn a_page_without_measure_is_not_read_to_its_end() {
    let row = format!("{{\"id\":\"{}\",\"key\":\"\",\"value\":{{\"rev\":\"1-x\"}}}},", "x".repeat(100_000));
    let page = format!("{{\"total_rows\":5000,\"offset\":0,\"rows\":[{}", row.repeat(200));
    let server = ScriptedServer::in_turn(vec![gzipped(page.as_bytes())]).await;
    let query = PageQuery { start: None, end: None, limit: 10_000 };
    let error = open(&server, config(), Credentials::none()).page(&query).await.unwrap_err();
    assert!(error.report().contains("a page is larger than"), "{}", error.report());
}

/// Some proxies send 200 with a message where they mean 429.
#[tokio::test]
async fn a_message_in_place_of_a_held_document_is_no_document() {
    let server = ScriptedServer::in_turn(vec![json(r#"{"message":"Too many requests"}"#), json(DOCUMENT)]).await;
    let registry = open(&server, config(), Credentials::none());
    let validators = Some(Validators { etag: Some("\"1\"".to_owned()), last_modified: None });
    let request = PackumentRequest { validators, is_held: true, ..PackumentRequest::full("a") };
    let response = registry.packument(&request, &()).await.unwrap();
    assert_eq!((bytes(&response), response.attempts), (DOCUMENT.as_bytes(), 2));
}

/// Some servers repeat a request in their response.
#[tokio::test]
async fn a_name_that_repeats_a_token_is_shown_without_it() {
    let server = ScriptedServer::in_turn(vec![json(r#"{"name":"Bearer secret-of-ours"}"#)]).await;
    let line = format!("{}/:_authToken=secret-of-ours", server.url.trim_start_matches("http:"));
    let registry = open(&server, config(), Credentials::from_npmrc([line.as_str()], |_| None));
    let failure = ask(&registry, "a").await.unwrap_err();
    assert_eq!(header(&server.requests()[0], "authorization"), Some("Bearer secret-of-ours"));
    assert!(failure.error.report().contains("[secret]"), "{}", failure.error.report());
    assert!(!failure.error.report().contains("secret-of-ours"), "{}", failure.error.report());
}

/// A proxy that cuts a body and sets its length again leaves a document that stops after an inner brace.
#[tokio::test]
async fn a_body_that_stops_behind_an_inner_brace_is_retried_before_it_is_accepted() {
    let whole = r#"{"name":"a","readme":"a lone { is no brace","versions":{"1.0.0":{}}}"#;
    let cut = r#"{"name":"a","readme":"a lone } is no brace","versions":{"1.0.0":{}"#;
    let server = ScriptedServer::in_turn(vec![json(cut), gzipped(cut.as_bytes()), json(whole)]).await;
    let answer = ask(&open(&server, config(), Credentials::none()), "a").await.unwrap();
    assert_eq!((bytes(&answer), answer.attempts), (whole.as_bytes(), 3));

    let ever = r#"{"name":"a","versions":{"1.0.0":{}"#;
    let server = ScriptedServer::in_turn(vec![json(ever)]).await;
    let answer = ask(&open(&server, config(), Credentials::none()), "a").await.unwrap();
    assert_eq!((bytes(&answer), answer.attempts), (ever.as_bytes(), 4), "it is what the registry has");

    // The lake has a sound one, and braces that are even by chance are no proof then.
    let even = r#"{"name":"a","readme":"}","versions":{"1.0.0":{}"#;
    for cut in [ever, even] {
        let server = ScriptedServer::in_turn(vec![json(cut)]).await;
        let request = PackumentRequest { is_held: true, ..PackumentRequest::full("a") };
        let registry = open(&server, config(), Credentials::none());
        let failure = registry.packument(&request, &()).await.unwrap_err();
        assert_eq!((failure.outcome, failure.attempts), (Some(Outcome::Failed), 4), "{cut}");
    }
}

/// Memory for one document, which becomes free when another one has arrived.
struct FreeAfter(tokio::sync::Notify);

impl BodyGate for FreeAfter {
    async fn grow(&self, _more_bytes: u64) {
        self.0.notified().await;
    }
}

#[tokio::test]
async fn one_that_waits_for_memory_leaves_its_place_to_the_one_that_will_free_it() {
    let server =
        ScriptedServer::start(|_, head| json(&DOCUMENT.replace("\"a\"", &format!("{:?}", &target(head)[1..])))).await;
    let limits = HostLimits { max_concurrency: 1, ..HostLimits::loopback() };
    let registry =
        open(&server, RegistryConfig { registry: limits.clone(), replicate: limits, ..config() }, Credentials::none());
    let memory = FreeAfter(tokio::sync::Notify::new());
    let young = PackumentRequest::full("young");
    let both = async {
        tokio::join!(registry.packument(&young, &memory), async {
            while server.requests().is_empty() {
                tokio::task::yield_now().await;
            }
            let old = ask(&registry, "old").await;
            memory.0.notify_one();
            old
        })
    };
    let (young, old) = tokio::time::timeout(Duration::from_secs(60), both).await.unwrap();
    assert!(young.is_ok() && old.is_ok());
    assert_eq!(registry.gates()[1].in_flight, 0);
}

#[tokio::test]
async fn three_processes_on_one_ledger_send_together_what_the_budget_allows() {
    const LIMIT: u64 = 50;
    let server =
        ScriptedServer::start(|_, head| json(&DOCUMENT.replace("\"a\"", &format!("{:?}", &target(head)[1..])))).await;
    let ledger = std::sync::Arc::new(MemoryLedger::default());
    let mut registries = Vec::new();
    for _ in 0..3 {
        let config = RegistryConfig { monthly_budget: Some(LIMIT), ..config() };
        let registry = open(&server, config, Credentials::none());
        registry.count_in(ledger.clone()).await.unwrap();
        registries.push(registry);
    }
    let ask_all = registries.iter().enumerate().map(|(number, registry)| async move {
        for name in 0.. {
            if let Err(failure) = ask(registry, &format!("p{number}-{name}")).await {
                return failure.error;
            }
        }
        unreachable!("the names do not end")
    });
    for error in futures::future::join_all(ask_all).await {
        assert_eq!(error.kind(), ErrorKind::RateLimit, "{error}");
    }
    let counted = || ledger.counts.lock().unwrap().hosts.values().map(|count| count.requests).sum::<u64>();
    assert_eq!((server.requests().len() as u64, counted()), (LIMIT, LIMIT));
}
