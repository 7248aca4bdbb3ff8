#![allow(clippy::unwrap_used)]

use reqwest::header::HeaderValue;

use super::*;

fn answered(status: u16, body: &str, conditional: bool) -> Verdict {
    let headers = HeaderMap::new();
    let status = StatusCode::from_u16(status).unwrap();
    let words = Some(body).filter(|body| !body.is_empty());
    classify(&Evidence::Answered { status, headers: &headers, body_start: body.as_bytes(), conditional, words })
}

fn pressure(verdict: &Verdict) -> Option<Pressure> {
    match verdict {
        Verdict::Retry { pressure, .. } => Some(*pressure),
        _ => None,
    }
}

const BLOCK_PAGE: &str = "<!doctype html><title>Access denied | used Cloudflare to restrict access</title>";

#[test]
fn statements_about_a_name_are_few() {
    assert_eq!(answered(200, " {\"name\":\"a\"}", false), Verdict::Done);
    assert_eq!(answered(304, "", true), Verdict::NotModified);
    assert_eq!(answered(404, "\"Not Found\"", false), Verdict::Absent);
    assert_eq!(answered(410, "", false), Verdict::Absent);
    assert_eq!(answered(451, "{}", false), Verdict::Absent);
    for body in ["{\"error\":\"no\"}", "access denied by policy", "<?xml version=\"1.0\"?><Error/>"] {
        assert_eq!(answered(403, body, false), Verdict::Absent, "{body}");
    }
    for body in ["{}", "", BLOCK_PAGE] {
        assert_eq!(answered(401, body, false), Verdict::Absent, "{body}");
    }
}

#[test]
fn a_retry_after_delays_the_next_request() {
    let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("3"))]);
    for (status, body) in
        [(500, "{}"), (502, ""), (503, ""), (520, ""), (524, ""), (408, ""), (425, ""), (200, BLOCK_PAGE)]
    {
        let status = StatusCode::from_u16(status).unwrap();
        let body_start = body.as_bytes();
        let evidence = Evidence::Answered { status, headers: &headers, body_start, conditional: false, words: None };
        let Verdict::Retry { pressure, retry_after, .. } = classify(&evidence) else { panic!("{status}") };
        assert_eq!((pressure, retry_after), (Pressure::Refused, Some(Duration::from_secs(3))), "{status}");
    }
}

#[test]
fn refusals_and_faults_are_retried() {
    for (status, body, expected) in [
        (429, BLOCK_PAGE, Pressure::Refused),
        (403, BLOCK_PAGE, Pressure::Refused),
        (403, "", Pressure::Refused),
        (503, "", Pressure::Down),
        (500, "{\"error\":\"x\"}", Pressure::None),
        (502, "", Pressure::Down),
        (504, "", Pressure::Down),
        (520, "", Pressure::Down),
        (522, BLOCK_PAGE, Pressure::Down),
        (527, "", Pressure::Down),
        (408, "", Pressure::Overloaded),
        (200, BLOCK_PAGE, Pressure::Overloaded),
        (404, BLOCK_PAGE, Pressure::None),
        (200, "", Pressure::Overloaded),
        (200, "Service busy", Pressure::Overloaded),
        (204, "", Pressure::None),
        (206, "{}", Pressure::None),
        (304, "", Pressure::None),
    ] {
        assert_eq!(pressure(&answered(status, body, false)), Some(expected), "{status} {body}");
    }
}

#[test]
fn a_503_that_names_a_time_is_a_refusal() {
    let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("3"))]);
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let evidence = Evidence::Answered { status, headers: &headers, body_start: b"", conditional: false, words: None };
    let Verdict::Retry { pressure, retry_after, .. } = classify(&evidence) else { panic!("not retried") };
    assert_eq!((pressure, retry_after), (Pressure::Refused, Some(Duration::from_secs(3))));
}

#[test]
fn a_403_about_the_pace_is_a_refusal_and_any_other_is_about_the_document() {
    let header = |name, value| HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
    let none = HeaderMap::new();
    for (headers, words, waits) in [
        (&header(RETRY_AFTER, "2"), "forbidden", Some(2)),
        (&none, "You have exceeded a secondary rate limit", Some(0)),
        (&none, "Too Many Requests", Some(0)),
        (&header(reqwest::header::HeaderName::from_static("x-ratelimit-remaining"), "0"), "no", Some(0)),
        (&header(reqwest::header::HeaderName::from_static("x-ratelimit-remaining"), "7"), "no", None),
        (&none, "forbidden by policy", None),
    ] {
        let (status, body_start) = (StatusCode::FORBIDDEN, b"{\"error\":\"x\"}".as_slice());
        let evidence = Evidence::Answered { status, headers, body_start, conditional: false, words: Some(words) };
        match (classify(&evidence), waits) {
            (Verdict::Retry { pressure: Pressure::Refused, retry_after, reason, .. }, Some(seconds)) => {
                assert_eq!(retry_after, Some(Duration::from_secs(seconds)));
                assert!(reason.contains(words), "{reason}");
            }
            (Verdict::Absent, None) => {}
            (verdict, _) => panic!("{words}: {verdict:?}"),
        }
    }
}

#[test]
fn an_unasked_304_goes_past_caches() {
    assert!(matches!(answered(304, "", false), Verdict::Retry { past_caches: true, .. }));
}

#[test]
fn a_request_that_the_server_cannot_understand_is_not_repeated() {
    for status in [400, 405, 406, 414, 300] {
        let verdict = answered(status, "\"Bad Request\"", false);
        let Verdict::Fatal { oversize: false, reason } = verdict else { panic!("{status}") };
        assert!(reason.contains("Bad Request"), "{reason}");
    }
}

#[test]
fn faults_of_the_connection_are_retried() {
    let cut = Fault::Cut("x".to_owned());
    assert_eq!(pressure(&classify(&Evidence::Failed(&cut))), Some(Pressure::None));
    let closed = Fault::Closed("x".to_owned());
    assert_eq!(pressure(&classify(&Evidence::Failed(&closed))), Some(Pressure::Down));
    assert_eq!(pressure(&classify(&Evidence::Failed(&Fault::TimedOut))), Some(Pressure::Overloaded));
    let other = Fault::OtherName("left-pad".to_owned());
    assert!(matches!(classify(&Evidence::Failed(&other)), Verdict::Retry { past_caches: true, .. }));
    let oversize = Fault::Oversize { limit_bytes: 1 };
    assert!(matches!(classify(&Evidence::Failed(&oversize)), Verdict::Fatal { oversize: true, .. }));
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now = httpdate::parse_http_date("Sun, 01 Nov 2026 10:00:00 GMT").unwrap();
    for (text, seconds) in [
        ("0", Some(0)),
        ("120", Some(120)),
        (" 7 ", Some(7)),
        ("1e300", Some(1_000_000_000)),
        ("Sun, 01 Nov 2026 10:02:00 GMT", Some(120)),
        ("Sunday, 01-Nov-26 10:02:00 GMT", Some(120)),
        ("Sun, 01 Nov 2020 10:02:00 GMT", Some(0)),
        ("-5", None),
        ("NaN", None),
        ("soon", None),
        ("", None),
    ] {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
        assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs), "{text:?}");
    }
    assert_eq!(retry_after(&HeaderMap::new(), now), None);
}
