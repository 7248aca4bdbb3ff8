//! A mark of the credentials that a request carries, to be kept beside what depends on them.

use reqwest::header::{AUTHORIZATION, HeaderValue};
use sha2::{Digest, Sha256};
use url::Url;

use super::Credentials;
use crate::npm::Fingerprint;

/// Keeps the digest apart from those that others make of the same secret.
const DOMAIN: &[u8] = b"all-docs: fingerprint of credentials, 1\n";

impl Credentials {
    /// Returns the fingerprint of the credentials that a request to `url`, a document of the origin, carries: its
    /// `Authorization`, the user's own headers, and the client certificate.
    pub(in crate::registry) fn fingerprint_for(&self, url: &Url) -> Fingerprint {
        let certificate = self.certificate_for(url).and_then(|number| self.certificate(number));
        let headers = self.headers().iter().filter(|(name, _)| name != AUTHORIZATION);
        let authorization = self.authorization_for(url, true).map(HeaderValue::as_bytes);
        let parts: Vec<&[u8]> = authorization
            .into_iter()
            .chain(headers.flat_map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()]))
            .chain(certificate.iter().flat_map(|certificate| certificate.chain()).map(AsRef::as_ref))
            .collect();
        if parts.is_empty() { Fingerprint::NONE } else { of(&parts) }
    }
}

fn of(parts: &[&[u8]]) -> Fingerprint {
    let mut digest = Sha256::new().chain_update(DOMAIN);
    for part in parts {
        digest.update(part);
        digest.update(b"\n");
    }
    let digest = digest.finalize();
    Fingerprint::new(u16::from_be_bytes([digest[0], digest[1]]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_token_has_a_mark_of_its_own_for_the_urls_that_it_goes_to() {
        let of = |text: &str, url: &str| {
            Credentials::from_npmrc([text], |_| None).fingerprint_for(&Url::parse(url).unwrap())
        };
        let expired = of("//a.example/:_authToken=sesame-1", "https://a.example/x");
        assert_eq!(of("//a.example/:_authToken=sesame-1", "https://a.example/y"), expired);
        assert_ne!(of("//a.example/:_authToken=sesame-2", "https://a.example/x"), expired);
        assert_ne!(of("//a.example/:_auth=c2VzYW1lLTE6eA==", "https://a.example/x"), expired);
        assert_eq!(of("//a.example/:_authToken=sesame-1", "https://b.example/x"), Fingerprint::NONE);
        assert_eq!(expired.to_string().len(), 4, "too few bits to find a secret by");
    }
}
