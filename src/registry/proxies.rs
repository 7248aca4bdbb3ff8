//! Chooses the proxy of each request: by the user's word, `.npmrc`, or the usual variables.
//!
//! Not here: the list of hosts without a proxy (`no_proxy`), and connections (`connections`).

use std::fmt;

use url::Url;

use super::no_proxy::NoProxy;
use super::npmrc::Npmrc;
use super::origin::is_loopback;
use crate::error::{Error, Result};

/// The schemes of proxies that the HTTP client knows. `socks5h` and `socks4a` leave the look-up of names to the proxy.
const SCHEMES: [&str; 6] = ["http", "https", "socks5", "socks5h", "socks4", "socks4a"];

/// Shorter passwords are not replaced in a server's words.
const SHORTEST_SECRET: usize = 4;

/// The proxies of a client. Servers on this machine are reached without one, unless the user chose it for all hosts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Proxies {
    /// For all hosts, those of this machine too.
    chosen: Option<Setting>,
    http: Option<Setting>,
    https: Option<Setting>,
    without: NoProxy,
}

#[derive(Debug, Clone, PartialEq)]
enum Setting {
    Direct,
    Via(Proxy),
    /// The source, and why its value names no proxy.
    Unusable(String, String),
}

/// One proxy. Its debug output shows no password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    /// With the user and password, if it needs them.
    pub(super) url: Url,
    /// The flag, variable or line of `.npmrc` that names it.
    pub(super) source: String,
}

impl Proxies {
    /// Reads the settings. `chosen` is the user's choice for all hosts, or `none`. Otherwise `https-proxy`, `http-proxy`
    /// and `proxy` of `.npmrc` apply, then the variables `HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY`. `noproxy` of
    /// `.npmrc`, else `NO_PROXY`, lists hosts without a proxy. `variable` looks up a variable by its exact name.
    ///
    /// Fails, of kind Input, for a choice that is no proxy. Another setting fails when it is needed.
    pub fn read(chosen: Option<&str>, npmrc: &Npmrc, variable: &dyn Fn(&str) -> Option<String>) -> Result<Proxies> {
        let chosen = match chosen {
            Some("none") => Some(Setting::Direct),
            Some(text) => Some(Setting::Via(Setting::of(text, "--proxy".to_owned()).usable()?.clone())),
            None => None,
        };
        let of_npmrc = |keys: &[&str]| npmrc.value(keys).map(|(text, source)| Setting::of(text, source.to_owned()));
        let of_variables = |names: &[&str]| {
            names.iter().find_map(|name| {
                // A web server passes the header `Proxy` of a request in the variable HTTP_PROXY.
                let is_header = *name == "HTTP_PROXY" && variable("REQUEST_METHOD").is_some();
                let text = variable(name).filter(|text| !text.trim().is_empty() && !is_header)?;
                Some(Setting::of(&text, (*name).to_owned()))
            })
        };
        // npm uses `https-proxy` for http URLs as well.
        let http = of_npmrc(&["http-proxy", "proxy", "https-proxy"])
            .or_else(|| of_variables(&["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]));
        let https = of_npmrc(&["https-proxy", "proxy"])
            .or_else(|| of_variables(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]));
        let listed = ["noproxy", "no-proxy"].into_iter().find_map(|key| npmrc.values(key));
        let without = match listed {
            Some((hosts, _)) => hosts.join(","),
            None => ["NO_PROXY", "no_proxy"].into_iter().find_map(variable).unwrap_or_default(),
        };
        Ok(Proxies { chosen, http, https, without: NoProxy::parse(&without) })
    }

    /// Returns the proxy for this URL, if there is one.
    ///
    /// Fails, of kind Input, if its setting names no proxy that can be used.
    pub(super) fn for_url(&self, url: &Url) -> Result<Option<&Proxy>> {
        if self.without.covers(url) {
            return Ok(None);
        }
        let of_scheme = if url.scheme() == "https" { &self.https } else { &self.http };
        let setting = match &self.chosen {
            Some(chosen) => Some(chosen),
            // A proxy elsewhere would look for the server on its own machine.
            None => of_scheme.as_ref().filter(|_| !is_loopback(url)),
        };
        match setting {
            None | Some(Setting::Direct) => Ok(None),
            Some(setting) => setting.usable().map(Some),
        }
    }

    /// Replaces every password of a proxy in a server's words.
    pub(super) fn without_secrets(&self, words: String) -> String {
        let settings = [&self.chosen, &self.http, &self.https].into_iter().flatten();
        settings.fold(words, |words, setting| match setting {
            Setting::Via(Proxy { url, .. }) => {
                let raw = url.password().unwrap_or_default();
                let plain = percent_encoding::percent_decode_str(raw).decode_utf8_lossy();
                let secrets = [raw, &plain].into_iter().filter(|secret| secret.len() >= SHORTEST_SECRET);
                secrets.fold(words, |words, secret| words.replace(secret, "[secret]"))
            }
            _ => words,
        })
    }
}

impl Setting {
    fn of(text: &str, source: String) -> Setting {
        match (text.trim(), parse(text.trim())) {
            ("false", _) => Setting::Direct,
            (_, Ok(url)) => Setting::Via(Proxy { url, source }),
            (_, Err(why)) => Setting::Unusable(source, why),
        }
    }

    fn usable(&self) -> Result<&Proxy> {
        match self {
            Setting::Via(proxy) => Ok(proxy),
            Setting::Direct => Err(Error::input("--proxy false is no proxy").hint("--proxy none uses no proxy")),
            Setting::Unusable(source, why) => {
                Err(Error::input(format!("{source} names no proxy that can be used: {why}")).hint(format!(
                    "a proxy is SCHEME://HOST:PORT, with SCHEME one of {}; reserved characters of a user name and a \
                     password are percent-encoded",
                    SCHEMES.join(", ")
                )))
            }
        }
    }
}

/// Parses the URL of a proxy; without a scheme it is an HTTP proxy. The error is a clause without any part of the text
/// but its scheme.
fn parse(text: &str) -> Result<Url, String> {
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
    let url = url.map_err(|error| format!("its value is no URL ({error})"))?;
    if !SCHEMES.contains(&url.scheme()) {
        let scheme: String = url.scheme().chars().take(20).collect();
        return Err(format!("the scheme {scheme} is not supported"));
    }
    match url.host_str() {
        None | Some("") => Err("its value names no host".to_owned()),
        Some(_) => Ok(url),
    }
}

/// Shows scheme, host and port.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.url.scheme(), super::origin::host_of(&self.url))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} of {}", self.source)
    }
}

#[cfg(test)]
mod tests;
