//! Which secret is for which URL. A secret goes to the host and below the path that it was given for, and nowhere else.
//!
//! Not here: reading files or the environment; the text of `.npmrc` is parsed in `credentials/npmrc.rs`.

mod npmrc;

use std::fmt;

use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::engine::{DecodePaddingMode, Engine};
use reqwest::header::HeaderValue;
use url::Url;

use super::origin::npm_token_url;
use crate::error::{Error, Result};

/// What may be sent where. Printing it shows prefixes, never secrets.
#[derive(Clone, Default)]
pub struct Credentials {
    entries: Vec<Entry>,
    notes: Vec<String>,
}

#[derive(Clone)]
struct Entry {
    prefix: UrlPrefix,
    secret: Secret,
}

/// What is sent, and what of it must never be shown.
#[derive(Clone)]
struct Secret {
    authorization: HeaderValue,
    /// The token; of a basic secret its encoded form and the password too.
    hidden: Vec<String>,
}

/// The URLs that a secret may be sent to: those of one host and port below a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct UrlPrefix {
    host: String,
    /// `None` is the port of the URL's scheme.
    port: Option<u16>,
    /// Begins and ends with a slash.
    path: String,
}

impl Credentials {
    /// No secrets.
    pub fn none() -> Self {
        Credentials::default()
    }

    /// Reads the texts of `.npmrc` files, the least important first: a later one's line replaces an earlier one's.
    /// `variable` looks up what `${NAME}` stands for.
    ///
    /// Never fails, since npm does not either: a line that is of no use is told in [`Credentials::notes`].
    pub fn from_npmrc<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Credentials {
        npmrc::read(texts, &variable)
    }

    /// Adds what `NPM_TOKEN` holds. It is for npm's own registry only, and replaces what `.npmrc` has for it.
    ///
    /// Fails, of kind Input, for a token that cannot stand in a header.
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

    /// What in `.npmrc` was of no use, as sentences without secrets.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The `Authorization` header for this URL: that of the longest path that it lies below.
    pub(super) fn authorization_for(&self, url: &Url) -> Option<&HeaderValue> {
        self.entries
            .iter()
            .filter(|entry| entry.prefix.covers(url))
            .max_by_key(|entry| entry.prefix.path.len())
            .map(|entry| &entry.secret.authorization)
    }

    /// A server's words with every secret that we have put out of them: what a server says ends in errors and in the
    /// lake, and some repeat what they were sent.
    pub(super) fn without_secrets(&self, words: String) -> String {
        let mut hidden: Vec<&String> = self.entries.iter().flat_map(|entry| &entry.secret.hidden).collect();
        // One may be a part of another.
        hidden.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        hidden.into_iter().fold(words, |words, secret| words.replace(secret.as_str(), "[secret]"))
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
        // An empty host is no host, however it came about.
        !self.host.is_empty()
            && self.host == prefix.host
            && self.port == prefix.port
            && prefix.path.starts_with(&self.path)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials for ")?;
        f.debug_list().entries(self.entries.iter().map(|entry| &entry.prefix)).finish()
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
    // In a header only ASCII means the same to everybody.
    if payload.is_empty() || !payload.is_ascii() {
        return None;
    }
    let mut authorization = HeaderValue::from_str(&format!("{scheme} {payload}")).ok()?;
    authorization.set_sensitive(true);
    hidden.retain(|secret| !secret.is_empty());
    Some(Secret { authorization, hidden })
}

/// `username` and `_password`, the second of which `.npmrc` holds in base64, as one basic secret.
fn basic_from_parts(username: &str, password_base64: &str) -> Option<Secret> {
    let password_base64 = password_base64.trim();
    if password_base64.is_empty() {
        return None;
    }
    let mut secret = basic(&STANDARD.encode(format!("{username}:{}", base64_text(password_base64))))?;
    secret.hidden.push(password_base64.to_owned());
    Some(secret)
}

/// What base64 says to npm, and so to Node: up to the first `=`, padded or not, in either alphabet, other characters left
/// out, and bytes that are no UTF-8 replaced.
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
        // Six bits are no byte.
        digits.pop();
    }
    String::from_utf8_lossy(&LENIENT.decode(digits).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests;
