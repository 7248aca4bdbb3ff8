//! Scripted faults as a client sees them.

use super::http::raw;
use super::*;

fn play(server: &SampleServer, faults: impl IntoIterator<Item = Fault>) {
    server.set_faults(FaultScript::of(faults));
}

async fn statuses(server: &SampleServer, path: &str, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(get(server, path).await.0);
    }
    statuses
}

#[tokio::test]
async fn refusals_look_like_the_front_of_npm() {
    let server = serve(small_world());
    play(&server, [Fault::packument("a", Action::too_many_requests("7"))]);
    let answer = client().get(format!("{}/a", server.url())).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (429, &"7".parse().unwrap()));
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(answer.text().await.unwrap().starts_with("<!doctype html>"));
    assert_eq!(get(&server, "/b").await.0, 200);
    assert!(server.requests()[0].faulty && !server.requests()[1].faulty);
}

#[tokio::test]
async fn a_retry_after_can_be_a_date() {
    let server = serve(small_world());
    let retry_after = Some(RetryAfter::Date { date_in_seconds: 3600 });
    play(&server, [Fault::any(Action::Status { code: 503, retry_after, body: None })]);
    let answer = client().get(format!("{}/a", server.url())).send().await.unwrap();
    let text = answer.headers()["retry-after"].to_str().unwrap().to_owned();
    let date = jiff::fmt::rfc2822::parse(&text).unwrap().timestamp();
    assert!(date > jiff::Timestamp::now(), "{text}");
}

#[tokio::test]
async fn faults_hit_when_they_are_due() {
    let server = serve(small_world());
    play(&server, [Fault::on(Kind::Page, Action::status(503)).nth(2)]);
    assert_eq!(statuses(&server, "/_all_docs", 3).await, [200, 503, 200]);
    assert_eq!(statuses(&server, "/a", 2).await, [200, 200]);
    play(&server, [Fault::any(Action::status(521)).every(2).times(2)]);
    assert_eq!(statuses(&server, "/a", 6).await, [200, 521, 200, 521, 200, 200]);
    play(&server, [Fault { path_prefix: Some("/@s".to_owned()), ..Fault::any(Action::status(500)) }]);
    assert_eq!(statuses(&server, "/@s%2Fp", 1).await, [500]);
    play(&server, []);
    assert_eq!(statuses(&server, "/@s%2Fp", 1).await, [200]);
}

#[tokio::test]
async fn chance_depends_on_the_address_and_the_attempt_alone() {
    let mut world = World::new();
    world.add_names((0..100).map(|number| format!("n{number}")));
    let server = serve(world);
    let hit_names = |server: &SampleServer| {
        let mut hit: Vec<String> = server
            .requests()
            .into_iter()
            .filter(|request| request.faulty)
            .filter_map(|request| request.package)
            .collect();
        hit.sort();
        hit
    };
    let mut runs = Vec::new();
    for forwards in [true, false] {
        play(&server, [Fault::any(Action::status(503)).probability(0.3)]);
        server.clear_requests();
        for number in 0..100 {
            get(&server, &format!("/n{}", if forwards { number } else { 99 - number })).await;
        }
        runs.push(hit_names(&server));
    }
    assert_eq!(runs[0], runs[1]);
    assert!((15..45).contains(&runs[0].len()), "{} of 100", runs[0].len());
}

#[tokio::test]
async fn bodies_are_cut_within() {
    let server = serve(small_world());
    let size_bytes = server.world().document("a").unwrap().len();
    for framing in [Framing::ContentLength, Framing::Chunked] {
        for at_byte in [0, 10, size_bytes, usize::MAX] {
            play(&server, [Fault::any(Action::CutBody { at_byte, framing })]);
            let answer =
                client().get(format!("{}/a", server.url())).header("accept", "application/json").send().await.unwrap();
            assert_eq!(answer.content_length(), (framing == Framing::ContentLength).then_some(size_bytes as u64));
            assert!(answer.bytes().await.is_err(), "{framing:?} {at_byte}");
        }
    }
    play(&server, [Fault::any(Action::CutBody { at_byte: 10, framing: Framing::ContentLength })]);
    let answer = raw(&server, b"GET /a HTTP/1.1\r\nHost: s\r\nAccept: application/json\r\n\r\n");
    assert_eq!(answer.split_once("\r\n\r\n").unwrap().1, r#"{"_id":"a""#);
}

#[tokio::test]
async fn slow_bodies_are_complete() {
    let server = serve(small_world());
    let slow = Action::Slow { before_headers_ms: 1, between_chunks_ms: 0, chunk_bytes: 7 };
    let quick = get(&server, "/a").await;
    play(&server, [Fault::any(slow)]);
    assert_eq!(get(&server, "/a").await, quick);
}

#[tokio::test]
async fn wrong_answers_are_served_with_200() {
    let server = serve(small_world());
    let (old, other) = (get(&server, "/a").await.1, get(&server, "/b").await.1);
    server.world().publish("a", "2.0.0");
    play(&server, [Fault::any(Action::Stale)]);
    assert_eq!(get(&server, "/a").await, (200, old));
    play(&server, [Fault::any(Action::WrongName { package: None })]);
    assert_eq!(get(&server, "/a").await, (200, other.clone()));
    play(&server, [Fault::any(Action::WrongName { package: Some("b".to_owned()) })]);
    assert_eq!(get(&server, "/@s%2Fp").await, (200, other));
    play(&server, [Fault::any(Action::HtmlWith200)]);
    assert!(get(&server, "/a").await.1.starts_with("<!doctype html>"));
    play(&server, [Fault::any(Action::Body("[]".to_owned()))]);
    assert_eq!(get(&server, "/_all_docs").await, (200, "[]".to_owned()));
}

#[tokio::test]
async fn unrequested_statuses() {
    let server = serve(small_world());
    for (action, status) in [
        (Action::Unasked304, 304),
        (Action::Unauthorized401, 401),
        (Action::Redirect { location: "http://elsewhere.example/".to_owned() }, 302),
        (Action::status(7), 500),
    ] {
        play(&server, [Fault::any(action)]);
        assert_eq!(get(&server, "/a").await.0, status);
    }
}

#[tokio::test]
async fn capacity_ends_and_bans_refuse_everything() {
    let server = serve(small_world());
    server.set_faults(FaultScript { requests_per_second: Some(0.001), ..FaultScript::default() });
    assert_eq!(statuses(&server, "/a", 3).await, [200, 429, 429]);
    server.set_faults(FaultScript { ban_seconds: Some(3600.0), ..FaultScript::default() });
    assert_eq!(statuses(&server, "/a", 2).await, [429, 429]);
    server.set_faults(FaultScript { ban_seconds: Some(f64::NAN), ..FaultScript::default() });
    assert_eq!(statuses(&server, "/a", 1).await, [200]);
}
