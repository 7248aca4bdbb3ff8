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

use super::body::Body;
use super::classify::{
    Evidence, Fault, Pressure, UnknownServer, Verdict, classify, classify_counts, looks_like_json, quoted,
};
use super::config::RegistryConfig;
use super::connections::{Connections, NoResponse, no_proxy_connection};
use super::credentials::Credentials;
use super::limiter::Observation;
use super::limiter::permit::Permit;
use super::origin::{host_of, is_loopback};
use super::retry::Failed;
use super::statistics::{Counters, add};
use super::words::words_of;
use crate::error::{Error, Result, is_out_of_files, system_error};
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
    pub(super) subject: Subject,
}

/// The subject of a request, if it changes the meaning of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// A document, or the counts of the whole registry.
    Resource,
    /// The database: behind a redirect it may have a login page.
    Database,
    /// The download counts of some names: they may be refused for these names.
    CountsOfNames,
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

/// The HTTP clients of an origin, with the state that its requests share.
pub(super) struct Wire {
    connections: Connections,
    credentials: Credentials,
    /// The origin's own, each with its port.
    hosts: [String; 3],
    silence_timeout: Duration,
    answer_timeout: Duration,
    pub(super) counters: Counters,
}

impl Wire {
    pub(super) fn new(config: &RegistryConfig, urls: [&Url; 3], credentials: Credentials) -> Result<Self> {
        let connections = Connections::new(config)?;
        // Unusable settings end a run before its first request.
        urls.into_iter().try_for_each(|url| connections.to(url, &credentials).map(drop))?;
        Ok(Wire {
            connections,
            credentials,
            hosts: urls.map(host_of),
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
            Err(Unsent::NoResponse(NoResponse::Fault(fault))) => {
                let verdict = classify(&Evidence::Failed(&fault));
                return Err(self.failed(verdict, None, permit, began.elapsed()));
            }
            Err(Unsent::NoResponse(NoResponse::NoConnection(failure))) => {
                let unknown_server = UnknownServer::Unreachable;
                permit.observe(if failure.is_settled { Observation::Neutral } else { down(permit, unknown_server) });
                return Err(Failed::NoConnection(failure));
            }
            Err(Unsent::Unusable(error)) => return Err(Failed::NotSent(error)),
        };
        // Up to the first byte only: bodies differ too much in size for their duration to mean anything.
        let latency = began.elapsed();
        let status = response.status();
        tracing::trace!(
            host = host_of(question.url),
            path = question.url.path(),
            status = status.as_u16(),
            latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX),
            "a response begins"
        );
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
            let evidence = Evidence::Answered {
                status,
                headers: body.headers(),
                body_start: &beginning,
                conditional: question.validators.is_some_and(is_conditional),
                words: words.as_deref(),
            };
            match question.subject {
                Subject::CountsOfNames => classify_counts(&evidence),
                Subject::Resource | Subject::Database => classify(&evidence),
            }
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
        words_of(body.get(..LOOK_BYTES).unwrap_or(body), &|words| self.without_secrets(words))
    }

    fn without_secrets(&self, words: String) -> String {
        self.connections.without_secrets(self.credentials.without_secrets(words))
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
            *reason = self.without_secrets(std::mem::take(reason));
        }
        failed
    }

    /// Reports an invalid response to the permit, and counts it.
    fn failed(&self, verdict: Verdict, http_status: Option<u16>, permit: &Permit, latency: Duration) -> Failed {
        let observation = match &verdict {
            Verdict::Retry { pressure: Pressure::Refused, retry_after: Some(named), .. }
                if permit.longest_refusal.is_some_and(|longest| *named > longest) =>
            {
                add(&self.counters.refusals, 1);
                Observation::Neutral
            }
            Verdict::Retry { pressure: Pressure::Refused, retry_after, .. } => {
                add(&self.counters.refusals, 1);
                Observation::Refused { retry_after: *retry_after, about_name: permit.refusals_are_about_name }
            }
            Verdict::Retry { pressure: Pressure::Overloaded, .. } => Observation::Overloaded,
            Verdict::Retry { pressure: Pressure::Down, unknown_server, .. } => down(permit, *unknown_server),
            Verdict::Retry { pressure: Pressure::None, .. } | Verdict::Fatal { .. } => Observation::Neutral,
            _ => Observation::Good { latency },
        };
        permit.observe(observation);
        Failed::NoAnswer { verdict, http_status }
    }

    async fn send(&self, question: &Question<'_>) -> Result<reqwest::Response, Unsent> {
        let connection = self.connections.to(question.url, &self.credentials).map_err(Unsent::Unusable)?;
        let mut request = connection
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
        let is_of_origin = self.hosts.contains(&host_of(question.url));
        if let Some(authorization) = self.credentials.authorization_for(question.url, is_of_origin) {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        for (name, value) in self.credentials.headers().iter().filter(|(name, _)| is_of_origin && name != AUTHORIZATION)
        {
            request = request.header(name, value.clone());
        }
        add(&self.counters.requests, 1);
        match tokio::time::timeout(self.silence_timeout, request.send()).await {
            Err(_) => Err(Unsent::NoResponse(NoResponse::Fault(Fault::TimedOut))),
            Ok(Err(error)) if system_error(&error).is_some_and(is_out_of_files) => {
                Err(Unsent::Unusable(Error::lake(format!("cannot connect to {}", host_of(question.url))).source(error)))
            }
            Ok(Err(error)) => Err(Unsent::NoResponse(self.connections.failure(&error, question.url, connection.proxy))),
            Ok(Ok(response)) => match connection.proxy.filter(|_| response.status().as_u16() == 407) {
                Some(proxy) => {
                    let failure = no_proxy_connection(proxy, question.url, "it responds with status 407");
                    Err(Unsent::NoResponse(NoResponse::NoConnection(failure)))
                }
                None => Ok(response),
            },
        }
    }
}

/// Returns the observation of a server that seems to be down.
fn down(permit: &Permit, unknown_server: UnknownServer) -> Observation {
    let is_about_host = match unknown_server {
        UnknownServer::Unreachable => permit.is_of_known_host,
        _ => permit.failures_are_about_host,
    };
    if is_about_host { Observation::Down } else { Observation::Overloaded }
}

/// Why there is no response.
enum Unsent {
    NoResponse(NoResponse),
    /// The settings of the connection are unusable, or no more files can be opened.
    Unusable(Error),
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
