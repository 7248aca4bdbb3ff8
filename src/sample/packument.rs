//! The form of a package's document in a response, and its validators: full or abbreviated, gzip or not, 304.
//!
//! Not here: the bytes themselves (`document.rs`).

use std::sync::Arc;

use super::answer::{Answer, JSON};
use super::document::Document;
use super::edits::time_of_change;
use super::json::Object;
use super::record::Asked;
use super::world::World;

const INSTALL_FORM: &str = "application/vnd.npm.install-v1+json";

/// The content of a package's address. It owns its parts: the world is not locked while a response is made.
pub(super) enum Found {
    Nothing,
    Blocked,
    Document { document: Arc<Document>, seq: u64 },
}

/// The document that is looked up in a package's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Instead {
    Itself,
    /// The revision before, if there was one.
    Previous,
    /// Another package's document; the next one's if none is named.
    Other(Option<String>),
}

pub(super) fn find(world: &World, name: &str, instead: &Instead) -> Found {
    if world.blocked.contains(name) {
        return Found::Blocked;
    }
    let package = match instead {
        Instead::Other(Some(other)) => world.find(other),
        Instead::Other(None) => {
            let next = world.packages.partition_point(|package| *package.name <= *name);
            world.packages.get(next).or(world.packages.first())
        }
        Instead::Itself | Instead::Previous => world.find(name),
    };
    if let Some(package) = package {
        let previous = package.previous.clone().filter(|_| *instead == Instead::Previous);
        return Found::Document { document: previous.unwrap_or_else(|| package.document()), seq: package.seq };
    }
    match world.departed.get(name).and_then(|departed| Some((departed.tombstone.clone()?, departed.seq))) {
        Some((document, seq)) => Found::Document { document, seq },
        None => Found::Nothing,
    }
}

impl Found {
    /// Returns whether the response needs no compressing or deriving.
    pub(super) fn is_ready(&self, asked: &Asked, may_compress: bool) -> bool {
        match self {
            Found::Nothing | Found::Blocked => true,
            Found::Document { document, .. } => {
                document.is_ready(wants_abbreviated(asked), may_compress && asked.accepts_gzip())
            }
        }
    }

    /// Returns the packument in the requested form.
    pub(super) fn packument(&self, asked: &Asked, may_compress: bool) -> Answer {
        let (document, seq) = match self {
            Found::Nothing => return Answer::not_found(),
            Found::Blocked => return Answer::unavailable_for_legal_reasons(),
            Found::Document { document, seq } => (document, *seq),
        };
        let abbreviated = wants_abbreviated(asked);
        let form = if abbreviated { document.abbreviated() } else { document.full() };
        let compressed = may_compress && asked.accepts_gzip();
        // The CDN compresses on the way out, which makes a strong tag weak.
        let tag = if compressed { format!("W/\"{}\"", form.tag()) } else { format!("\"{}\"", form.tag()) };
        let unchanged = asked.if_none_match.as_deref().is_some_and(|validators| matches(validators, form.tag()));
        let mut answer = if unchanged {
            Answer { status: 304, headers: Vec::new(), body: bytes::Bytes::new() }
        } else if compressed {
            Answer::new(200, content_type(abbreviated), form.gzip().clone()).with("content-encoding", "gzip")
        } else {
            Answer::new(200, content_type(abbreviated), form.plain().clone())
        };
        answer = answer.with("etag", tag).with("cache-control", "public, max-age=300");
        if let Some(time) = time_of_change(seq) {
            answer = answer.with("last-modified", time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
        }
        answer.with("vary", "accept-encoding, accept")
    }

    /// Returns only the tags of the document, without validators.
    pub(super) fn dist_tags(&self) -> Answer {
        match self {
            Found::Nothing => Answer::not_found(),
            Found::Blocked => Answer::unavailable_for_legal_reasons(),
            Found::Document { document, .. } => {
                let tags = Object::parse(document.full().plain())
                    .and_then(|document| document.get("dist-tags").map(str::to_owned));
                tags.map_or_else(Answer::not_found, |tags| Answer::new(200, JSON, tags))
            }
        }
    }
}

/// Returns whether the client wants the abbreviated form: any mention of the install form, or any `*/*`, whatever the q
/// values.
fn wants_abbreviated(asked: &Asked) -> bool {
    asked.accept.as_deref().is_some_and(|accept| accept.contains("install-v1") || accept.contains("*/*"))
}

fn content_type(abbreviated: bool) -> &'static str {
    if abbreviated { INSTALL_FORM } else { JSON }
}

fn matches(validators: &str, tag: &str) -> bool {
    validators
        .split(',')
        .map(str::trim)
        .any(|validator| validator == "*" || validator.strip_prefix("W/").unwrap_or(validator).trim_matches('"') == tag)
}
