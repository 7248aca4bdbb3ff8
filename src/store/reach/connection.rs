//! The HTTP connection of a bucket's client. `object_store` reports a refusal as text, and without headers. So this
//! layer turns a refusing response into a typed [`Refused`] before the client sees it.
//!
//! Nothing retries a refusal. Failures that pass, and statuses that the client understands (304, 404 of an object, 409,
//! 412, 416), go through unchanged. Not here: the meaning of a refusal (`refused`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::TryStreamExt;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    ReqwestConnector,
};
use object_store::{ClientOptions, HeaderMap};
use serde_json::Value;

use super::listing::{is_listing, with_valid_keys};
use super::refused::{Refused, Response};
use super::target::{Source, Target, has_control};

/// The most bytes of a refusal that are read.
const MAX_BODY_BYTES: usize = 64 << 10;
/// The longest time for the first response of a server of credentials.
const FIRST_CREDENTIALS_WITHIN: Duration = Duration::from_secs(5);
/// The failures to connect, before anything was reached, after which the address counts as wrong.
const MAX_FIRST_FAILURES: u32 = 3;

/// Connects the clients of one bucket, and of its credentials.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    target: Arc<Target>,
    contact: Arc<Contact>,
}

/// The servers that have responded so far.
#[derive(Debug, Default)]
struct Contact {
    has_bucket: AtomicBool,
    has_credentials: AtomicBool,
    failures: AtomicU32,
}

impl Contact {
    /// Returns whether the server of a request has responded.
    fn of(&self, asked: &Asked) -> &AtomicBool {
        if asked.of_credentials { &self.has_credentials } else { &self.has_bucket }
    }
}

impl Connector {
    pub(super) fn new(target: Target) -> Connector {
        Connector { target: Arc::new(target), contact: Arc::default() }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Connection { inner, target: Arc::clone(&self.target), contact: Arc::clone(&self.contact) }))
    }
}

#[derive(Debug)]
struct Connection {
    inner: HttpClient,
    target: Arc<Target>,
    contact: Arc<Contact>,
}

/// The parts of a request that its response is judged by.
struct Asked {
    host: String,
    of_credentials: bool,
    /// Whether it asks a machine's metadata server for a session. A refusal may lead to the older protocol.
    is_session: bool,
    is_listing: bool,
    is_get: bool,
}

impl Connection {
    fn asked(&self, request: &HttpRequest) -> Asked {
        let uri = request.uri();
        let is_named = |url: &String| uri.to_string().starts_with(url.as_str());
        // All requests to a bucket are signed, and those to a server of credentials are not, but for that of EKS.
        let is_signed = request.headers().contains_key("authorization");
        let of_credentials = self.target.credentials_url.as_ref().is_some_and(is_named)
            || (!is_signed && self.target.source != Source::Anonymous);
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        let is_listing = uri.query().is_some_and(|query| query.contains("list-type="));
        let is_get = request.method() == "GET";
        Asked { host, of_credentials, is_session: uri.path() == "/latest/api/token", is_listing, is_get }
    }

    /// Returns the response if the client understands it, and otherwise a refusal.
    async fn judge(&self, response: HttpResponse, asked: &Asked) -> Result<HttpResponse, HttpError> {
        let status = response.status().as_u16();
        if response.status().is_success() {
            return self.recognized(response, asked).await;
        }
        if is_passing(status) || matches!(status, 304 | 409 | 412 | 416) {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = beginning(body).await?;
        let refusing = Response {
            status,
            body: String::from_utf8_lossy(&body).into_owned(),
            region: header(&parts.headers, "x-amz-bucket-region"),
            ahead_s: header(&parts.headers, "date").and_then(|date| seconds_ahead(&date)),
        };
        let is_understood = match status {
            // No prefix has no listing.
            404 if asked.is_listing && refusing.code().is_empty() => return Err(self.foreign(status, asked)),
            404 => !asked.of_credentials && refusing.code() != "NoSuchBucket",
            // The body stopped arriving.
            400 => refusing.code() == "RequestTimeout",
            403 => asked.is_session && self.target.has_old_metadata,
            _ => false,
        };
        if is_understood {
            return Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(body)));
        }
        let refused = Refused::by(&self.target, &refusing, asked.of_credentials);
        tracing::warn!(host = asked.host, status, reason = %refused, "a bucket refused a request");
        Err(finally(refused))
    }

    /// Returns a successful response, unless it is none of a bucket or of a server of credentials. The client would take a
    /// web page for an empty listing, and cannot sign with a text that is no credential.
    async fn recognized(&self, response: HttpResponse, asked: &Asked) -> Result<HttpResponse, HttpError> {
        let status = response.status().as_u16();
        let content_type = header(response.headers(), "content-type").unwrap_or_default();
        // Some servers say so of the empty response to a put.
        if asked.is_get && content_type.to_ascii_lowercase().starts_with("text/html") {
            return Err(self.foreign(status, asked));
        }
        if !asked.of_credentials && !asked.is_listing {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = body.bytes().await?;
        let body = match asked.of_credentials {
            true => Some(body).filter(|body| is_of_credentials(body)),
            false => Some(body).filter(|body| is_listing(body)).map(with_valid_keys),
        };
        let body = body.ok_or_else(|| self.foreign(status, asked))?;
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(body)))
    }

    fn foreign(&self, status: u16, asked: &Asked) -> HttpError {
        tracing::warn!(host = asked.host, status, "a response is not one of a bucket or of its credentials");
        finally(Refused::foreign(&self.target, status, asked.of_credentials))
    }

    /// Returns the error of a failed connection. An address that was never reached is not tried for long.
    fn unreached(&self, error: HttpError, asked: &Asked) -> HttpError {
        if self.contact.of(asked).load(Ordering::Relaxed) {
            return error;
        }
        let failures = self.contact.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let is_of_machine = matches!(self.target.source, Source::Machine | Source::Container);
        let is_final = match error.kind() {
            HttpErrorKind::Timeout => true,
            _ => failures >= MAX_FIRST_FAILURES || (asked.of_credentials && is_of_machine),
        };
        if !is_final {
            return error;
        }
        finally(Refused::unreached(&self.target, &asked.host, &innermost(&error), asked.of_credentials))
    }
}

#[async_trait]
impl HttpService for Connection {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let asked = self.asked(&request);
        // A metadata server that does not respond is one that is not there.
        let is_first = asked.of_credentials && !self.contact.of(&asked).load(Ordering::Relaxed);
        let response = match is_first {
            true => tokio::time::timeout(FIRST_CREDENTIALS_WITHIN, self.inner.execute(request)).await,
            false => Ok(self.inner.execute(request).await),
        };
        let no_response = |elapsed| Err(HttpError::new(HttpErrorKind::Timeout, elapsed));
        match response.unwrap_or_else(no_response) {
            Ok(response) => {
                self.contact.of(&asked).store(true, Ordering::Relaxed);
                self.judge(response, &asked).await
            }
            Err(error) => Err(self.unreached(error, &asked)),
        }
    }
}

/// Returns an error that nothing retries: neither the client nor the layer above it sends a request again whose response
/// could not be decoded.
fn finally(refused: Refused) -> HttpError {
    HttpError::new(HttpErrorKind::Decode, refused)
}

/// Returns whether a status says that the same request may succeed later.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429) || (status >= 500 && status != 501)
}

/// Returns whether a body may be a credential, or the name of one: a line of text, the XML of STS, or JSON whose texts can
/// stand in headers.
fn is_of_credentials(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return false };
    let text = text.trim();
    match serde_json::from_str::<BTreeMap<String, Value>>(text) {
        Ok(members) => !members.values().filter_map(Value::as_str).any(has_control),
        Err(_) if text.starts_with('<') => text.contains("<AssumeRoleWithWebIdentityResponse"),
        Err(_) => !has_control(text),
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// Returns how far the clock of this machine is ahead of the date of a response.
fn seconds_ahead(date: &str) -> Option<i64> {
    let server = httpdate::parse_http_date(date).ok()?;
    let seconds = |span: std::time::Duration| i64::try_from(span.as_secs()).ok();
    match SystemTime::now().duration_since(server) {
        Ok(ahead) => seconds(ahead),
        Err(behind) => seconds(behind.duration()).map(|seconds| -seconds),
    }
}

/// Reads the beginning of a body. The rest is not read.
async fn beginning(body: HttpResponseBody) -> Result<Vec<u8>, HttpError> {
    let mut chunks = body.bytes_stream();
    let mut read = Vec::new();
    while read.len() < MAX_BODY_BYTES
        && let Some(chunk) = chunks.try_next().await?
    {
        let free = MAX_BODY_BYTES - read.len();
        read.extend_from_slice(&chunk[..chunk.len().min(free)]);
    }
    Ok(read)
}

/// Returns the text of the first cause: `Connection refused (os error 111)`.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}
