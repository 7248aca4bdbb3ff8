//! A worker: a server to which work items are posted. Not here: which items, and what the answers mean (`pipeline`).

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use url::Url;

use super::config::RegistryConfig;
use super::connections::{Connections, NoResponse};
use super::credentials::Credentials;
use super::origin::host_of;
use crate::error::{Error, Result};

/// The longest time for a question about the worker itself.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest `Retry-After` that is believed.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest answer that is read: the result of a partition set has an item for each partition.
const MOST_ANSWER_BYTES: usize = 64 << 20;

/// A worker, and the token that it asks for.
pub struct WorkerClient {
    connections: Connections,
    url: Url,
    authorization: Option<HeaderValue>,
}

/// The response of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerAnswer {
    /// The status.
    pub status: u16,
    /// The seconds of `Retry-After`.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Bytes,
}

impl WorkerClient {
    /// Makes a client. Requests go through the proxies of `config`, and trust its certificates. Sends nothing.
    ///
    /// Fails, of kind Input, if `url` is no address of HTTP, or the token cannot be sent.
    pub(super) fn new(config: &RegistryConfig, url: &str, token: Option<String>) -> Result<WorkerClient> {
        let parsed = Url::parse(url).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        let mut url = parsed.ok_or_else(|| {
            Error::input(format!("{url:?} is no address of a worker")).hint("give one as http://HOST:PORT")
        })?;
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let header = |token: String| {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value =
                value.map_err(|_| Error::input("the workers' token has characters that no header may have"))?;
            value.set_sensitive(true);
            Ok::<HeaderValue, Error>(value)
        };
        let authorization = token.filter(|token| !token.is_empty()).map(header).transpose()?;
        Ok(WorkerClient { connections: Connections::new(config)?, url, authorization })
    }

    /// Returns its host, for messages.
    pub fn host(&self) -> String {
        host_of(&self.url)
    }

    /// Asks for a resource of the worker itself: `readyz`.
    ///
    /// Returns why there was no answer.
    pub async fn get(&self, path: &str) -> Result<WorkerAnswer, String> {
        self.send(path, None, Some(QUESTION_TIMEOUT)).await
    }

    /// Posts a body of JSON, and waits for the answer however long it takes.
    ///
    /// Returns why there was no answer.
    pub async fn post(&self, path: &str, body: String) -> Result<WorkerAnswer, String> {
        self.send(path, Some(body), None).await
    }

    async fn send(&self, path: &str, body: Option<String>, timeout: Option<Duration>) -> Result<WorkerAnswer, String> {
        let url = self.url.join(path).map_err(|_| format!("{path} is no path"))?;
        let credentials = Credentials::default();
        let connection = self.connections.to(&url, &credentials).map_err(|error| error.report())?;
        let mut request = match body {
            Some(body) => connection.client.post(url.clone()).header("content-type", "application/json").body(body),
            None => connection.client.get(url.clone()),
        };
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let failure = |error: &reqwest::Error| match self.connections.failure(error, &url, connection.proxy) {
            NoResponse::NoConnection(failure) => failure.reason,
            NoResponse::Fault(_) if error.is_timeout() => format!("{} does not respond in time", self.host()),
            NoResponse::Fault(_) if error.is_connect() => format!("{} cannot be reached", self.host()),
            NoResponse::Fault(_) => format!("{} ended the connection", self.host()),
        };
        let mut response = request.send().await.map_err(|error| failure(&error))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let mut body = BytesMut::new();
        while let Some(part) = response.chunk().await.map_err(|error| failure(&error))? {
            if body.len() + part.len() > MOST_ANSWER_BYTES {
                return Err(format!("{} answers with more than {MOST_ANSWER_BYTES} bytes", self.host()));
            }
            body.extend_from_slice(&part);
        }
        Ok(WorkerAnswer {
            status,
            retry_after: retry_after.map(|s| Duration::from_secs(s).min(LONGEST_PAUSE)),
            body: body.freeze(),
        })
    }
}
