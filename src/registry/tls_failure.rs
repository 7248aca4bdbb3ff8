//! Says why a TLS connection could not be made, and how it can.

use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error as TlsError};
use url::Url;

use super::origin::host_of;
use super::proxies::Proxy;
use super::retry::NoConnection;

const TRUST: &str = "if you trust its authority, name the authority's certificate (PEM) with --cafile FILE, \
                     NODE_EXTRA_CA_CERTS=FILE, SSL_CERT_FILE=FILE, or cafile=FILE in .npmrc";
const RENEW: &str = "the server needs a new certificate; if it has one, check this machine's clock";
const SHOW: &str = "put //host/:certfile=FILE and //host/:keyfile=FILE for this server into .npmrc";
const SCHEME: &str = "check the URL and its port: is it http:// rather than https://?";
const UNSAFE: &str = "strict-ssl=false in .npmrc accepts any certificate, and is unsafe";

/// Returns the failure that TLS caused; `None` if it was not TLS.
pub(super) fn of(error: &reqwest::Error, url: &Url, proxy: Option<&Proxy>) -> Option<NoConnection> {
    let failure = causes(error).find_map(|cause| cause.downcast_ref::<TlsError>())?;
    // Through a proxy that speaks TLS itself, the certificate may be the proxy's.
    let is_of_proxy =
        || causes(error).any(|cause| cause.to_string().contains("failed to create underlying connection"));
    let proxy = proxy.filter(|proxy| proxy.url.scheme() == "https");
    let (server, host) = match proxy.filter(|_| url.scheme() == "http" || is_of_proxy()) {
        Some(proxy) => (format!("the proxy {proxy} of {}", proxy.source), host_of(&proxy.url)),
        None => (host_of(url), host_of(url)),
    };
    let (why, hint, is_settled) = match failure {
        TlsError::InvalidCertificate(invalid) => {
            let (why, hint) = why_invalid(invalid, &host);
            (why, hint, true)
        }
        TlsError::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => (format!("it wants a client certificate that it accepts ({failure})"), SHOW.to_owned(), true),
        TlsError::AlertReceived(AlertDescription::HandshakeFailure) => {
            let hint = format!("if it wants a client certificate, {SHOW}");
            (format!("it refused the TLS handshake ({failure})"), hint, true)
        }
        TlsError::InvalidMessage(_) => (format!("it does not speak TLS ({failure})"), SCHEME.to_owned(), true),
        other => (format!("TLS failed: {other}"), SCHEME.to_owned(), false),
    };
    Some(NoConnection { reason: format!("no secure connection to {server}: {why}"), hint, is_settled })
}

/// Says why a certificate is not valid, and what helps.
fn why_invalid(invalid: &CertificateError, host: &str) -> (String, String) {
    match invalid {
        CertificateError::UnknownIssuer => {
            ("its certificate is not trusted: no known authority signed it".to_owned(), TRUST.to_owned())
        }
        CertificateError::Expired => ("its certificate has expired".to_owned(), RENEW.to_owned()),
        CertificateError::ExpiredContext { not_after, .. } => {
            (format!("its certificate has expired on {}", day(*not_after)), RENEW.to_owned())
        }
        CertificateError::NotValidYet => ("its certificate is not valid yet".to_owned(), RENEW.to_owned()),
        CertificateError::NotValidYetContext { not_before, .. } => {
            (format!("its certificate is not valid before {}", day(*not_before)), RENEW.to_owned())
        }
        CertificateError::NotValidForName => names(host, &[]),
        CertificateError::NotValidForNameContext { presented, .. } => names(host, presented),
        CertificateError::Other(found) => {
            // The library has no words for these.
            let found = found.to_string();
            let why = match found.as_str() {
                "CaUsedAsEndEntity" => {
                    "its certificate is self-signed, or that of an authority, and not trusted".to_owned()
                }
                "UnsupportedCertVersion" => {
                    let why = "its certificate is of version 1, and only those of version 3 can be checked";
                    return (why.to_owned(), format!("the server needs another certificate. {UNSAFE}"));
                }
                _ => format!("its certificate is not valid ({found})"),
            };
            (why, format!("{TRUST}. {UNSAFE}"))
        }
        _ => (format!("its certificate is not valid: {invalid}"), UNSAFE.to_owned()),
    }
}

fn names(host: &str, presented: &[String]) -> (String, String) {
    let names = match presented {
        [] => "other names".to_owned(),
        names => names.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", "),
    };
    let why = format!("its certificate is for another host name: for {names}, not for {host}");
    (why, format!("use a name of the certificate in the URL. {UNSAFE}"))
}

/// Returns a name without the words of the library around it: `DnsName("a.b")`.
fn plain(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}

fn day(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| "another day".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
}

/// Returns an error and its causes, also those that an I/O error holds.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(held) => Some(held as &(dyn std::error::Error + 'static)),
        None => error.source(),
    })
}
