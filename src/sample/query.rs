//! The query string of a request to the replication endpoints: the parameters that npm accepts, and those that get 400.
//!
//! Not here: the meaning of the accepted parameters (`all_docs.rs`, `changes.rs`).

use percent_encoding::percent_decode_str;

/// npm's default and largest page.
const DEFAULT_LIMIT: usize = 1000;
const LARGEST_LIMIT: usize = 10_000;

/// The request gets 400 `"Bad Request"` from npm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused;

/// A boundary key: JSON strings sort by their bytes, everything else before every name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    NoString(String),
    Text(String),
}

/// Returns the parameters in their order, decoded. `;` separates as `&` does.
pub(super) fn parameters(query: &str) -> Result<Vec<(String, String)>, Refused> {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8().map(|text| text.into_owned()).map_err(|_| Refused)
    };
    query
        .split(['&', ';'])
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

pub(super) fn key(json: &str) -> Result<Key, Refused> {
    match serde_json::from_str::<serde_json::Value>(json).map_err(|_| Refused)? {
        serde_json::Value::String(text) => Ok(Key::Text(text)),
        _ => Ok(Key::NoString(json.to_owned())),
    }
}

pub(super) fn keys(json: &str) -> Result<Vec<Key>, Refused> {
    let values: Vec<&serde_json::value::RawValue> = serde_json::from_str(json).map_err(|_| Refused)?;
    values.into_iter().map(|value| key(value.get())).collect()
}

pub(super) fn boolean(text: &str) -> Result<bool, Refused> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Ok(true),
        _ if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(Refused),
    }
}

pub(super) fn number(text: &str) -> Result<u64, Refused> {
    text.parse().map_err(|_| Refused)
}

/// Returns a page's limit; the default if none is given.
pub(super) fn limit(text: Option<&str>) -> Result<usize, Refused> {
    let limit = text.map_or(Ok(DEFAULT_LIMIT as u64), number)?;
    usize::try_from(limit).ok().filter(|limit| *limit <= LARGEST_LIMIT).ok_or(Refused)
}
