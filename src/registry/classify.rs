//! Decides what a response means: the one place that turns status, headers, first bytes and connection faults into a
//! verdict.
//!
//! Not here: how long to wait (`retry`), and how the limiter reacts (`limiter`).

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};

/// The result of one attempt: the part that determines its meaning.
#[derive(Debug)]
pub(super) enum Evidence<'a> {
    /// The server responded.
    Answered {
        /// The HTTP status.
        status: StatusCode,
        /// The headers.
        headers: &'a HeaderMap,
        /// The first bytes of the decoded body; all of a short one.
        body_start: &'a [u8],
        /// Whether the request was conditional, so that 304 is a valid response.
        conditional: bool,
        /// The server's own words, as they may be shown.
        words: Option<&'a str>,
    },
    /// The exchange failed, or the response cannot belong to this request.
    Failed(&'a Fault),
}

/// A failed exchange in which the server is not known to have refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// No connection: the name was not found, the connection was refused, or TLS failed.
    Unreachable(String),
    /// No data arrived for too long, or the whole response took too long.
    TimedOut,
    /// The connection was made and ended without a response.
    Closed(String),
    /// The connection broke, or the body ended before its length or its end.
    Cut(String),
    /// The body is not encoded as its headers declare.
    Garbled(String),
    /// A packument of another name.
    OtherName(String),
    /// JSON, but no page or no database information.
    OtherKind(String),
    /// A redirect that must not be followed.
    Redirect(String),
    /// More decoded bytes than a document may have.
    Oversize {
        /// The limit that was passed.
        limit_bytes: u64,
    },
}

/// The meaning of a response for the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The body is the requested one, as far as its first bytes show.
    Done,
    /// The caller's copy is current.
    NotModified,
    /// The registry has no such document, or does not give it, as its status says.
    Absent,
    /// No valid response. Retry.
    Retry {
        /// The load on the server, for the limiter.
        pressure: Pressure,
        /// The delay that the server asked for.
        retry_after: Option<Duration>,
        /// Whether the server seems to be no registry, rather than a registry in trouble.
        unknown_server: UnknownServer,
        /// Whether caches on the way must be bypassed.
        past_caches: bool,
        /// Why, as a clause.
        reason: String,
    },
    /// A retry would not help.
    Fatal {
        /// Whether the document is too large. That is a fact about it, not a failure.
        oversize: bool,
        /// Why, as a clause.
        reason: String,
    },
}

/// Whether a server without a useful response so far may be the wrong one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnknownServer {
    /// It behaves like a registry in trouble.
    No,
    /// It responds as no registry does.
    Answers,
    /// It ends every connection without a response.
    Silent,
    /// No server could be reached.
    Unreachable,
}

/// The evidence that a failed attempt gives about the load on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pressure {
    /// Nothing.
    None,
    /// It could not keep up.
    Overloaded,
    /// It seems to be down for all: nobody listens or responds, or a proxy before it says so.
    Down,
    /// It asked for fewer requests.
    Refused,
}

/// Returns the verdict on one attempt (npm-facts A.5, A.6).
pub(super) fn classify(evidence: &Evidence<'_>) -> Verdict {
    let (status, headers, body_start, conditional, words) = match *evidence {
        Evidence::Failed(fault) => return classify_fault(fault),
        Evidence::Answered { status, headers, body_start, conditional, words } => {
            (status, headers, body_start, conditional, words)
        }
    };
    let retry_after = retry_after(headers, SystemTime::now());
    match verdict_on(status, headers, body_start, conditional, words) {
        // Some hosts refuse the pace with 403. Without a time, it is as if they had named one that says nothing.
        Verdict::Absent if status == 403 && (retry_after.is_some() || is_about_pace(headers, words)) => {
            Verdict::Retry {
                pressure: Pressure::Refused,
                retry_after: retry_after.or(Some(Duration::ZERO)),
                unknown_server: UnknownServer::No,
                past_caches: false,
                reason: format!("status {status}{}", quoted(words)),
            }
        }
        // A server that names a time refuses requests before it, whatever its status.
        Verdict::Retry { unknown_server, past_caches, reason, .. } if retry_after.is_some() => {
            Verdict::Retry { pressure: Pressure::Refused, retry_after, unknown_server, past_caches, reason }
        }
        verdict => verdict,
    }
}

/// Returns the verdict on one attempt at the download counts of some names. A firewall refuses certain names, and a web
/// server requests that are too long, whatever the pace is (npm-facts F.2): such a refusal is final for these names
/// together.
pub(super) fn classify_counts(evidence: &Evidence<'_>) -> Verdict {
    let Evidence::Answered { status, headers, body_start, words, .. } = *evidence else { return classify(evidence) };
    let names_a_time = retry_after(headers, SystemTime::now()).is_some_and(|named| !named.is_zero());
    // The title of such a page says only that access is denied.
    let page = String::from_utf8_lossy(body_start);
    let is_about_pace = is_about_pace(headers, words) || is_about_pace(headers, Some(&page));
    match refuses_names(status.as_u16()) && !names_a_time && !is_about_pace {
        true => fatal(format!("status {status}{}", quoted(words))),
        false => classify(evidence),
    }
}

/// Returns whether a final failure with this status concerns the names of a request.
pub(super) fn refuses_names(status: u16) -> bool {
    matches!(status, 400 | 403 | 413 | 414 | 431)
}

/// Returns the verdict without regard to `Retry-After`.
fn verdict_on(
    status: StatusCode,
    headers: &HeaderMap,
    body_start: &[u8],
    conditional: bool,
    words: Option<&str>,
) -> Verdict {
    let said = |what: &str| format!("status {status}{what}{}", quoted(words));
    match status.as_u16() {
        200 => not_json(headers, body_start, words).unwrap_or(Verdict::Done),
        304 if conditional => Verdict::NotModified,
        304 => Verdict::Retry {
            pressure: Pressure::None,
            retry_after: None,
            unknown_server: UnknownServer::No,
            past_caches: true,
            reason: "status 304 to a request without conditions".to_owned(),
        },
        // A proxy that has lost its registry says so in HTML; a registry says JSON, or little.
        404 | 410 if body_start.trim_ascii_start().starts_with(b"<") => {
            unknown_server(Pressure::None, said(" with a page of HTML"))
        }
        // A firewall in front of a registry refuses with HTML or without words; a registry says what it refuses.
        403 if is_html(body_start) || body_start.trim_ascii_start().is_empty() => {
            retry(Pressure::Refused, said(&format!(" with {}", content(headers, body_start))))
        }
        401 | 403 | 404 | 410 | 451 => Verdict::Absent,
        429 => retry(Pressure::Refused, said("")),
        // Without a `Retry-After` 503 is as often a passing fault behind a load balancer. The first three concern one
        // document or one fault more often than load.
        500 | 501 | 505 => retry(Pressure::None, said("")),
        500..=599 => retry(Pressure::Down, said("")),
        408 | 425 => retry(Pressure::Overloaded, said("")),
        421 => retry(Pressure::None, said("")),
        code if (100..300).contains(&code) => unknown_server(Pressure::None, format!("the unexpected {}", said(""))),
        _ => fatal(said("")),
    }
}

/// Returns the verdict on a body with status 200 that cannot be JSON: a block page or a login page instead of the
/// document.
pub(super) fn not_json(headers: &HeaderMap, body_start: &[u8], words: Option<&str>) -> Option<Verdict> {
    let what = || format!("status 200 with {} instead of JSON{}", content(headers, body_start), quoted(words));
    (!looks_like_json(body_start)).then(|| unknown_server(Pressure::Overloaded, what()))
}

fn classify_fault(fault: &Fault) -> Verdict {
    match fault {
        Fault::Unreachable(why) => down(UnknownServer::Unreachable, format!("the server cannot be reached: {why}")),
        Fault::Closed(why) => {
            down(UnknownServer::Silent, format!("the server ended the connection without a response: {why}"))
        }
        Fault::TimedOut => retry(Pressure::Overloaded, "the server stayed silent for too long".to_owned()),
        Fault::Cut(why) => retry(Pressure::None, format!("the response broke off: {why}")),
        Fault::Garbled(why) => retry(Pressure::None, format!("the response is garbled: {why}")),
        Fault::OtherName(found) => {
            let found: String = found.chars().take(200).collect();
            let reason = format!("the response is the document of {found:?}");
            Verdict::Retry {
                pressure: Pressure::None,
                retry_after: None,
                unknown_server: UnknownServer::No,
                past_caches: true,
                reason,
            }
        }
        Fault::OtherKind(why) => unknown_server(Pressure::None, why.clone()),
        Fault::Redirect(why) => fatal(why.clone()),
        Fault::Oversize { limit_bytes } => {
            Verdict::Fatal { oversize: true, reason: format!("the document is larger than {limit_bytes} bytes") }
        }
    }
}

fn retry(pressure: Pressure, reason: String) -> Verdict {
    Verdict::Retry { pressure, retry_after: None, unknown_server: UnknownServer::No, past_caches: false, reason }
}

fn down(unknown_server: UnknownServer, reason: String) -> Verdict {
    Verdict::Retry { pressure: Pressure::Down, retry_after: None, unknown_server, past_caches: false, reason }
}

fn unknown_server(pressure: Pressure, reason: String) -> Verdict {
    Verdict::Retry { pressure, retry_after: None, unknown_server: UnknownServer::Answers, past_caches: true, reason }
}

fn fatal(reason: String) -> Verdict {
    Verdict::Fatal { oversize: false, reason }
}

/// Returns whether a refusal is about the number of requests, by the server's words or by its count of those left.
fn is_about_pace(headers: &HeaderMap, words: Option<&str>) -> bool {
    let words = words.unwrap_or_default().to_lowercase();
    let is_said =
        ["rate limit", "rate-limit", "ratelimit", "too many requests"].iter().any(|said| words.contains(said));
    is_said || headers.get("x-ratelimit-remaining").is_some_and(|left| left == "0")
}

/// Parses `Retry-After`, in seconds or as an HTTP date, into a delay; zero for a date that has passed.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        // Anything but a number of seconds is ignored; an endless delay is cut to the cap later.
        return (seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(1e9)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Returns whether a body's beginning can be JSON: any value, after optional white space and a byte order mark.
pub(super) fn looks_like_json(body_start: &[u8]) -> bool {
    let text = body_start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body_start).trim_ascii_start();
    matches!(text.first(), Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n'))
}

/// Describes a body that is no JSON, for a message.
fn content(headers: &HeaderMap, body_start: &[u8]) -> String {
    let text = body_start.trim_ascii_start();
    if text.is_empty() {
        return "an empty body".to_owned();
    }
    if is_html(text) {
        return "a page of HTML".to_owned();
    }
    match headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) {
        Some(content_type) => format!("{content_type:?}"),
        None => "something".to_owned(),
    }
}

/// Returns whether a body's beginning is a page for people, and not another kind of text in tags.
fn is_html(body_start: &[u8]) -> bool {
    let text = body_start.trim_ascii_start();
    text.starts_with(b"<") && !text.starts_with(b"<?xml") && !text.starts_with(b"<Error")
}

/// Returns the server's own words to put after a status.
pub(super) fn quoted(words: Option<&str>) -> String {
    words.map_or_else(String::new, |words| format!(" ({words})"))
}

#[cfg(test)]
mod tests;
