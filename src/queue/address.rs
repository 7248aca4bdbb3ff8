//! The address of a queue: `nats://user:password@host:4222`, `tls://token@host`, several servers of a cluster with
//! commas between them.

use std::fmt;

use url::Url;

use crate::error::{Error, Result};

/// The port where an address names none.
const DEFAULT_PORT: u16 = 4222;

/// How a process proves who it is.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    None,
    Token(String),
    User(String, String),
}

/// The servers of a queue, and the credentials. Printed without them.
#[derive(Clone, PartialEq, Eq)]
pub struct QueueAddress {
    /// Without credentials: `nats://host:4222`.
    servers: Vec<String>,
    credentials: Credentials,
    needs_tls: bool,
}

impl QueueAddress {
    /// Parses an address. The first server that has credentials gives those of all.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Input`] for a text that is none. The error does not hold the credentials.
    pub fn parse(text: &str) -> Result<QueueAddress> {
        let (mut servers, mut credentials, mut needs_tls) = (Vec::new(), Credentials::None, false);
        for part in text.split(',').map(str::trim) {
            let bad = |why: &str| {
                Error::input(format!("the address of the queue {why}"))
                    .hint("give it as nats://host:4222, nats://user:password@host, nats://token@host or tls://host")
            };
            let url = Url::parse(part).map_err(|error| bad("is not a URL").source(error))?;
            if !matches!(url.scheme(), "nats" | "tls") {
                return Err(bad(&format!("begins with {}://, and only nats:// and tls:// are known", url.scheme())));
            }
            let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| bad("names no host"))?;
            if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
                return Err(bad("has more than a host and a port"));
            }
            needs_tls |= url.scheme() == "tls";
            servers.push(format!("{}://{host}:{}", url.scheme(), url.port().unwrap_or(DEFAULT_PORT)));
            if credentials == Credentials::None && !url.username().is_empty() {
                let plain = |text: &str| {
                    let plain = percent_encoding::percent_decode_str(text).decode_utf8();
                    plain.map(|plain| plain.into_owned()).map_err(|_| bad("has credentials that are not UTF-8"))
                };
                let user = plain(url.username())?;
                credentials = match url.password() {
                    Some(password) => Credentials::User(user, plain(password)?),
                    None => Credentials::Token(user),
                };
            }
        }
        Ok(QueueAddress { servers, credentials, needs_tls })
    }

    pub(super) fn servers(&self) -> &[String] {
        &self.servers
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub(super) fn needs_tls(&self) -> bool {
        self.needs_tls
    }
}

impl fmt::Display for QueueAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.servers.join(","))
    }
}

impl fmt::Debug for QueueAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for QueueAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<QueueAddress> {
        QueueAddress::parse(text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_servers_and_hides_its_credentials() {
        let address = QueueAddress::parse("nats://me:s%40cret@a.example:4333, tls://b.example").unwrap();
        assert_eq!(address.to_string(), "nats://a.example:4333,tls://b.example:4222");
        assert!(address.credentials == Credentials::User("me".to_owned(), "s@cret".to_owned()));
        assert!(address.needs_tls() && !format!("{address:?}").contains("cret"));
        let token = QueueAddress::parse("nats://t0ken@[::1]").unwrap();
        assert!(token.credentials == Credentials::Token("t0ken".to_owned()) && !token.needs_tls());
        assert_eq!(token.to_string(), "nats://[::1]:4222");
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_credentials() {
        for text in
            ["", "a.example", "http://s3cret@a.example", "nats://s3cret@a.example/x", "nats://", "nats://a?b=s3cret"]
        {
            let error = QueueAddress::parse(text).unwrap_err();
            assert!(!error.report().contains("s3cret"), "{}", error.report());
        }
    }
}
