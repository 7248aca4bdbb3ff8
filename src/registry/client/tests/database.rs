//! Servers that are no registry database, and what is said of each.

use super::*;

const INFO: &str = r#"{"db_name":"registry","doc_count":3,"update_seq":1}"#;
const WORDS: &str = "the words of the server";

/// Returns responses that no database gives: name, response, words of it, kind of the error, and how many requests show
/// that it is not chance.
fn strangers() -> Vec<(&'static str, Vec<u8>, &'static str, ErrorKind, usize)> {
    let page = format!("<!doctype html><html><head><title>{WORDS}</title></head><body>log in</body></html>");
    let message = format!("{{\"error\":\"{WORDS}\"}}");
    let of = |status: u16, body: &str| response(status, &["Content-Type: text/plain"], body.as_bytes());
    vec![
        ("200 with HTML", of(200, &page), WORDS, ErrorKind::Network, 3),
        ("200 with text", of(200, "Service busy"), "Service busy", ErrorKind::Network, 3),
        ("200 with nothing", of(200, ""), "empty", ErrorKind::Network, 3),
        ("200 with a message", of(200, &message), WORDS, ErrorKind::Network, 1),
        ("200 with null", of(200, "null"), "null", ErrorKind::Network, 1),
        ("200 with a list", of(200, "[]"), "[]", ErrorKind::Network, 1),
        ("200 with a text", of(200, "\"ok\""), "\"ok\"", ErrorKind::Network, 1),
        ("401", of(401, &message), WORDS, ErrorKind::Denied, 1),
        ("401 with HTML", of(401, &page), WORDS, ErrorKind::Denied, 1),
        ("403", of(403, &message), WORDS, ErrorKind::Denied, 1),
        ("403 with HTML", of(403, &page), WORDS, ErrorKind::Denied, 3),
        ("404", of(404, &message), WORDS, ErrorKind::Network, 1),
        ("404 with HTML", of(404, &page), WORDS, ErrorKind::Network, 1),
        ("405", of(405, &message), WORDS, ErrorKind::Network, 1),
        ("410", of(410, ""), "410 Gone", ErrorKind::Network, 1),
        ("418", of(418, WORDS), WORDS, ErrorKind::Network, 1),
        ("451", of(451, &message), WORDS, ErrorKind::Network, 1),
        ("500", of(500, &message), WORDS, ErrorKind::Network, 8),
        ("501", of(501, &message), WORDS, ErrorKind::Network, 1),
        ("503", of(503, &page), WORDS, ErrorKind::Network, 8),
    ]
}

/// Returns whether a page of these is requested once more: one server of several may lag behind.
fn is_asked_twice(name: &str) -> bool {
    matches!(name.get(..3), Some("403" | "404" | "410")) && name != "403 with HTML"
}

fn patient() -> RegistryConfig {
    RegistryConfig { max_attempts: 8, ..config() }
}

#[tokio::test]
async fn a_root_that_is_no_database_is_described_after_few_requests() {
    for (name, answer, words, kind, requests) in strangers() {
        let server = ScriptedServer::in_turn(vec![answer]).await;
        let error = open(&server, patient(), Credentials::none()).info().await.unwrap_err();
        assert_eq!((error.kind(), server.requests().len()), (kind, requests), "{name}: {error}");
        assert!(error.message().contains(words) && error.hint_text().is_some(), "{name}: {}", error.report());
        let status = &name[..3];
        assert!(error.message().contains(&format!("status {status}")), "{name}: {}", error.report());
    }
}

#[tokio::test]
async fn a_root_without_pages_is_described_after_few_requests() {
    for (name, answer, words, kind, requests) in strangers() {
        let server = ScriptedServer::start(move |_, head| match target(head) {
            "/" => json(INFO),
            _ => answer.clone(),
        })
        .await;
        let registry = open(&server, patient(), Credentials::none());
        registry.info().await.unwrap();
        let query = PageQuery { start: None, end: None, limit: 10 };
        let error = registry.page(&query).await.unwrap_err();
        let expected = requests + usize::from(is_asked_twice(name)) + 1;
        assert_eq!((error.kind(), server.requests().len()), (kind, expected), "{name}: {error}");
        assert!(error.message().contains(words) && error.hint_text().is_some(), "{name}: {}", error.report());
        assert!(error.message().contains("_all_docs") || requests == 8, "{name}: {}", error.report());
        assert!(!registry.has_listed());
    }
}

#[tokio::test]
async fn a_redirect_to_a_login_page_is_described_at_once() {
    let login = ScriptedServer::in_turn(vec![response(200, &["Content-Type: text/html"], HTML)]).await;
    let location = format!("Location: {}/login?from=x", login.url);
    let server = ScriptedServer::start(move |_, _| response(301, &[&location], b"")).await;
    let error = open(&server, patient(), Credentials::none()).info().await.unwrap_err();
    assert_eq!((error.kind(), server.requests().len(), login.requests().len()), (ErrorKind::Network, 1, 1));
    let host = login.url.trim_start_matches("http://");
    assert!(error.message().contains(&format!("redirects to {host}")), "{error}");
    assert!(error.message().contains("Sorry, you have been blocked"), "{error}");
}

/// A scan requests several pages at once, and the first that fails ends it.
#[tokio::test]
async fn only_one_page_is_requested_before_the_first_has_come() {
    let server = ScriptedServer::in_turn(vec![response(405, &[], b"no")]).await;
    let registry = open(&server, patient(), Credentials::none());
    let query = PageQuery { start: None, end: None, limit: 10 };
    let pages: Vec<_> = (0..8).map(|_| Box::pin(registry.page(&query))).collect();
    let (first, _, _rest) = futures::future::select_all(pages).await;
    assert!(first.is_err());
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_firewall_that_names_a_time_is_believed() {
    let banned = response(403, &["Retry-After: 0.001"], HTML);
    let answers = [vec![banned; 5], vec![json(INFO)]].concat();
    let server = ScriptedServer::in_turn(answers).await;
    let info = open(&server, patient(), Credentials::none()).info().await.unwrap();
    assert_eq!((info.doc_count, server.requests().len()), (Some(3), 6));
}
