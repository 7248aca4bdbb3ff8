//! Checks the certificate of one server.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme};

use crate::error::{Context, ErrorKind, Result};

/// The check of the Web, with two exceptions that other clients make as well. A certificate that the user trusts by
/// itself is accepted, though it says that it is an authority: openssl makes self-signed ones so. And everything is
/// accepted where the user says that nothing is checked.
#[derive(Debug)]
pub(super) struct Verifier {
    web: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
    trusted: Vec<CertificateDer<'static>>,
    accepts_any: bool,
}

impl Verifier {
    pub(super) fn new(
        roots: RootCertStore,
        trusted: Vec<CertificateDer<'static>>,
        accepts_any: bool,
    ) -> Result<Verifier> {
        let provider = Arc::new(ring::default_provider());
        let web = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .or_error(ErrorKind::Internal, || "cannot set up the check of certificates".to_owned())?;
        Ok(Verifier { web, provider, trusted, accepts_any })
    }

    pub(super) fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        if self.accepts_any {
            return Ok(ServerCertVerified::assertion());
        }
        let checked = self.web.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match checked {
            // The dates are checked before this error is found, the name after it.
            Err(TlsError::InvalidCertificate(CertificateError::Other(_))) if self.trusted.contains(end_entity) => {
                rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        if self.accepts_any {
            // Proof that the server has the key of a certificate that anyone may have made proves nothing. The check
            // would refuse certificates of version 1.
            return Ok(HandshakeSignatureValid::assertion());
        }
        self.web.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        if self.accepts_any {
            return Ok(HandshakeSignatureValid::assertion());
        }
        self.web.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.web.supported_verify_schemes()
    }
}
