//! One page of `_all_docs`: a view of a range of the world's names, in byte order.
//!
//! Not here: HTTP. A row exists because its package exists, never because a client asked for its key.

use super::json::push_quoted;
use super::query::{self, Key, Refused};
use super::world::{Package, World};

/// The rough size of a row, to build a page without growing the buffer.
const ROW_BYTES: usize = 140;

#[derive(Debug, Default)]
struct Request {
    start: Option<Key>,
    end: Option<Key>,
    keys: Option<Vec<Key>>,
    includes_end: bool,
    descending: bool,
    limit: usize,
}

impl Request {
    /// Reads the parameters. Of repeated parameters the last counts, as in CouchDB. It refuses undocumented parameters:
    /// npm's behaviour with them is not known.
    fn parse(query: &str) -> Result<Self, Refused> {
        let (mut limit, mut start_id) = (None, None);
        let mut request = Request { includes_end: true, ..Request::default() };
        for (name, value) in query::parameters(query)? {
            match name.as_str() {
                "startkey" | "start_key" => request.start = Some(query::key(&value)?),
                "endkey" | "end_key" => request.end = Some(query::key(&value)?),
                "key" => {
                    let key = query::key(&value)?;
                    request.start = Some(key.clone());
                    request.end = Some(key);
                }
                "keys" => request.keys = Some(query::keys(&value)?),
                "startkey_docid" | "start_key_doc_id" => start_id = Some(Key::Text(value)),
                "inclusive_end" => request.includes_end = query::boolean(&value)?,
                "descending" => request.descending = query::boolean(&value)?,
                "limit" => limit = Some(value),
                _ => return Err(Refused),
            }
        }
        request.limit = query::limit(limit.as_deref())?;
        request.start = request.start.or(start_id);
        Ok(request)
    }
}

/// Returns the body of the response to `query`.
pub(super) fn page(world: &World, query: &str) -> Result<String, Refused> {
    let request = Request::parse(query)?;
    let packages = &world.packages;
    if let Some(keys) = &request.keys {
        return Ok(page_of_keys(world, keys, request.limit));
    }
    // Counts the rows before a key, or up to and with it: names are Text, and every other key sorts before them.
    let rank = |key: &Key, through: bool| match key {
        Key::NoString(_) => 0,
        Key::Text(text) => packages.partition_point(|package| {
            let order = (*package.name).cmp(text.as_str());
            if through { order.is_le() } else { order.is_lt() }
        }),
    };
    let total = packages.len();
    let (from, to) = if request.descending {
        let from = request.end.as_ref().map_or(0, |end| rank(end, !request.includes_end));
        (from, request.start.as_ref().map_or(total, |start| rank(start, true)))
    } else {
        let from = request.start.as_ref().map_or(0, |start| rank(start, false));
        (from, request.end.as_ref().map_or(total, |end| rank(end, request.includes_end)))
    };
    let offset = if request.descending { total - to } else { from };
    let range = packages.get(from..to).unwrap_or_default();
    let mut body = open(total, &offset.to_string(), range.len().min(request.limit));
    if request.descending {
        push_rows(&mut body, range.iter().rev().take(request.limit));
    } else {
        push_rows(&mut body, range.iter().take(request.limit));
    }
    body.push_str("\n]}\n");
    Ok(body)
}

fn page_of_keys(world: &World, keys: &[Key], limit: usize) -> String {
    let mut body = open(world.packages.len(), "null", keys.len());
    for (index, key) in keys.iter().take(limit).enumerate() {
        body.push_str(if index == 0 { "\n" } else { ",\n" });
        let found = match key {
            Key::Text(name) => world.find(name),
            Key::NoString(_) => None,
        };
        match (found, key) {
            (Some(package), _) => push_row(&mut body, package),
            (None, Key::Text(name)) => push_missing(&mut body, &super::json::quoted(name)),
            (None, Key::NoString(json)) => push_missing(&mut body, json),
        }
    }
    body.push_str("\n]}\n");
    body
}

fn open(total: usize, offset: &str, row_count: usize) -> String {
    let mut body = String::with_capacity(row_count * ROW_BYTES + 64);
    body.push_str(&format!("{{\"total_rows\":{total},\"offset\":{offset},\"rows\":["));
    body
}

fn push_rows<'a>(body: &mut String, packages: impl Iterator<Item = &'a Package>) {
    for (index, package) in packages.enumerate() {
        body.push_str(if index == 0 { "\n" } else { ",\n" });
        push_row(body, package);
    }
}

fn push_row(body: &mut String, package: &Package) {
    body.push_str("{\"id\":");
    let start = body.len();
    push_quoted(body, &package.name);
    let end = body.len();
    body.push_str(",\"key\":");
    body.extend_from_within(start..end);
    body.push_str(",\"value\":{\"rev\":");
    push_quoted(body, &package.revision());
    body.push_str("}}");
}

fn push_missing(body: &mut String, key: &str) {
    body.push_str(&format!("{{\"key\":{key},\"error\":\"not_found\"}}"));
}
