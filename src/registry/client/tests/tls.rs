//! TLS: certificates that are trusted and those that are not, each told as what it is after one attempt.

use std::io::{Read, Write};
use std::net::TcpListener;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::super::super::npmrc::Npmrc;
use super::super::super::trust::Trust;
use super::*;

fn file(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/tls/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// A registry over TLS with this certificate. Returns its URL, and the connections that it accepted.
fn serve(name: &str, wants_client: bool) -> (String, Arc<AtomicU64>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from_pem_slice(&file(&format!("{name}.pem"))).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(&file(&format!("{}.key", name.trim_end_matches("-v1")))).unwrap();
    let own = CertifiedKey::new(chain, any_supported_type(&key).unwrap());
    let config =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let config = match wants_client {
        true => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(&file("ca.pem")).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            config.with_client_cert_verifier(verifier)
        }
        false => config.with_no_client_auth(),
    };
    let config = Arc::new(config.with_cert_resolver(Arc::new(SingleCertAndKey::from(own))));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let accepted = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&accepted);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            count.fetch_add(1, Ordering::Relaxed);
            let connection = connection.unwrap();
            let config = Arc::clone(&config);
            std::thread::spawn(move || {
                let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), connection);
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut byte) {
                        Ok(1) => head.extend(byte),
                        _ => return,
                    }
                }
                let _ = stream.write_all(&json("{\"db_name\":\"registry\",\"doc_count\":3}"));
                stream.conn.send_close_notify();
                let _ = stream.flush();
            });
        }
    });
    (url, accepted)
}

fn npmrc(text: &str) -> Npmrc {
    let mut npmrc = Npmrc::default();
    npmrc.read("x.npmrc", text, &|_| None);
    npmrc
}

/// Requests the information of a server, with these settings of `.npmrc`; a file name is one of the tests' data.
async fn info(url: &str, text: &str) -> Result<crate::registry::DatabaseInfo> {
    let npmrc = npmrc(text);
    let read = |name: &str| match name {
        "missing" => Err(std::io::ErrorKind::NotFound.into()),
        name => Ok(file(name)),
    };
    let mut trust = Trust::default();
    trust.add_npmrc(&npmrc, &read);
    let credentials = Credentials::of_npmrc(&npmrc).with_client_certificates(&npmrc, &read);
    let config = RegistryConfig { trust, max_attempts: 8, ..config() };
    Registry::new(Origin::parse(url, None).unwrap(), config, credentials).unwrap().info().await
}

#[tokio::test]
async fn an_authority_is_trusted_by_its_file_or_its_text() {
    let (url, _) = serve("server", false);
    let pem = String::from_utf8(file("ca.pem")).unwrap();
    let escaped = pem.trim().replace('\n', "\\n");
    for text in [
        "cafile=ca.pem".to_owned(),
        format!("ca=\"{escaped}\""),
        format!("ca={escaped}"),
        format!("ca[]=\"{escaped}\"\nca[]=nonsense"),
        "strict-ssl=false".to_owned(),
    ] {
        assert_eq!(info(&url, &text).await.unwrap().doc_count, Some(3), "{text}");
    }
    // openssl makes a self-signed certificate an authority.
    assert!(info(&serve("own", false).0, "cafile=own.pem").await.is_ok());
    // A certificate of version 1 cannot be checked, and need not be where the user says so.
    assert!(info(&serve("own-v1", false).0, "strict-ssl=false").await.is_ok());
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_is_told_as_what_it_is_after_one_attempt() {
    for (name, text, told, hint) in [
        ("server", "", "not trusted", "--cafile"),
        ("server", "ca=null\ncafile=missing", "not trusted", "NODE_EXTRA_CA_CERTS"),
        ("own", "", "self-signed, or that of an authority, and not trusted", "--cafile"),
        ("own-v1", "cafile=own-v1.pem", "of version 1", "strict-ssl"),
        ("expired", "cafile=ca.pem", "expired on 20", "clock"),
        ("other", "cafile=ca.pem", "other.example", "name of the certificate"),
    ] {
        let (url, accepted) = serve(name, false);
        let error = info(&url, text).await.unwrap_err();
        let report = error.report();
        assert!(error.kind() == ErrorKind::Network && report.contains(told) && report.contains(hint), "{report}");
        // No names of the library's types.
        assert!(!report.contains("DnsName") && !report.contains("Error("), "{report}");
        assert_eq!(accepted.load(Ordering::Relaxed), 1, "{report}");
    }
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", plain.local_addr().unwrap());
    std::thread::spawn(move || plain.accept().unwrap().0.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    let error = info(&url, "").await.unwrap_err();
    assert!(error.report().contains("does not speak TLS"), "{}", error.report());
}

#[tokio::test]
async fn a_client_certificate_goes_to_its_host_and_is_asked_for_where_it_is_missing() {
    let (url, _) = serve("server", true);
    let place = url.trim_start_matches("https:");
    let both = format!("cafile=ca.pem\n{place}/:certfile=client.pem\n{place}/:keyfile=client.key");
    assert!(info(&url, &both).await.is_ok());
    let elsewhere = "cafile=ca.pem\n//127.0.0.1:1/:certfile=client.pem\n//127.0.0.1:1/:keyfile=client.key";
    for text in ["cafile=ca.pem", elsewhere] {
        let report = info(&url, text).await.unwrap_err().report();
        assert!(report.contains("client certificate") && report.contains("certfile"), "{report}");
    }
    for (lines, told) in [
        ("//a.b/:certfile=client.pem", "needs both"),
        ("//a.b/:certfile=client.pem\n//a.b/:keyfile=server.key", "is not the key of certfile"),
        ("//a.b/:certfile=missing\n//a.b/:keyfile=client.key", "cannot be read"),
        ("//a.b/:certfile=client.key\n//a.b/:keyfile=client.key", "no certificate"),
    ] {
        let npmrc = npmrc(lines);
        let read =
            |name: &str| if name == "missing" { Err(std::io::ErrorKind::NotFound.into()) } else { Ok(file(name)) };
        let credentials = Credentials::of_npmrc(&npmrc).with_client_certificates(&npmrc, &read);
        assert!(credentials.notes()[0].contains(told), "{:?}", credentials.notes());
    }
    // The server decides about one of version 1.
    let old = format!("cafile=ca.pem\n{place}/:certfile=client-v1.pem\n{place}/:keyfile=client.key");
    let credentials =
        Credentials::of_npmrc(&npmrc(&old)).with_client_certificates(&npmrc(&old), &|name| Ok(file(name)));
    assert!(credentials.notes().is_empty(), "{:?}", credentials.notes());
    let report = info(&url, &old).await.unwrap_err().report();
    assert!(report.contains("client certificate that it accepts"), "{report}");
}
