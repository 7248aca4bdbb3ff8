//! A webhook: an address of the user to which bodies are posted, signed. Not here: what is posted, and when it is tried
//! again (`pipeline`).

use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use url::Url;

use super::config::RegistryConfig;
use super::connections::{Connections, NoResponse};
use super::credentials::Credentials;
use super::origin::host_of;
use crate::error::{Error, Result};

/// The longest time from the first byte of a request to the response.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The bytes of a block of SHA-256.
const BLOCK_BYTES: usize = 64;
/// The header with the time of a request, in seconds since 1970.
const TIME: &str = "x-all-docs-timestamp";
/// The header with the signature.
const SIGNATURE: &str = "x-all-docs-signature";

/// An address to which bodies are posted.
pub struct Webhook {
    connections: Connections,
    url: Url,
    secret: Option<String>,
}

impl Webhook {
    /// Makes a webhook. Requests go through the proxies of `config`, and trust its certificates. With a secret they are
    /// signed. Sends nothing.
    ///
    /// Fails, of kind Input, if `url` is no address of HTTP.
    pub fn new(config: &RegistryConfig, url: &str, secret: Option<String>) -> Result<Webhook> {
        let parsed = Url::parse(url).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        let url = parsed.ok_or_else(|| {
            Error::input(format!("{url:?} is no address of a webhook")).hint("give one as https://HOST/PATH")
        })?;
        Ok(Webhook { connections: Connections::new(config)?, url, secret: secret.filter(|secret| !secret.is_empty()) })
    }

    /// Returns its host, for messages: the rest of an address may be a secret.
    pub fn host(&self) -> String {
        host_of(&self.url)
    }

    /// Posts a body of JSON. `now_s` is the time, in seconds since 1970.
    ///
    /// Returns why it was not accepted: no response, or a status other than 2xx.
    pub async fn post(&self, body: Bytes, now_s: i64) -> std::result::Result<(), String> {
        let credentials = Credentials::default();
        let connection = self.connections.to(&self.url, &credentials).map_err(|error| error.report())?;
        let mut request = connection.client.post(self.url.clone()).timeout(TIMEOUT);
        request = request.header("content-type", "application/json").header(TIME, now_s.to_string());
        if let Some(secret) = &self.secret {
            request = request.header(SIGNATURE, format!("sha256={}", sign(secret, now_s, &body)));
        }
        match request.body(body).send().await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(format!("{} responds with {}", self.host(), response.status())),
            Err(error) => Err(match self.connections.failure(&error, &self.url, connection.proxy) {
                NoResponse::NoConnection(failure) => failure.reason,
                NoResponse::Fault(_) if error.is_timeout() => {
                    format!("{} does not respond within {} s", self.host(), TIMEOUT.as_secs())
                }
                NoResponse::Fault(_) => format!("no response from {}", self.host()),
            }),
        }
    }
}

/// Returns the signature of a body: HMAC-SHA256 of the time, a dot and the body, in hex.
fn sign(secret: &str, now_s: i64, body: &[u8]) -> String {
    let time = now_s.to_string();
    hmac_sha256(secret.as_bytes(), &[time.as_bytes(), b".", body]).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// HMAC of RFC 2104 with SHA-256.
fn hmac_sha256(key: &[u8], message: &[&[u8]]) -> [u8; 32] {
    let mut block = [0; BLOCK_BYTES];
    match block.get_mut(..key.len()) {
        Some(start) => start.copy_from_slice(key),
        None => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let mut inner = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x36));
    message.iter().for_each(|part| inner.update(part));
    let mut outer = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The cases 1, 2 and 6 of RFC 4231.
    #[test]
    fn the_code_is_that_of_the_standard() {
        let cases: [(&[u8], &[u8], &str); 3] = [
            (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, message, expected) in cases {
            assert_eq!(hex(&hmac_sha256(key, &[message])), expected);
            let (start, end) = message.split_at(3);
            assert_eq!(hex(&hmac_sha256(key, &[start, end])), expected);
        }
    }

    #[test]
    fn only_addresses_of_http_are_taken() {
        let origin = crate::registry::Origin::parse("http://127.0.0.1:9", None).unwrap();
        let config = RegistryConfig::for_origin(&origin);
        assert_eq!(Webhook::new(&config, "https://example.com/a?b", None).unwrap().host(), "example.com");
        for bad in ["", "example.com/hook", "ftp://example.com", "file:///x", "https://"] {
            assert!(Webhook::new(&config, bad, None).is_err(), "{bad}");
        }
    }
}
