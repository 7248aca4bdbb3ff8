//! The certificates that are trusted: built-in roots, the system's, and those that the user names.
//!
//! Not here: client certificates (`credentials`), and the check of one server's certificate (`verifier`).

use std::fmt;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};

use super::credentials::ClientCertificate;
use super::npmrc::Npmrc;
use super::verifier::Verifier;
use crate::error::{Context, ErrorKind, Result};

/// The trust of a client, beyond the built-in roots and those of the system.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Trust {
    certificates: Vec<CertificateDer<'static>>,
    accepts_any: bool,
}

impl Trust {
    /// Trusts the certificates in this PEM text as well, and returns how many there are. Ignores those that cannot be a
    /// root if there are others. The error is a clause.
    pub fn add_pem(&mut self, pem: &[u8]) -> Result<usize, String> {
        let before = self.certificates.len();
        let mut unusable = None;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            match certificate.map_err(|error| format!("{error:?}")).and_then(usable) {
                Ok(certificate) => self.certificates.push(certificate),
                Err(why) => unusable = Some(why),
            }
        }
        match (self.certificates.len() - before, unusable) {
            (0, Some(why)) => Err(format!("it holds no usable certificate: {why}")),
            (0, None) => Err("it holds no certificate as PEM (-----BEGIN CERTIFICATE-----)".to_owned()),
            (added, _) => Ok(added),
        }
    }

    /// Trusts the certificates of `cafile` and `ca`, and heeds `strict-ssl`. `read` returns the bytes of a file.
    /// Returns notes on what cannot be used, and on what is unsafe.
    pub fn add_npmrc(&mut self, npmrc: &Npmrc, read: &dyn Fn(&str) -> std::io::Result<Vec<u8>>) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note = |added: Result<usize, String>, source: &str| match added {
            Ok(certificates) => tracing::info!(source, certificates, "certificates are loaded"),
            Err(why) => notes.push(format!("{source} is not used: {why}")),
        };
        if let Some((path, source)) = npmrc.value(&["cafile"]) {
            let pem = read(path).map_err(|error| format!("{path} cannot be read: {error}"));
            note(pem.and_then(|pem| self.add_pem(&pem)), source);
        }
        if let Some((values, source)) = npmrc.values("ca") {
            for value in values {
                // npm's manual says to write line ends so.
                note(self.add_pem(value.replace("\\n", "\n").as_bytes()), source);
            }
        }
        if let Some((value, source)) = npmrc.value(&["strict-ssl"])
            && matches!(value.to_ascii_lowercase().as_str(), "false" | "0")
        {
            self.accepts_any = true;
            notes.push(format!(
                "{source} is false: certificates of servers are not checked, so anyone may be the server"
            ));
        }
        notes
    }

    /// Returns the TLS settings of a client that trusts so, and shows this certificate of its own.
    pub(super) fn tls(&self, own: Option<&ClientCertificate>) -> Result<ClientConfig> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        roots.add_parsable_certificates(system_roots().certificates.iter().chain(&self.certificates).cloned());
        let verifier = Verifier::new(roots, self.certificates.clone(), self.accepts_any)?;
        let invalid = || "cannot set up TLS".to_owned();
        let config = ClientConfig::builder_with_provider(Arc::clone(verifier.provider()))
            .with_safe_default_protocol_versions()
            .or_error(ErrorKind::Internal, invalid)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match own {
            // The library's own way refuses certificates of version 1.
            Some(own) => config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.certified_key()))),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (certificates, accepts_any) = (self.certificates.len(), self.accepts_any);
        write!(f, "Trust {{ certificates: {certificates}, accepts_any: {accepts_any} }}")
    }
}

/// The roots that the system trusts: its store, or the files of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
#[derive(Debug)]
pub struct SystemRoots {
    certificates: Vec<CertificateDer<'static>>,
    problems: Vec<String>,
}

impl SystemRoots {
    /// Returns how many certificates were loaded.
    pub fn count(&self) -> usize {
        self.certificates.len()
    }

    /// Returns why some were not, as clauses.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

/// Returns the roots of the system, loaded once in a process: on some systems that takes milliseconds.
pub fn system_roots() -> &'static SystemRoots {
    static LOADED: OnceLock<SystemRoots> = OnceLock::new();
    LOADED.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        let mut problems: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let is_empty = found.certs.is_empty();
        let certificates: Vec<_> = found.certs.into_iter().filter_map(|root| usable(root).ok()).collect();
        if certificates.is_empty() && !is_empty {
            problems.push("none of the certificates can be a root".to_owned());
        }
        tracing::debug!(certificates = certificates.len(), ?problems, "the system's certificates are loaded");
        SystemRoots { certificates, problems }
    })
}

/// Returns a certificate that can be a root. The error is a clause.
fn usable(certificate: CertificateDer<'static>) -> Result<CertificateDer<'static>, String> {
    let added = RootCertStore::empty().add(certificate.clone());
    added.map(|()| certificate).map_err(|error| error.to_string())
}
