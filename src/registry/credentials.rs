//! Maps secrets to URLs. A secret is sent only to the host and below the path that it was given for.
//!
//! Not here: reading files or the environment, and the format of `.npmrc` (`npmrc`).

mod client_certificate;
mod fingerprint;
mod header;
mod npmrc;

use std::fmt;

use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::engine::{DecodePaddingMode, Engine};
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use url::Url;

pub(super) use client_certificate::ClientCertificate;

use super::npmrc::Npmrc;
use super::origin::npm_token_url;
use crate::error::{Error, Result};

/// Secrets by URL prefix. Its debug output shows prefixes, never secrets.
#[derive(Clone, Default)]
pub struct Credentials {
    entries: Vec<Entry>,
    /// Headers of the user's own, for the origin's hosts.
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Client certificates with their keys.
    certificates: Vec<(UrlPrefix, ClientCertificate)>,
    notes: Vec<String>,
}

#[derive(Clone)]
struct Entry {
    prefix: UrlPrefix,
    secret: Secret,
}

/// A header to send, and the texts in it that must never be shown.
#[derive(Clone)]
struct Secret {
    authorization: HeaderValue,
    /// The token; of a basic secret its encoded form and the password too.
    hidden: Vec<String>,
}

/// The URLs that may receive a secret: those of one host and port below a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct UrlPrefix {
    host: String,
    /// `None` is the port of the URL's scheme.
    port: Option<u16>,
    /// Begins and ends with a slash.
    path: String,
}

impl Credentials {
    /// Returns no secrets.
    pub fn none() -> Self {
        Credentials::default()
    }

    /// Reads the texts of `.npmrc` files, the least important first: a later line replaces an earlier one. `variable`
    /// looks up the value of `${NAME}`.
    ///
    /// Never fails, since npm does not either: [`Credentials::notes`] lists the unusable lines.
    pub fn from_npmrc<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Credentials {
        let mut npmrc = Npmrc::default();
        texts.into_iter().for_each(|text| npmrc.read(".npmrc", text, &variable));
        Credentials::of_npmrc(&npmrc)
    }

    /// Returns the secrets of `.npmrc` files that are read already. Never fails; see [`Credentials::from_npmrc`].
    pub fn of_npmrc(npmrc: &Npmrc) -> Credentials {
        npmrc::read(npmrc)
    }

    /// Adds the value of `NPM_TOKEN`. It is for npm's own registry only, and replaces that registry's secret from
    /// `.npmrc`.
    ///
    /// Fails, of kind Input, for a token that is not valid in a header.
    pub fn with_npm_token(mut self, token: &str) -> Result<Self> {
        let prefix = UrlPrefix::of(&npm_token_url()?);
        let Some(authorization) = bearer(token) else {
            return Err(
                Error::input("NPM_TOKEN holds characters that no token has").hint("look for a line break in it")
            );
        };
        self.insert(prefix, authorization);
        Ok(self)
    }

    /// Returns notes on the unusable lines of `.npmrc`, as sentences without secrets.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Returns the `Authorization` header for this URL: that of the longest path above it. One of the user's own headers
    /// replaces it at the origin's hosts.
    pub(super) fn authorization_for(&self, url: &Url, is_of_origin: bool) -> Option<&HeaderValue> {
        let own = || self.headers.iter().find(|(name, _)| name == AUTHORIZATION).map(|(_, value)| value);
        if let Some(own) = is_of_origin.then(own).flatten() {
            return Some(own);
        }
        self.entries
            .iter()
            .filter(|entry| entry.prefix.covers(url))
            .max_by_key(|entry| entry.prefix.path.len())
            .map(|entry| &entry.secret.authorization)
    }

    /// Replaces every known secret in a server's words. Such words end in errors and in the lake, and some servers
    /// repeat what they were sent.
    pub(super) fn without_secrets(&self, words: String) -> String {
        let of_entries = self.entries.iter().flat_map(|entry| &entry.secret.hidden).map(String::as_str);
        let mut hidden: Vec<&str> = of_entries.chain(self.texts_of_headers()).collect();
        // One secret may be a part of another.
        hidden.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        hidden.into_iter().fold(words, |words, secret| words.replace(secret, "[secret]"))
    }

    fn insert(&mut self, prefix: UrlPrefix, secret: Secret) {
        self.entries.retain(|entry| entry.prefix != prefix);
        self.entries.push(Entry { prefix, secret });
    }
}

impl UrlPrefix {
    fn of(url: &Url) -> UrlPrefix {
        let host = url.host_str().unwrap_or_default().to_owned();
        let path = if url.path().ends_with('/') { url.path().to_owned() } else { format!("{}/", url.path()) };
        UrlPrefix { host, port: url.port(), path }
    }

    fn covers(&self, url: &Url) -> bool {
        let prefix = UrlPrefix::of(url);
        // An empty host matches nothing, wherever it comes from.
        !self.host.is_empty()
            && self.host == prefix.host
            && self.port == prefix.port
            && prefix.path.starts_with(&self.path)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials for ")?;
        f.debug_list().entries(self.entries.iter().map(|entry| &entry.prefix)).finish()?;
        f.write_str(", certificates for ")?;
        f.debug_list().entries(self.certificates.iter().map(|(prefix, _)| prefix)).finish()?;
        f.write_str(", headers ")?;
        f.debug_list().entries(self.headers.iter().map(|(name, _)| name)).finish()
    }
}

fn bearer(token: &str) -> Option<Secret> {
    let token = token.trim();
    secret("Bearer", token, vec![token.to_owned()])
}

fn basic(encoded: &str) -> Option<Secret> {
    let encoded = encoded.trim();
    let mut hidden = vec![encoded.to_owned()];
    let pair = base64_text(encoded);
    hidden.extend(pair.split_once(':').map(|(_, password)| password.to_owned()));
    secret("Basic", encoded, hidden)
}

fn secret(scheme: &str, payload: &str, mut hidden: Vec<String>) -> Option<Secret> {
    // Only ASCII means the same to every reader of a header.
    if payload.is_empty() || !payload.is_ascii() {
        return None;
    }
    let mut authorization = HeaderValue::from_str(&format!("{scheme} {payload}")).ok()?;
    authorization.set_sensitive(true);
    hidden.retain(|secret| !secret.is_empty());
    Some(Secret { authorization, hidden })
}

/// Joins `username` and `_password`, which `.npmrc` holds in base64, to one basic secret.
fn basic_from_parts(username: &str, password_base64: &str) -> Option<Secret> {
    let password_base64 = password_base64.trim();
    if password_base64.is_empty() {
        return None;
    }
    let mut secret = basic(&STANDARD.encode(format!("{username}:{}", base64_text(password_base64))))?;
    secret.hidden.push(password_base64.to_owned());
    Some(secret)
}

/// Decodes base64 as npm, and so Node, does: up to the first `=`, padded or not, in either alphabet. It skips other
/// characters and replaces bytes that are not UTF-8.
fn base64_text(encoded: &str) -> String {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::RequireNone)
            .with_decode_allow_trailing_bits(true),
    );
    let digit = |byte: u8| match byte {
        b'-' => Some(b'+'),
        b'_' => Some(b'/'),
        b'+' | b'/' => Some(byte),
        _ => byte.is_ascii_alphanumeric().then_some(byte),
    };
    let mut digits: Vec<u8> = encoded.bytes().take_while(|byte| *byte != b'=').filter_map(digit).collect();
    if digits.len() % 4 == 1 {
        // Six bits are less than a byte.
        digits.pop();
    }
    String::from_utf8_lossy(&LENIENT.decode(digits).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests;
