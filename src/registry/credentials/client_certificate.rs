//! Client certificates: `certfile` and `keyfile` of `.npmrc`, each for one host and path.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error as TlsError, InconsistentKeys};
use url::Url;

use super::{Credentials, UrlPrefix};
use crate::registry::npmrc::Npmrc;

/// A certificate that shows a server who the client is, and its key.
#[derive(Clone)]
pub(in crate::registry) struct ClientCertificate(Arc<CertifiedKey>);

impl ClientCertificate {
    /// Reads a certificate and its key, both PEM. The error is a clause without any part of them.
    fn read(certificate: &[u8], key: &[u8]) -> Result<ClientCertificate, String> {
        if memchr::memmem::find(key, b"ENCRYPTED").is_some() {
            return Err("the key is encrypted; decrypt it with openssl pkey".to_owned());
        }
        let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| "certfile holds no certificate as PEM".to_owned())?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "keyfile holds no private key as PEM".to_owned())?;
        let key = any_supported_type(&key).map_err(|_| "a key of this kind is not supported".to_owned())?;
        let own = CertifiedKey::new(chain, key);
        match own.keys_match() {
            // One of version 1 cannot be compared. The server decides about it, as about any other.
            Ok(())
            | Err(
                TlsError::InconsistentKeys(InconsistentKeys::Unknown)
                | TlsError::InvalidCertificate(CertificateError::Other(_)),
            ) => Ok(ClientCertificate(Arc::new(own))),
            Err(TlsError::InconsistentKeys(_)) => Err("keyfile is not the key of certfile".to_owned()),
            Err(_) => Err("certfile is no certificate".to_owned()),
        }
    }

    /// Returns the certificate, then those of its authorities.
    pub(in crate::registry) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.0.cert
    }

    /// Returns the certificate, with those of its authorities, and its key.
    pub(in crate::registry) fn certified_key(&self) -> CertifiedKey {
        CertifiedKey::clone(&self.0)
    }
}

impl Credentials {
    /// Adds the client certificates that `.npmrc` files name. `read` returns the bytes of a file. Never fails:
    /// [`Credentials::notes`] lists those that cannot be used.
    pub fn with_client_certificates(
        mut self,
        npmrc: &Npmrc,
        read: &dyn Fn(&str) -> std::io::Result<Vec<u8>>,
    ) -> Credentials {
        let mut pairs: BTreeMap<UrlPrefix, [Option<&str>; 2]> = BTreeMap::new();
        for (place, field, value) in npmrc.by_place() {
            let (Some(index), Some(prefix)) =
                (["certfile", "keyfile"].iter().position(|name| *name == field), UrlPrefix::of_place(place))
            else {
                continue;
            };
            pairs.entry(prefix).or_default()[index] = Some(value);
        }
        for (prefix, pair) in pairs {
            let place = format!("//{}{}", prefix.host, prefix.path);
            let read = |path: &str| read(path).map_err(|error| format!("{path} cannot be read: {error}"));
            let certificate = match pair {
                [Some(certificate), Some(key)] => {
                    read(certificate).and_then(|certificate| ClientCertificate::read(&certificate, &read(key)?))
                }
                _ => Err("it needs both certfile and keyfile".to_owned()),
            };
            match certificate {
                Ok(certificate) => {
                    tracing::info!(host = prefix.host, path = prefix.path, "a client certificate is loaded");
                    self.certificates.push((prefix, certificate));
                }
                Err(why) => self.notes.push(format!("the client certificate for {place} is not used: {why}")),
            }
        }
        self
    }

    /// Returns the number of the client certificate for this URL: that of the longest path above it.
    pub(in crate::registry) fn certificate_for(&self, url: &Url) -> Option<usize> {
        let covering = self.certificates.iter().enumerate().filter(|(_, (prefix, _))| prefix.covers(url));
        covering.max_by_key(|(_, (prefix, _))| prefix.path.len()).map(|(number, _)| number)
    }

    /// Returns a client certificate by its number.
    pub(in crate::registry) fn certificate(&self, number: usize) -> Option<&ClientCertificate> {
        self.certificates.get(number).map(|(_, certificate)| certificate)
    }
}
