//! A bucket and the way to it, without its secrets: for the client that is built, and for errors. Not here: the client
//! (`s3`, `gcs`).

use std::collections::BTreeMap;

use object_store::path::Path as ObjectPath;
use url::Url;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::store::StoreOptions;

/// The most characters of a bucket's name. GCS allows the longest ones, with dots.
const MAX_BUCKET_CHARACTERS: usize = 222;

/// The company, or the protocol, behind a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::store) enum Provider {
    /// `s3://`: Amazon S3, or a server that is compatible with it.
    S3,
    /// `r2://`: Cloudflare R2, by the protocol of S3.
    R2,
    /// `gs://`: Google Cloud Storage, by its XML API.
    Gcs,
}

impl Provider {
    /// Returns the scheme of its URLs.
    pub(in crate::store) fn scheme(self) -> &'static str {
        match self {
            Provider::S3 => "s3",
            Provider::R2 => "r2",
            Provider::Gcs => "gs",
        }
    }

    /// Returns the provider of a scheme; `None` for a scheme of something else.
    pub(in crate::store) fn of_scheme(scheme: &str) -> Option<Provider> {
        [Provider::S3, Provider::R2, Provider::Gcs].into_iter().find(|provider| provider.scheme() == scheme)
    }
}

/// The location of a lake in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct BucketUrl {
    pub(in crate::store) provider: Provider,
    pub(in crate::store) bucket: String,
    /// The folder of the lake; empty for the whole bucket.
    pub(in crate::store) prefix: ObjectPath,
    /// The location as a URL that ends in `/`.
    pub(in crate::store) url: Url,
}

impl BucketUrl {
    /// Parses the part of a location behind `SCHEME://`. The prefix is taken literally, as the tools of the providers
    /// do: `%20` is three characters.
    ///
    /// Fails, of kind Input, for a name that no bucket can have, and for a prefix with `.` or `..`.
    pub(in crate::store) fn parse(provider: Provider, rest: &str) -> Result<BucketUrl> {
        let scheme = provider.scheme();
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.contains('@') {
            // It may be a secret, so it is not repeated.
            return Err(Error::input(format!("a {scheme}:// location holds no user or password"))
                .hint("credentials come from variables or files: docs/buckets.md says which"));
        }
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        let has_ends = bucket.starts_with(|first: char| first.is_ascii_alphanumeric());
        if !has_ends || bucket.len() > MAX_BUCKET_CHARACTERS || !bucket.chars().all(is_plain) {
            return Err(Error::input(format!("{bucket:?} is not the name of a bucket"))
                .hint(format!("give {scheme}://BUCKET or {scheme}://BUCKET/FOLDER")));
        }
        let parts: Vec<&str> = prefix.split('/').filter(|part| !part.is_empty()).collect();
        let prefix = ObjectPath::parse(parts.join("/"))
            .or_error(ErrorKind::Input, || format!("{prefix:?} cannot be a folder of a bucket"))?;
        let mut url = Url::parse(&format!("{scheme}://{bucket}/"))
            .or_error(ErrorKind::Input, || format!("{scheme}://{bucket} is not a URL"))?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(parts).push("");
        }
        Ok(BucketUrl { provider, bucket: bucket.to_owned(), prefix, url })
    }
}

/// The source of the credentials of a bucket's client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Source {
    /// An access key or a token that the user gave, or the key file of a service account.
    Given,
    /// A token of a user that is renewed with a stored secret: `gcloud auth application-default login`.
    User,
    /// A token that the environment renews in a file: EKS, GitHub Actions.
    WebIdentity,
    /// The server of a container: ECS, EKS.
    Container,
    /// The metadata server of a virtual machine.
    Machine,
    /// No credentials: requests are not signed.
    Anonymous,
}

/// A bucket and the way to it. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Target {
    pub(in crate::store) provider: Provider,
    pub(in crate::store) bucket: String,
    /// The address of the server, as the user would give it.
    pub(in crate::store) server: String,
    /// Whether the user chose the server, so that the list prices of the provider may not hold.
    pub(in crate::store) is_own_server: bool,
    /// The region that requests are signed for; empty where there is none.
    pub(in crate::store) region: String,
    pub(in crate::store) source: Source,
    /// The address of the credentials' server, if a variable names it.
    pub(in crate::store) credentials_url: Option<String>,
    /// Whether a metadata server that gives no session is asked without one: the option `imdsv1_fallback`.
    pub(in crate::store) has_old_metadata: bool,
    /// The variable, option or file that the credentials came from, if there is one.
    pub(in crate::store) credentials_name: Option<String>,
}

impl Target {
    /// Returns the bucket as a URL.
    pub(in crate::store) fn name(&self) -> String {
        format!("{}://{}", self.provider.scheme(), self.bucket)
    }
}

/// The texts of the environment. A variable that is set but empty counts as unset.
pub(super) struct Variables<'a>(pub(super) &'a BTreeMap<String, String>);

impl<'a> Variables<'a> {
    pub(super) fn of(options: &'a StoreOptions) -> Variables<'a> {
        Variables(&options.environment)
    }

    /// Returns the first of these variables that is set.
    pub(super) fn any(&self, names: &[&str]) -> Option<&'a str> {
        names.iter().find_map(|name| Some(self.0.get(*name)?.trim()).filter(|text| !text.is_empty()))
    }

    /// Returns all that are set and begin with `prefix`, with their names in small letters.
    pub(super) fn with_prefix(&self, prefix: &'a str) -> impl Iterator<Item = (String, &'a str)> {
        let set = self.0.iter().map(|(name, text)| (name, text.trim()));
        let set = set.filter(move |(name, text)| name.starts_with(prefix) && !text.is_empty());
        set.map(|(name, text)| (name.to_ascii_lowercase(), text))
    }
}

/// Fails, of kind Input, for a variable or an option with a control character, if the client may put it into a header.
/// `is_used` says whether a client knows a name, in small letters. The key of a service account is JSON, which may have
/// lines.
pub(super) fn check_texts(options: &StoreOptions, is_used: impl Fn(&str) -> bool) -> Result<()> {
    let is_plain = |name: &str| is_used(name) && !name.ends_with("service_account_key");
    let mut all = options.environment.iter().chain(&options.options);
    match all.find(|(name, text)| has_control(text.trim()) && is_plain(&name.to_ascii_lowercase())) {
        Some((name, _)) => Err(control_character(name)),
        None => Ok(()),
    }
}

/// Returns the error for a setting that has a control character. It may be a secret, so it is not repeated.
pub(super) fn control_character(name: &str) -> Error {
    Error::input(format!("{name} holds a line break or another control character")).hint("set it again without it")
}

/// Returns whether a text has a character that no header of a request can have.
pub(super) fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// Checks the address of a server.
///
/// Fails, of kind Input, unless it is an `http://` or `https://` URL without user, password and query.
pub(super) fn checked_endpoint(text: &str) -> Result<&str> {
    let hint = "give an address as in https://storage.example.com or http://127.0.0.1:9000, without the bucket";
    let text = text.trim_end_matches('/');
    match Url::parse(text) {
        // It may be a secret, so it is not repeated.
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Err(Error::input("the endpoint of the lake holds a user or a password").hint(hint))
        }
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() => Ok(text),
        _ => Err(Error::input(format!("the endpoint {text:?} is not the address of a server")).hint(hint)),
    }
}

/// Returns the error for an option that the client does not know, or cannot use.
pub(super) fn unknown_option(provider: Provider, key: &str) -> Error {
    Error::input(format!("--lake-option {key} is not an option of a {}:// lake", provider.scheme()))
        .hint("docs/buckets.md lists the usual ones, as in --lake-option timeout=60s")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_location_has_a_bucket_and_a_literal_prefix() {
        for (rest, bucket, prefix, url) in [
            ("lake", "lake", "", "s3://lake/"),
            ("lake/", "lake", "", "s3://lake/"),
            ("my.lake_1/a//b/", "my.lake_1", "a/b", "s3://my.lake_1/a/b/"),
            ("Lake/a b%20ü", "Lake", "a b%20ü", "s3://Lake/a%20b%2520%C3%BC/"),
        ] {
            let parsed = BucketUrl::parse(Provider::S3, rest).unwrap();
            let told = (parsed.bucket.as_str(), parsed.prefix.as_ref(), parsed.url.as_str());
            assert_eq!(told, (bucket, prefix, url));
            // The path of the URL is the prefix: those who know the URL only, find the objects.
            assert_eq!(ObjectPath::from_url_path(parsed.url.path()).unwrap(), parsed.prefix);
        }
        for rest in ["", "/x", "a b/c", "-a/c", "lake/a/../b", "lake/./b", "lake:80/a"] {
            assert_eq!(BucketUrl::parse(Provider::Gcs, rest).unwrap_err().kind(), ErrorKind::Input, "{rest}");
        }
    }

    #[test]
    fn a_secret_in_a_location_or_an_endpoint_is_refused_and_not_repeated() {
        let error = BucketUrl::parse(Provider::S3, "KEY:hush@lake/x").unwrap_err();
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        let error = checked_endpoint("https://KEY:hush@example.com").unwrap_err();
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        assert_eq!(checked_endpoint("http://127.0.0.1:9000/").unwrap(), "http://127.0.0.1:9000");
        for text in ["example.com", "s3://x", "", "https://example.com?x=1"] {
            assert!(checked_endpoint(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_empty_variable_is_unset() {
        let set = BTreeMap::from([("A".to_owned(), " ".to_owned()), ("B".to_owned(), " b\n".to_owned())]);
        assert_eq!(Variables(&set).any(&["A", "B"]), Some("b"));
        assert_eq!(Variables(&set).any(&["A", "C"]), None);
        assert_eq!(Variables(&set).with_prefix("").collect::<Vec<_>>(), [("b".to_owned(), "b")]);
    }
}
