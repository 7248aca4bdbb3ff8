//! The endpoints over HTTP: served and refused requests, with their headers.

use std::io::Read;

use super::*;

#[tokio::test]
async fn the_root_describes_the_registry_at_three_addresses() {
    let server = serve(small_world());
    let update_seq = server.world().counts().update_seq;
    let expected =
        format!(r#"{{"db_name":"registry","engine":"npm-replicate","doc_count":4,"update_seq":{update_seq}}}"#);
    for path in ["/", "/registry", "/registry/"] {
        assert_eq!(get(&server, path).await, (200, expected.clone()), "{path}");
    }
}

#[tokio::test]
async fn pages_list_names_in_byte_order_at_both_addresses() {
    let server = serve(small_world());
    for path in ["/_all_docs", "/registry/_all_docs"] {
        let (status, body) = get(&server, &format!("{path}?startkey=%22%40%22&endkey=%22a%22")).await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["total_rows"], &body["offset"]), (200, &4.into(), &1.into()));
        let ids: Vec<_> = body["rows"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["@s/p", "a"]);
        assert_eq!(body["rows"][0]["key"], "@s/p");
        assert_eq!(body["rows"][0]["value"]["rev"], server.world().revision("@s/p").unwrap());
    }
}

#[tokio::test]
async fn requests_that_npm_refuses_are_bad_requests() {
    let server = serve(small_world());
    let refused = [
        "_all_docs?limit=10001",
        "_all_docs?skip=1",
        "_all_docs?include_docs=true",
        "_all_docs?update_seq=true",
        "_all_docs?startkey=a",
        "_all_docs?limit=-1",
        "_changes?since=now",
        "_changes?since=-1",
        "_changes?limit=10001",
        "_changes?feed=continuous",
        "_changes?include_docs=true",
        "_changes?heartbeat=1000",
        "_changes?style=all_docs",
        "_changes?filter=a/b",
    ];
    for query in refused {
        assert_eq!(get(&server, &format!("/registry/{query}")).await, (400, "\"Bad Request\"".to_owned()), "{query}");
    }
    assert_eq!(get(&server, "/registry/_all_docs?limit=10000").await.0, 200);
}

#[tokio::test]
async fn a_page_has_a_thousand_rows_unless_told_otherwise() {
    let mut world = World::new();
    world.add_names((0..10_500).map(|number| format!("n{number:05}")));
    let server = serve(world);
    for (query, expected) in [("", 1000), ("?limit=10000", 10_000), ("?limit=7", 7), ("?startkey=%22n10499%22", 1)] {
        for path in ["_all_docs", "_changes"] {
            if path == "_changes" && query.contains("startkey") {
                continue;
            }
            let (_, body) = get(&server, &format!("/{path}{query}")).await;
            assert_eq!(body.matches("{\"id\":").count() + body.matches("{\"seq\":").count(), expected, "{path}{query}");
        }
    }
}

#[tokio::test]
async fn the_accept_header_chooses_the_form() {
    let mut world = World::new();
    world.publish("a", "1.0.0");
    let server = serve(world);
    let (full, short) = {
        let world = server.world();
        (world.document("a").unwrap(), world.abbreviated_document("a").unwrap())
    };
    let cases = [
        (Some("application/json"), &full, "application/json"),
        (None, &full, "application/json"),
        (Some("*/*"), &short, "application/vnd.npm.install-v1+json"),
        (Some("application/json, */*;q=0.1"), &short, "application/vnd.npm.install-v1+json"),
        (Some("application/vnd.npm.install-v1+json"), &short, "application/vnd.npm.install-v1+json"),
    ];
    for (accept, expected, content_type) in cases {
        let request = format!(
            "GET /a HTTP/1.1\r\nHost: sample\r\nConnection: close\r\n{}\r\n",
            accept.map(|accept| format!("Accept: {accept}\r\n")).unwrap_or_default()
        );
        let answer = raw(&server, request.as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body.as_bytes(), &expected[..], "{accept:?}");
        assert!(head.contains(&format!("content-type: {content_type}\r\n")), "{head}");
        assert!(head.contains(&format!("content-length: {}", expected.len())), "{head}");
    }
    assert_ne!(full, short);
}

#[tokio::test]
async fn validators_are_kept_for_each_form_and_answer_304() {
    let server = serve(small_world());
    let ask = |accept: &'static str, encoding: &'static str, validator: String| {
        let url = format!("{}/a", server.url());
        async move {
            let request = client().get(url).header("accept", accept).header("accept-encoding", encoding);
            let answer = request.header("if-none-match", validator).send().await.unwrap();
            let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
            (answer.status().as_u16(), tag, answer.bytes().await.unwrap().len())
        }
    };
    let (status, full_tag, _) = ask("application/json", "identity", "\"other\"".to_owned()).await;
    assert_eq!((status, full_tag.starts_with('"')), (200, true));
    let (_, short_tag, _) = ask("*/*", "identity", "\"other\"".to_owned()).await;
    assert_ne!(full_tag, short_tag);
    let (_, gzip_tag, _) = ask("application/json", "gzip", "\"other\"".to_owned()).await;
    assert_eq!(gzip_tag, format!("W/{full_tag}"));
    for validator in [full_tag.clone(), gzip_tag.clone(), format!("\"x\", {full_tag}"), "*".to_owned()] {
        assert_eq!(ask("application/json", "gzip", validator).await, (304, gzip_tag.clone(), 0));
    }
    assert_eq!(ask("application/json", "gzip", short_tag).await.0, 200);
    server.world().publish("a", "2.0.0");
    assert_eq!(ask("application/json", "gzip", gzip_tag).await.0, 200);
}

#[tokio::test]
async fn gzip_is_sent_to_those_who_accept_it() {
    let server = serve(small_world());
    for path in ["/a", "/_all_docs", "/_changes"] {
        let plain = get(&server, path).await.1;
        let request = client().get(format!("{}{path}", server.url())).header("accept", "application/json");
        let answer = request.header("accept-encoding", "gzip").send().await.unwrap();
        assert_eq!(answer.headers()["content-encoding"], "gzip");
        let mut text = String::new();
        flate2::read::GzDecoder::new(&answer.bytes().await.unwrap()[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, plain);
    }
}

#[tokio::test]
async fn missing_documents_get_the_response_of_npm() {
    let mut world = small_world();
    world.block("b");
    let server = serve(world);
    let cases = [
        ("/nothing", 404, r#"{"error":"Not found"}"#),
        ("/registry/a", 404, "\"Not Found\""),
        ("/-/all", 404, r#"{"code":"ResourceNotFound","message":"/-/all does not exist"}"#),
        ("/b", 451, r#"{"error":"Unavailable For Legal Reasons"}"#),
        ("/-/package/a/dist-tags", 200, r#"{"latest":"1.0.0"}"#),
        ("/-/package/nothing/dist-tags", 404, r#"{"error":"Not found"}"#),
    ];
    for (path, status, body) in cases {
        assert_eq!(get(&server, path).await, (status, body.to_owned()), "{path}");
    }
    let posted = client().post(format!("{}/_all_docs", server.url())).send().await.unwrap();
    assert_eq!(posted.status(), 405);
}

#[tokio::test]
async fn requests_are_recorded_in_the_order_of_their_arrival() {
    let server = serve(small_world());
    get(&server, "/_all_docs?limit=2").await;
    get(&server, "/@s%2Fp").await;
    let request = client().get(format!("{}/a", server.url())).header("authorization", "Bearer t");
    request.header("user-agent", "u").header("if-none-match", "\"v\"").send().await.unwrap();
    let requests = server.requests();
    assert_eq!(requests.iter().map(|request| request.order).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(
        (requests[0].kind, requests[0].path.as_str(), requests[0].query.as_str()),
        (Kind::Page, "/_all_docs", "limit=2")
    );
    assert_eq!((requests[1].package.as_deref(), requests[1].path.as_str()), (Some("@s/p"), "/@s%2Fp"));
    let last = &requests[2];
    assert_eq!(last.authorization.as_deref(), Some("Bearer t"));
    assert_eq!((last.user_agent.as_deref(), last.if_none_match.as_deref()), (Some("u"), Some("\"v\"")));
    assert_eq!((last.status, last.method.as_str(), last.faulty), (200, "GET", false));
    server.clear_requests();
    assert!(server.requests().is_empty());
    assert_eq!(server.request_count(), 3);
}

#[test]
fn a_server_that_is_dropped_is_gone() {
    let server = serve(small_world());
    let address = server.address();
    assert!(std::net::TcpStream::connect(address).is_ok());
    drop(server);
    let mut refused = false;
    for _ in 0..200 {
        refused = refused || std::net::TcpStream::connect(address).is_err();
        std::thread::yield_now();
    }
    assert!(refused);
}

/// Returns the response to exactly these bytes.
pub(super) fn raw(server: &SampleServer, request: &[u8]) -> String {
    use std::io::Write;
    let mut connection = std::net::TcpStream::connect(server.address()).unwrap();
    connection.write_all(request).unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
