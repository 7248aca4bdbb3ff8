//! The hosts that are reached without a proxy: the list of `NO_PROXY` and of npm's `noproxy`.

use std::net::IpAddr;

use url::{Host, Url};

/// A list of hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct NoProxy {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Any,
    /// A name and all names below it, perhaps at one port only.
    Name(String, Option<u16>),
    /// The first bits of an address, perhaps at one port only.
    Network(IpAddr, u32, Option<u16>),
}

impl NoProxy {
    /// Parses names, addresses and networks, between commas or white space: `*`, `example.com`, `.example.com`,
    /// `*.example.com`, `10.0.0.0/8`, `::1`, each perhaps with a port.
    pub(super) fn parse(list: &str) -> NoProxy {
        let parts = list.split(|letter: char| letter == ',' || letter.is_whitespace());
        NoProxy { entries: parts.filter(|part| !part.is_empty()).filter_map(Entry::parse).collect() }
    }

    pub(super) fn covers(&self, url: &Url) -> bool {
        let port = url.port_or_known_default();
        self.entries.iter().any(|entry| entry.covers(url, port))
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Entry> {
        if text == "*" {
            return Some(Entry::Any);
        }
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = bare(address).parse().ok()?;
            return Some(Entry::Network(address, bits.parse().ok()?, None));
        }
        if let Ok(address) = bare(text).parse() {
            return Some(Entry::Network(address, u32::MAX, None));
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (text, None),
        };
        if let Ok(address) = bare(name).parse() {
            return Some(Entry::Network(address, u32::MAX, port));
        }
        let name = name.strip_prefix('*').unwrap_or(name).trim_matches('.').to_ascii_lowercase();
        (!name.is_empty()).then_some(Entry::Name(name, port))
    }

    fn covers(&self, url: &Url, port: Option<u16>) -> bool {
        let is_at = |own: Option<u16>| own.is_none() || own == port;
        match (self, url.host()) {
            (Entry::Any, _) => true,
            (Entry::Name(name, own), Some(Host::Domain(domain))) => {
                let domain = domain.trim_end_matches('.');
                let below = domain.strip_suffix(name.as_str());
                is_at(*own) && below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
            }
            (Entry::Network(network, bits, own), Some(Host::Ipv4(address))) => {
                is_at(*own) && shares_bits(*network, address.into(), *bits)
            }
            (Entry::Network(network, bits, own), Some(Host::Ipv6(address))) => {
                is_at(*own) && shares_bits(*network, address.into(), *bits)
            }
            _ => false,
        }
    }
}

/// Returns an address without brackets.
fn bare(address: &str) -> &str {
    address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address)
}

fn shares_bits(network: IpAddr, address: IpAddr, bits: u32) -> bool {
    let differing = match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => u128::from(network.to_bits() ^ address.to_bits()) << 96,
        (IpAddr::V6(network), IpAddr::V6(address)) => network.to_bits() ^ address.to_bits(),
        _ => return false,
    };
    differing.leading_zeros() >= bits || differing == 0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_networks_are_covered() {
        for (list, url, expected) in [
            ("", "https://a.example/", false),
            ("*", "https://a.example/", true),
            ("example.com", "https://EXAMPLE.com/", true),
            ("example.com", "https://npm.example.com./", true),
            (".example.com", "https://example.com/", true),
            ("*.example.com", "https://npm.example.com/", true),
            ("example.com", "https://badexample.com/", false),
            ("a.test, example.com", "https://example.com:8443/", true),
            ("a.test example.com:8443", "https://example.com:8443/", true),
            ("example.com:8443", "https://example.com/", false),
            ("example.com:443", "https://example.com/", true),
            ("10.0.0.0/8", "http://10.1.2.3/", true),
            ("10.0.0.0/8", "http://11.1.2.3/", false),
            ("10.1.2.3", "http://10.1.2.3:80/", true),
            ("10.1.2.3:81", "http://10.1.2.3:80/", false),
            ("10.1.2.3", "http://10.1.2.4/", false),
            ("0.0.0.0/0", "http://10.1.2.4/", true),
            ("::1", "http://[::1]/", true),
            ("[fd00::1]:81", "http://[fd00::1]:81/", true),
            ("fd00::/8", "http://[fd12::1]/", true),
            ("fd00::/8", "http://[fe12::1]/", false),
            ("/8,:,.,*.,x:y", "http://x/", false),
        ] {
            assert_eq!(NoProxy::parse(list).covers(&Url::parse(url).unwrap()), expected, "{list:?} {url}");
        }
    }
}
