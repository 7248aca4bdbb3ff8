//! Sends one HTTP request and reads the headers of its response.
//!
//! Not here: what the response means (`classify`), retries (`retry`), and following redirects (`client`).

use std::time::Duration;

use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LOCATION,
};
use tokio::time::Instant;
use url::Url;

use super::body::{Body, innermost};
use super::classify::{Evidence, Fault, Pressure, Verdict, classify, looks_like_json, quoted};
use super::config::RegistryConfig;
use super::credentials::Credentials;
use super::limiter::Observation;
use super::limiter::permit::Permit;
use super::origin::is_loopback;
use super::retry::Failed;
use super::statistics::{Counters, add};
use super::words::words_of;
use crate::error::{Context, ErrorKind, Result};
use crate::npm::{Fingerprint, Validators};

/// How much of an invalid response's body is read. Reading drains a short body, so that its connection can be reused.
/// Block pages have some 5 KB.
const LOOK_BYTES: usize = 16 << 10;

/// One request.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) url: &'a Url,
    /// The single accepted media type.
    pub(super) accept: &'static str,
    pub(super) validators: Option<&'a Validators>,
    /// Whether caches on the way must ask the server itself.
    pub(super) past_caches: bool,
    /// Whether it is about the database, and not about a document: behind a redirect it may have a login page.
    pub(super) is_about_database: bool,
}

/// A valid response. Nothing has been taken from its body yet.
pub(super) enum Reply<'a> {
    Document {
        body: Box<Body<'a>>,
        validators: Validators,
    },
    NotModified {
        validators: Validators,
    },
    /// The registry has no document, or does not give it, by this status.
    Absent {
        status: u16,
        /// The status and the server's words.
        said: String,
    },
}

/// The outcome of one request.
pub(super) enum ExchangeOutcome<'a> {
    Reply(Reply<'a>),
    /// The request must be sent again to this URL.
    Redirect {
        to: Url,
        /// The status of the redirect.
        http_status: u16,
    },
}

/// The HTTP client of an origin, with the state that its requests share.
pub(super) struct Wire {
    client: reqwest::Client,
    credentials: Credentials,
    silence_timeout: Duration,
    answer_timeout: Duration,
    pub(super) counters: Counters,
}

impl Wire {
    pub(super) fn new(config: &RegistryConfig, urls: [&Url; 2], credentials: Credentials) -> Result<Self> {
        // One connection per request in flight. HTTP/1.1 with some 50 connections was found to be faster against npm's
        // registry than HTTP/2 on one, where a single slow body holds up the others.
        let mut builder = reqwest::Client::builder()
            .user_agent(&config.user_agent)
            .http1_only()
            .no_gzip()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(config.connect_timeout)
            .pool_max_idle_per_host(config.registry.max_concurrency.max(config.replicate.max_concurrency) as usize);
        if urls.into_iter().all(is_loopback) {
            // A proxy elsewhere would look for the server on its own machine.
            builder = builder.no_proxy();
        }
        let client = builder
            .build()
            .or_error(ErrorKind::Input, || format!("no HTTP client with the user agent {:?}", config.user_agent))?;
        Ok(Wire {
            client,
            credentials,
            silence_timeout: config.silence_timeout,
            answer_timeout: config.answer_timeout,
            counters: Counters::default(),
        })
    }

    /// Sends one request, and reports its outcome to the permit.
    pub(super) async fn ask(&self, question: &Question<'_>, permit: &Permit) -> Result<ExchangeOutcome<'_>, Failed> {
        let began = Instant::now();
        let response = match self.send(question).await {
            Ok(answer) => answer,
            Err(fault) => {
                let verdict = classify(&Evidence::Failed(&fault));
                return Err(self.failed(verdict, None, permit, began.elapsed()));
            }
        };
        // Up to the first byte only: bodies differ too much in size for their duration to mean anything.
        let latency = began.elapsed();
        let status = response.status();
        if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            let to = redirected(question.url, response.headers()).map_err(|fault| {
                let verdict = classify(&Evidence::Failed(&fault));
                self.failed(verdict, Some(status.as_u16()), permit, latency)
            })?;
            permit.observe(Observation::Good { latency });
            return Ok(ExchangeOutcome::Redirect { to, http_status: status.as_u16() });
        }
        let time_left = self.answer_timeout.saturating_sub(latency);
        let mut body = Body::new(response, &self.counters, self.silence_timeout, time_left);
        let is_document = status.as_u16() == 200;
        let mut words = None;
        let verdict = if is_document && body.is_gzip() && says_json(body.headers()) {
            // The reader of the body will check it: a look costs as much as inflating a small body.
            Verdict::Done
        } else {
            let beginning = match is_document {
                true => body.peek().await.map_err(|fault| {
                    let verdict = classify(&Evidence::Failed(&fault));
                    self.failed(verdict, Some(200), permit, latency)
                })?,
                false => body.beginning(LOOK_BYTES).await,
            };
            if !is_document || !looks_like_json(&beginning) {
                words = self.words(&beginning);
            }
            classify(&Evidence::Answered {
                status,
                headers: body.headers(),
                body_start: &beginning,
                conditional: question.validators.is_some_and(is_conditional),
                words: words.as_deref(),
            })
        };
        let validators = validators_of(body.headers());
        let reply = match verdict {
            Verdict::Done => Reply::Document { body: Box::new(body), validators },
            Verdict::NotModified => {
                add(&self.counters.not_modified, 1);
                Reply::NotModified { validators }
            }
            Verdict::Absent => {
                let said = format!("status {status}{}", quoted(words.as_deref()));
                Reply::Absent { status: status.as_u16(), said }
            }
            verdict => return Err(self.failed(verdict, Some(status.as_u16()), permit, latency)),
        };
        permit.observe(Observation::Good { latency });
        Ok(ExchangeOutcome::Reply(reply))
    }

    /// Returns the words of a body as they may be shown.
    pub(super) fn words(&self, body: &[u8]) -> Option<String> {
        words_of(body.get(..LOOK_BYTES).unwrap_or(body), &self.credentials)
    }

    /// Returns the fingerprint of the credentials that a request to `url` carries.
    pub(super) fn fingerprint(&self, url: &Url) -> Fingerprint {
        self.credentials.fingerprint_for(url)
    }

    /// Removes the secrets that a server repeated from a failure.
    pub(super) fn cleaned(&self, mut failed: Failed) -> Failed {
        if let Failed::NoAnswer { verdict: Verdict::Retry { reason, .. } | Verdict::Fatal { reason, .. }, .. } =
            &mut failed
        {
            *reason = self.credentials.without_secrets(std::mem::take(reason));
        }
        failed
    }

    /// Reports an invalid response to the permit, and counts it.
    fn failed(&self, verdict: Verdict, http_status: Option<u16>, permit: &Permit, latency: Duration) -> Failed {
        let observation = match &verdict {
            Verdict::Retry { pressure: Pressure::Refused, retry_after, .. } => {
                add(&self.counters.refusals, 1);
                Observation::Refused { retry_after: *retry_after, about_name: permit.refusals_are_about_name }
            }
            Verdict::Retry { pressure: Pressure::Overloaded, .. } => Observation::Overloaded,
            Verdict::Retry { pressure: Pressure::None, .. } | Verdict::Fatal { .. } => Observation::Neutral,
            _ => Observation::Good { latency },
        };
        permit.observe(observation);
        Failed::NoAnswer { verdict, http_status }
    }

    async fn send(&self, question: &Question<'_>) -> Result<reqwest::Response, Fault> {
        let mut request = self
            .client
            .get(question.url.clone())
            .header(ACCEPT, question.accept)
            .header(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(validators) = question.validators {
            request = request.headers(conditions(validators));
        }
        if question.past_caches {
            request = request.header(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        // By the URL of this very request: a redirect to another host or path must not carry a secret along.
        if let Some(authorization) = self.credentials.authorization_for(question.url) {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        add(&self.counters.requests, 1);
        match tokio::time::timeout(self.silence_timeout, request.send()).await {
            Err(_) => Err(Fault::TimedOut),
            Ok(Err(error)) => Err(fault_of(&error)),
            Ok(Ok(response)) => Ok(response),
        }
    }
}

fn redirected(from: &Url, headers: &HeaderMap) -> Result<Url, Fault> {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let Some(to) = location.and_then(|location| from.join(location).ok()) else {
        return Err(Fault::Redirect("it redirects without a location that is a URL".to_owned()));
    };
    if !matches!(to.scheme(), "http" | "https") || (from.scheme() == "https" && to.scheme() != "https") {
        return Err(Fault::Redirect(format!("it redirects from {} to {}", from.scheme(), to.scheme())));
    }
    if is_loopback(&to) && !is_loopback(from) {
        return Err(Fault::Redirect("it redirects to this machine".to_owned()));
    }
    Ok(to)
}

fn fault_of(error: &reqwest::Error) -> Fault {
    if error.is_timeout() {
        Fault::TimedOut
    } else if error.is_connect() {
        Fault::Unreachable(innermost(error))
    } else {
        Fault::Cut(innermost(error))
    }
}

/// Returns whether the headers declare a body as JSON.
fn says_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()?.split(';').next());
    media_type.is_some_and(|media_type| {
        let media_type = media_type.trim().to_ascii_lowercase();
        media_type == "application/json" || media_type.ends_with("+json")
    })
}

fn is_conditional(validators: &Validators) -> bool {
    !conditions(validators).is_empty()
}

/// Returns the headers that make a request conditional. The date is used only where there is no tag: npm ignores it.
fn conditions(validators: &Validators) -> HeaderMap {
    let value = |text: &Option<String>| text.as_deref().and_then(|text| HeaderValue::from_str(text).ok());
    let mut headers = HeaderMap::new();
    if let Some(etag) = value(&validators.etag) {
        headers.insert(IF_NONE_MATCH, etag);
    } else if let Some(date) = value(&validators.last_modified) {
        headers.insert(IF_MODIFIED_SINCE, date);
    }
    headers
}

fn validators_of(headers: &HeaderMap) -> Validators {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::to_owned);
    Validators { etag: text(reqwest::header::ETAG), last_modified: text(reqwest::header::LAST_MODIFIED) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_must_not_lead_to_less_safety() {
        let to = |from: &str, location: &str| {
            let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_str(location).unwrap())]);
            redirected(&Url::parse(from).unwrap(), &headers).map(String::from)
        };
        assert_eq!(to("https://a.b/x", "/y").unwrap(), "https://a.b/y");
        assert_eq!(to("http://a.b/x", "https://c.d/y").unwrap(), "https://c.d/y");
        assert!(to("https://a.b/x", "http://a.b/y").is_err());
        assert!(to("https://a.b/x", "file:///etc/passwd").is_err());
        assert!(to("https://a.b/x", "https://localhost/y").is_err());
        assert!(to("https://a.b/x", "https://[").is_err());
        assert!(redirected(&Url::parse("https://a.b/").unwrap(), &HeaderMap::new()).is_err());
    }
}
