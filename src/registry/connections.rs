//! The HTTP clients: one for each proxy and client certificate, made when it is needed.
//!
//! Also says why a connection could not be made. Not here: which proxy (`proxies`) and which certificates (`trust`).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderValue;
use url::Url;

use super::body::innermost;
use super::classify::Fault;
use super::config::RegistryConfig;
use super::credentials::Credentials;
use super::origin::host_of;
use super::proxies::{Proxies, Proxy};
use super::retry::NoConnection;
use super::tls_failure;
use super::trust::Trust;
use crate::error::{Context, Error, ErrorKind, Result};

/// All clients of an origin.
pub(super) struct Connections {
    user_agent: HeaderValue,
    connect_timeout: Duration,
    idle_per_host: usize,
    trust: Trust,
    proxies: Proxies,
    clients: Mutex<HashMap<Route, reqwest::Client>>,
}

/// The properties that all connections of a client share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Route {
    /// The URL of the proxy.
    proxy: Option<Url>,
    /// The number of the client certificate.
    certificate: Option<usize>,
    /// Whether it needs certificates to trust.
    is_secure: bool,
}

/// A client, and the proxy that it uses.
pub(super) struct Connection<'a> {
    pub(super) client: reqwest::Client,
    pub(super) proxy: Option<&'a Proxy>,
}

/// Why a request got no response.
pub(super) enum NoResponse {
    /// As a response that is none.
    Fault(Fault),
    /// By the settings of the network.
    NoConnection(NoConnection),
}

impl Connections {
    /// Fails, of kind Input, for a user agent that is not valid in a header.
    pub(super) fn new(config: &RegistryConfig) -> Result<Connections> {
        let user_agent = HeaderValue::from_str(&config.user_agent)
            .or_error(ErrorKind::Input, || format!("{:?} is no valid user agent", config.user_agent))?;
        Ok(Connections {
            user_agent,
            connect_timeout: config.connect_timeout,
            idle_per_host: config.registry.max_concurrency.max(config.replicate.max_concurrency) as usize,
            trust: config.trust.clone(),
            proxies: config.proxies.clone(),
            clients: Mutex::default(),
        })
    }

    /// Returns the client for this URL.
    ///
    /// Fails, of kind Input, if the settings of its proxy or its client certificate are unusable.
    pub(super) fn to(&self, url: &Url, credentials: &Credentials) -> Result<Connection<'_>> {
        let proxy =
            self.proxies.for_url(url).map_err(|error| error.doing(format!("connecting to {}", host_of(url))))?;
        let is_https = |url: &Url| url.scheme() == "https";
        let route = Route {
            proxy: proxy.map(|proxy| proxy.url.clone()),
            certificate: credentials.certificate_for(url).filter(|_| is_https(url)),
            is_secure: is_https(url) || proxy.is_some_and(|proxy| is_https(&proxy.url)),
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&route) {
            return Ok(Connection { client: client.clone(), proxy });
        }
        let (host, source) = (host_of(url), proxy.map(|proxy| &proxy.source));
        tracing::debug!(host, proxy = proxy.map(tracing::field::display), source, "a client is made");
        let client = self.make(&route, proxy, credentials)?;
        clients.insert(route, client.clone());
        Ok(Connection { client, proxy })
    }

    fn make(&self, route: &Route, proxy: Option<&Proxy>, credentials: &Credentials) -> Result<reqwest::Client> {
        let invalid = || "cannot make an HTTP client".to_owned();
        // One connection per request in flight. HTTP/1.1 with some 50 connections was found to be faster against npm's
        // registry than HTTP/2 on one, where a single slow body holds up the others.
        let builder = reqwest::Client::builder()
            .user_agent(self.user_agent.clone())
            .http1_only()
            .no_gzip()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(self.connect_timeout)
            .pool_max_idle_per_host(self.idle_per_host);
        let builder = match proxy {
            None => builder.no_proxy(),
            Some(Proxy { url, source }) => {
                let proxy = reqwest::Proxy::all(url.as_str()).map_err(|_| {
                    // The cause may have the password in it.
                    Error::input(format!("{source} names no proxy that can be used"))
                })?;
                builder.proxy(proxy)
            }
        };
        let builder = match route.is_secure {
            true => {
                let certificate = route.certificate.and_then(|number| credentials.certificate(number));
                builder.use_preconfigured_tls(self.trust.tls(certificate)?)
            }
            // Loading certificates takes time.
            false => builder.tls_built_in_root_certs(false),
        };
        builder.build().or_error(ErrorKind::Internal, invalid)
    }

    /// Replaces every password of a proxy in a server's words.
    pub(super) fn without_secrets(&self, words: String) -> String {
        self.proxies.without_secrets(words)
    }

    /// Says why a request to `url` failed.
    pub(super) fn failure(&self, error: &reqwest::Error, url: &Url, proxy: Option<&Proxy>) -> NoResponse {
        if let Some(failure) = tls_failure::of(error, url, proxy) {
            return NoResponse::NoConnection(failure);
        }
        let reason = match error.is_timeout() {
            true => format!("no connection within {} s", self.connect_timeout.as_secs_f64()),
            false => innermost(error),
        };
        match proxy {
            Some(proxy) if error.is_connect() => NoResponse::NoConnection(no_proxy_connection(proxy, url, &reason)),
            None if error.is_connect() => NoResponse::Fault(Fault::Unreachable(reason)),
            _ if error.is_timeout() => NoResponse::Fault(Fault::TimedOut),
            // The words of the HTTP library for bytes that are no response.
            _ if reason.ends_with("parsed") => NoResponse::Fault(Fault::Cut(reason)),
            _ => NoResponse::Fault(Fault::Closed(reason)),
        }
    }
}

/// Returns the failure of a request that a proxy did not pass on.
pub(super) fn no_proxy_connection(proxy: &Proxy, url: &Url, reason: &str) -> NoConnection {
    let (source, host) = (&proxy.source, host_of(url));
    // The words of the library for status 407 to CONNECT; the status itself has none.
    let wants_credentials = reason.contains("proxy authorization required") || reason.contains("status 407");
    let hint = match wants_credentials {
        true => {
            format!("put the user and password into the proxy's URL, in {source}: SCHEME://USER:PASSWORD@HOST:PORT")
        }
        false => format!("check the proxy and {source}; NO_PROXY={host} reaches this host without it"),
    };
    NoConnection {
        reason: format!("no connection to {host} through the proxy {proxy} of {source}: {reason}"),
        hint,
        is_settled: wants_credentials,
    }
}
