//! The record of requests: a request as read, its target, and its record.
//!
//! Not here: responses.

use axum::http::request::Parts;
use axum::http::{HeaderName, header};
use percent_encoding::percent_decode_str;

use super::downloads::DownloadsPath;
use super::faults::Kind;

/// A request that the server responded to, or began to respond to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRequest {
    /// The number of requests before this one, since the server started.
    pub order: u64,
    /// `GET`, `HEAD`, …
    pub method: String,
    /// The path as it was sent, with its percent signs.
    pub path: String,
    /// The query as it was sent, empty when there was none.
    pub query: String,
    /// The target of the path.
    pub kind: Kind,
    /// The package that the path names.
    pub package: Option<String>,
    /// The header `Host`.
    pub host: Option<String>,
    /// The header `Accept`.
    pub accept: Option<String>,
    /// The header `Accept-Encoding`.
    pub accept_encoding: Option<String>,
    /// The header `If-None-Match`.
    pub if_none_match: Option<String>,
    /// The header `Authorization`.
    pub authorization: Option<String>,
    /// The header `User-Agent`.
    pub user_agent: Option<String>,
    /// Whether the header `Cache-Control` is `no-cache`.
    pub bypasses_caches: bool,
    /// The status of the response.
    pub status: u16,
    /// The announced size of the body, encoded as sent.
    pub body_size_bytes: u64,
    /// Whether a scripted fault or a limit of capacity made the response.
    pub faulty: bool,
}

/// The target of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Root,
    AllDocs,
    Changes,
    /// A single document below `/registry/`, which the replication host does not serve.
    Document,
    Packument(String),
    DistTags(String),
    Downloads(DownloadsPath),
    /// Another path, decoded.
    Nothing(String),
}

/// The parts of a request that a response depends on.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) target: Target,
    host: Option<String>,
    pub(super) accept: Option<String>,
    accept_encoding: Option<String>,
    pub(super) if_none_match: Option<String>,
    authorization: Option<String>,
    user_agent: Option<String>,
    pub(super) bypasses_caches: bool,
}

impl Asked {
    pub(super) fn read(parts: &Parts) -> Self {
        let text = |name: HeaderName| {
            parts.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let path = parts.uri.path();
        Asked {
            method: parts.method.to_string(),
            path: path.to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            target: target(path),
            host: text(header::HOST),
            accept: text(header::ACCEPT),
            accept_encoding: text(header::ACCEPT_ENCODING),
            if_none_match: text(header::IF_NONE_MATCH),
            authorization: text(header::AUTHORIZATION),
            user_agent: text(header::USER_AGENT),
            bypasses_caches: text(header::CACHE_CONTROL).is_some_and(|text| text.contains("no-cache")),
        }
    }

    pub(super) fn accepts_gzip(&self) -> bool {
        self.accept_encoding.as_deref().is_some_and(|accepted| {
            accepted.split(',').any(|coding| {
                let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
                let refused =
                    parameters.trim().strip_prefix("q=").is_some_and(|q| q.trim_matches(['0', '.']).is_empty());
                matches!(name.trim(), "gzip" | "*") && !refused
            })
        })
    }

    pub(super) fn kind(&self) -> Kind {
        match self.target {
            Target::AllDocs => Kind::Page,
            Target::Changes => Kind::Changes,
            Target::Packument(_) => Kind::Packument,
            Target::Root => Kind::Root,
            Target::Downloads(_) => Kind::Downloads,
            Target::Document | Target::DistTags(_) | Target::Nothing(_) => Kind::Other,
        }
    }

    pub(super) fn package(&self) -> Option<&str> {
        match &self.target {
            Target::Packument(name) | Target::DistTags(name) => Some(name),
            Target::Downloads(path) => path.only_name(),
            _ => None,
        }
    }

    /// Returns whether the request is about this package, alone or among others.
    pub(super) fn names(&self, package: &str) -> bool {
        match &self.target {
            Target::Downloads(path) => path.names().any(|name| name == package),
            _ => self.package() == Some(package),
        }
    }

    pub(super) fn record(self, order: u64, status: u16, body_size_bytes: u64, faulty: bool) -> RecordedRequest {
        RecordedRequest {
            kind: self.kind(),
            package: self.package().map(str::to_owned),
            order,
            method: self.method,
            path: self.path,
            query: self.query,
            host: self.host,
            accept: self.accept,
            accept_encoding: self.accept_encoding,
            if_none_match: self.if_none_match,
            authorization: self.authorization,
            user_agent: self.user_agent,
            bypasses_caches: self.bypasses_caches,
            status,
            body_size_bytes,
            faulty,
        }
    }
}

/// Returns the target of a path. As CDNs do, it resolves dot segments after decoding: `/@x%2F..` is the root, and a
/// client that sends it requests another page than it meant.
fn target(path: &str) -> Target {
    let Ok(clear) = percent_decode_str(path).decode_utf8() else { return Target::Nothing(path.to_owned()) };
    let clear = resolve_dot_segments(&clear);
    match clear.as_str() {
        "/" | "/registry" | "/registry/" => return Target::Root,
        "/_all_docs" | "/registry/_all_docs" => return Target::AllDocs,
        "/_changes" | "/registry/_changes" => return Target::Changes,
        _ => {}
    }
    if let Some(path) = DownloadsPath::read(&clear) {
        return Target::Downloads(path);
    }
    if clear.starts_with("/registry/") {
        return Target::Document;
    }
    if let Some(resource) = clear.strip_prefix("/-/") {
        let package = resource.strip_prefix("package/").and_then(|rest| rest.strip_suffix("/dist-tags"));
        return package.map_or_else(|| Target::Nothing(clear.clone()), |name| Target::DistTags(name.to_owned()));
    }
    Target::Packument(clear.strip_prefix('/').unwrap_or(&clear).to_owned())
}

fn resolve_dot_segments(path: &str) -> String {
    if !path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return path.to_owned();
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn paths_are_aimed_as_npm_aims_them() {
        let packument = |name: &str| Target::Packument(name.to_owned());
        let downloads = |path: &str| Target::Downloads(DownloadsPath::read(path).unwrap());
        let cases = [
            ("/", Target::Root),
            ("/registry/", Target::Root),
            ("/registry/_all_docs", Target::AllDocs),
            ("/_changes", Target::Changes),
            ("/registry/lodash", Target::Document),
            ("/lodash", packument("lodash")),
            ("/@a%2Fb", packument("@a/b")),
            ("/%40a%2fb", packument("@a/b")),
            ("/@a/b", packument("@a/b")),
            ("/%C3%A9", packument("é")),
            ("/-", packument("-")),
            ("/100%25", packument("100%")),
            ("/-/package/@a%2Fb/dist-tags", Target::DistTags("@a/b".to_owned())),
            ("/downloads/range/last-week/@a%2Fb", downloads("/downloads/range/last-week/@a/b")),
            ("/downloads/point/2026-01-01:2026-01-31/a,b", downloads("/downloads/point/2026-01-01:2026-01-31/a,b")),
            ("/downloads/range/last-week/@x%2F..", downloads("/downloads/range/last-week/")),
            ("/downloads/range/last-week/..", packument("downloads/range")),
            ("/downloads", packument("downloads")),
            ("/-/all", Target::Nothing("/-/all".to_owned())),
            ("/@x%2F..", Target::Root),
            ("/@x/%2e%2E/_all_docs", Target::AllDocs),
            ("/..", Target::Root),
            ("/%ff", Target::Nothing("/%ff".to_owned())),
        ];
        for (path, expected) in cases {
            assert_eq!(target(path), expected, "{path}");
        }
    }
}
