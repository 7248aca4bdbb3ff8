//! Which secret is for which URL. A secret goes to the host and below the path that it was given for, and nowhere else.
//!
//! Not here: reading files or the environment; the text of `.npmrc` is parsed in `credentials/npmrc.rs`.

mod npmrc;

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use url::Url;

use super::origin::npm_token_url;
use crate::error::{Error, Result};

/// What may be sent where. Printing it shows places, never secrets.
#[derive(Clone, Default)]
pub struct Credentials {
    entries: Vec<Entry>,
    scopes: BTreeMap<String, Url>,
    notes: Vec<String>,
}

#[derive(Clone)]
struct Entry {
    place: Place,
    authorization: HeaderValue,
}

/// A host and a path below which a secret may go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
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
        let place = Place::of(&npm_token_url()?);
        let Some(authorization) = bearer(token) else {
            return Err(
                Error::input("NPM_TOKEN holds characters that no token has").hint("look for a line break in it")
            );
        };
        self.insert(place, authorization);
        Ok(self)
    }

    /// Where a scope (without its `@`) lives by `@scope:registry=`, where `.npmrc` says it. What an origin lists is not
    /// looked up there: a scope of the same name elsewhere is another scope.
    pub fn scope_registry(&self, scope: &str) -> Option<&Url> {
        self.scopes.get(scope)
    }

    /// What in `.npmrc` was of no use, as sentences without secrets.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The `Authorization` header for this URL: that of the longest path that it lies below.
    pub(super) fn authorization_for(&self, url: &Url) -> Option<&HeaderValue> {
        self.entries
            .iter()
            .filter(|entry| entry.place.covers(url))
            .max_by_key(|entry| entry.place.path.len())
            .map(|entry| &entry.authorization)
    }

    fn insert(&mut self, place: Place, authorization: HeaderValue) {
        self.entries.retain(|entry| entry.place != place);
        self.entries.push(Entry { place, authorization });
    }
}

impl Place {
    fn of(url: &Url) -> Place {
        let host = url.host_str().unwrap_or_default().to_owned();
        let path = if url.path().ends_with('/') { url.path().to_owned() } else { format!("{}/", url.path()) };
        Place { host, port: url.port(), path }
    }

    fn covers(&self, url: &Url) -> bool {
        let place = Place::of(url);
        // An empty host is no host, however it came about.
        !self.host.is_empty()
            && self.host == place.host
            && self.port == place.port
            && place.path.starts_with(&self.path)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials for ")?;
        f.debug_list().entries(self.entries.iter().map(|entry| &entry.place)).finish()
    }
}

fn bearer(token: &str) -> Option<HeaderValue> {
    secret(&format!("Bearer {}", token.trim()), token)
}

fn basic(encoded: &str) -> Option<HeaderValue> {
    secret(&format!("Basic {encoded}"), encoded)
}

fn secret(text: &str, payload: &str) -> Option<HeaderValue> {
    if payload.trim().is_empty() {
        return None;
    }
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// `username` and `_password`, the second of which `.npmrc` holds in base64, as one basic secret.
fn basic_from_parts(username: &str, password_base64: &str) -> Option<HeaderValue> {
    let mut pair = format!("{username}:").into_bytes();
    pair.extend(STANDARD.decode(password_base64).ok()?);
    basic(&STANDARD.encode(pair))
}

#[cfg(test)]
mod tests;
