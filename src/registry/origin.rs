//! An origin: the registry to read, its name in the lake, and the URLs of its three parts.
//!
//! The only file that names npm's hosts.

use url::{Host, Url};

use crate::error::{Context, Error, ErrorKind, Result};

/// npm's name in lakes and in SQL.
const NPM_NAME: &str = "npm";

/// Database information at this URL, `_all_docs` and `_changes` below it (npm-facts A.2).
const NPM_REPLICATE_URL: &str = "https://replicate.npmjs.com/registry/";

/// Packuments below this URL (npm-facts A.5).
const NPM_REGISTRY_URL: &str = "https://registry.npmjs.org/";

/// Download counts below this URL (npm-facts F.1).
const NPM_DOWNLOADS_URL: &str = "https://api.npmjs.org/";

/// Precedes the name of an origin that would begin with a digit, or be taken for npm.
const NAME_PREFIX: &str = "at_";

/// The source of documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its folder in the lake and its schema in SQL: `[a-z0-9_]+`, beginning with a letter.
    pub name: String,
    /// The database: information at this URL itself, `_all_docs` below it. Ends with a slash.
    pub replicate_url: Url,
    /// Packuments are below it. Ends with a slash.
    pub registry_url: Url,
    /// Download counts are below it, at `downloads/`. Ends with a slash.
    pub downloads_url: Url,
}

impl Origin {
    /// Returns npm's public registry.
    pub fn npm() -> Result<Origin> {
        Origin::parse(NPM_NAME, None)
    }

    /// Parses an origin as a user gives it: `npm`, or the URL of one server that has both documents and packuments.
    /// `registry` is a separate URL for the packuments. A URL of npm's own hosts means `npm`.
    ///
    /// Fails, of kind Input, for text that is no http or https URL, and for a URL with credentials, query or fragment.
    pub fn parse(text: &str, registry: Option<&str>) -> Result<Origin> {
        let mut origin = if text == NPM_NAME {
            let [replicate_url, registry_url, downloads_url] =
                [parse_url(NPM_REPLICATE_URL)?, parse_url(NPM_REGISTRY_URL)?, parse_url(NPM_DOWNLOADS_URL)?];
            Origin { name: NPM_NAME.to_owned(), replicate_url, registry_url, downloads_url }
        } else {
            let url = parse_url(text)?;
            if is_npm_host(&url) {
                return Origin::parse(NPM_NAME, registry);
            }
            Origin { name: name_of(&url), replicate_url: url.clone(), registry_url: url.clone(), downloads_url: url }
        };
        if let Some(registry) = registry {
            let url = parse_url(registry)?;
            // A token must not go to npm unencrypted, whatever scheme was typed.
            origin.registry_url = if is_npm_host(&url) { parse_url(NPM_REGISTRY_URL)? } else { url };
        }
        Ok(origin)
    }

    /// Takes download counts from this URL instead of the origin's own. Fails as [`Origin::parse`] does.
    pub fn with_downloads(mut self, url: &str) -> Result<Origin> {
        let url = parse_url(url)?;
        self.downloads_url = if is_npm_host(&url) { parse_url(NPM_DOWNLOADS_URL)? } else { url };
        Ok(self)
    }
}

/// Returns the URL that `NPM_TOKEN` is for.
pub(super) fn npm_token_url() -> Result<Url> {
    parse_url(NPM_REGISTRY_URL)
}

/// Returns whether a server runs on this machine: then it is the user's own, and public rate limits do not apply.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => {
            address.is_loopback() || address.to_ipv4_mapped().is_some_and(|mapped| mapped.is_loopback())
        }
        Some(Host::Domain(domain)) => {
            let domain = domain.strip_suffix('.').unwrap_or(domain);
            domain == "localhost" || domain.ends_with(".localhost")
        }
        None => false,
    }
}

/// Returns the host and port of a URL, the key of limits and budgets.
pub fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Returns a text that was given as a URL as it may be shown: without user, query and fragment, which may be secrets.
pub fn shown_url(text: &str) -> String {
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let (url, rest) = text.split_at(end);
    let hidden = if rest.is_empty() { "" } else { "…" };
    let (mark, url) = (rest.get(..1).unwrap_or_default(), url);
    match url.rsplit_once('@') {
        Some((before, place)) => {
            let scheme = before.split_once("//").map_or(String::new(), |(scheme, _)| format!("{scheme}//"));
            format!("{scheme}…@{place}{mark}{hidden}")
        }
        None => format!("{url}{mark}{hidden}"),
    }
}

fn is_npm_host(url: &Url) -> bool {
    [NPM_REPLICATE_URL, NPM_REGISTRY_URL, NPM_DOWNLOADS_URL]
        .iter()
        .any(|known| Url::parse(known).is_ok_and(|known| known.host() == url.host() && known.port() == url.port()))
}

fn parse_url(text: &str) -> Result<Url> {
    const HINT: &str = "an origin is `npm` or a URL such as https://registry.example.com";
    let mut url = Url::parse(text)
        .or_error(ErrorKind::Input, || format!("{:?} is neither `npm` nor a URL", shown_url(text)))
        .map_err(|error| error.hint(HINT))?;
    if !url.username().is_empty() || url.password().is_some() {
        // Not shown again: it would be written to logs and the lake.
        return Err(Error::input("the URL of an origin holds a user name or a password")
            .hint("put credentials into .npmrc, as //host/path/:_authToken=…"));
    }
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(Error::input(format!("{:?} is no http or https URL", shown_url(text))).hint(HINT));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Error::input(format!("{:?} has a query or a fragment", shown_url(text))).hint(HINT));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// Returns the host, the port where it is not the scheme's, and the path, folded to `[a-z0-9_]`.
fn name_of(url: &Url) -> String {
    let mut name = String::new();
    for character in format!("{}/{}", host_of(url), url.path()).chars() {
        match character.to_ascii_lowercase() {
            plain @ ('a'..='z' | '0'..='9') => name.push(plain),
            _ if name.is_empty() || name.ends_with('_') => {}
            _ => name.push('_'),
        }
    }
    let name = name.trim_end_matches('_');
    if name == NPM_NAME || !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return format!("{NAME_PREFIX}{name}");
    }
    name.to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn npm_has_two_hosts_and_a_registry_can_be_chosen() {
        let npm = Origin::npm().unwrap();
        assert_eq!(npm.replicate_url.join("_all_docs").unwrap().path(), "/registry/_all_docs");
        assert_ne!(npm.replicate_url.host(), npm.registry_url.host());
        let mirrored = Origin::parse("npm", Some("http://localhost:4873/npm")).unwrap();
        assert_eq!((mirrored.name.as_str(), mirrored.replicate_url.clone()), ("npm", npm.replicate_url.clone()));
        assert_eq!(mirrored.registry_url.as_str(), "http://localhost:4873/npm/");
        assert_eq!(Origin::parse("https://registry.npmjs.org", None).unwrap(), npm);
        assert_eq!(Origin::parse("npm", Some("http://registry.npmjs.org")).unwrap(), npm);
        assert_eq!(mirrored.downloads_url, npm.downloads_url);
        assert_eq!(
            mirrored.with_downloads("http://localhost:1").unwrap().downloads_url.as_str(),
            "http://localhost:1/"
        );
        let mirror = Origin::parse("http://localhost:4873/npm", None).unwrap();
        assert_eq!(mirror.downloads_url, mirror.registry_url);
        assert_eq!(mirror.with_downloads("http://api.npmjs.org").unwrap().downloads_url, npm.downloads_url);
    }

    #[test]
    fn a_url_is_one_server_and_folds_to_a_name() {
        for (url, name) in [
            ("https://Registry.Example.com", "registry_example_com"),
            ("https://registry.example.com:443/", "registry_example_com"),
            ("http://127.0.0.1:5984/registry", "at_127_0_0_1_5984_registry"),
            ("http://[::1]:80/a/-/B", "at_1_a_b"),
            ("http://npm/", "at_npm"),
        ] {
            let origin = Origin::parse(url, None).unwrap();
            assert_eq!(origin.name, name, "{url}");
            assert_eq!(origin.replicate_url, origin.registry_url);
            assert!(origin.registry_url.path().ends_with('/'));
        }
    }

    #[test]
    fn an_invalid_origin_is_an_input_error_that_hides_secrets() {
        for text in ["", "nmp", "ftp://x/", "http://", "https://x/?a=1", "https://x/#y", "file:///etc"] {
            let error = Origin::parse(text, None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Input, "{text:?}");
            assert!(error.hint_text().is_some(), "{text:?}");
        }
        for text in [
            "https://me:secret@x/",
            "https://me:secret@x:bad/",
            "a b=https://me:secret@x/",
            "http:/me:secret@[/",
            "me:secret@x",
            "ftp://me@x/y:secret@z",
            "https://x/?token=secret",
            "https://x/#secret",
            "x/?secret",
        ] {
            let error = Origin::parse(text, None).unwrap_err();
            assert!(!error.report().contains("secret"), "{}", error.report());
        }
        assert_eq!(shown_url("http://a:b@c/d?e#f"), "http://…@c/d?…");
    }

    #[test]
    fn this_machine_is_known() {
        for (url, expected) in [
            ("http://127.9.0.1:1/", true),
            ("http://[::1]/", true),
            ("http://[::ffff:127.0.0.1]/", true),
            ("http://localhost/", true),
            ("http://npm.localhost./", true),
            ("http://localhost.example.com/", false),
            ("https://10.0.0.1/", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }
}
