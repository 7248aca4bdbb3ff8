//! The XML of a listing, before the client reads it. The client rejects a whole page if one key of it has an empty part, such
//! as `logs//1`. No lake has such keys, so this module removes them. Not here: listings (`objects/listed`).

use bytes::Bytes;
use object_store::path::Path;

/// The first bytes of a listing, which have the name of its element.
const HEAD_BYTES: usize = 1_024;
/// The elements that have a key, and the element of the key in each.
const ENTRIES: [[&str; 2]; 2] = [["Contents", "Key"], ["CommonPrefixes", "Prefix"]];

/// Returns whether a body is a listing.
pub(super) fn is_listing(body: &[u8]) -> bool {
    String::from_utf8_lossy(&body[..body.len().min(HEAD_BYTES)]).contains("<ListBucketResult")
}

/// Returns a listing without the keys that the client cannot use.
pub(super) fn with_valid_keys(body: Bytes) -> Bytes {
    let Ok(text) = std::str::from_utf8(&body) else { return body };
    let invalid: Vec<&str> =
        ENTRIES.iter().flat_map(|[entry, key]| elements(text, entry).filter(|found| !has_valid(found, key))).collect();
    if invalid.is_empty() {
        return body;
    }
    tracing::warn!(keys = invalid.len(), first = invalid[0], "keys that no lake can have are passed over");
    invalid.into_iter().fold(text.to_owned(), |text, entry| text.replacen(entry, "", 1)).into()
}

/// Returns the elements of a name, with their tags.
fn elements<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find(&begin)?;
        let length = rest[start..].find(&end)? + end.len();
        let (element, after) = rest[start..].split_at(length);
        rest = after;
        Some(element)
    })
}

fn has_valid(entry: &str, name: &str) -> bool {
    let key = elements(entry, name).next().and_then(|key| key.split_once('>')?.1.rsplit_once('<'));
    key.is_none_or(|(key, _)| {
        let key = unescaped(key);
        // A parsed path has no slash at its ends.
        Path::parse(&key).is_ok_and(|path| path.as_ref() == key.trim_end_matches('/'))
    })
}

/// Returns the text of an XML element.
pub(super) fn unescaped(text: &str) -> String {
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (escape, letter)| text.replace(escape, letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_no_lake_can_have_are_passed_over_and_others_stay() {
        let entry = |key: &str| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>");
        let prefix = |key: &str| format!("<CommonPrefixes><Prefix>{key}</Prefix></CommonPrefixes>");
        let page =
            |entries: &[String]| Bytes::from(format!("<ListBucketResult>{}</ListBucketResult>", entries.concat()));
        let valid = [entry("a/b"), entry("a/b&amp;c/"), entry("a b/\u{fc}%.txt"), prefix("a/"), prefix("c/d/")];
        assert_eq!(with_valid_keys(page(&valid)), page(&valid));
        let mut mixed = valid.to_vec();
        mixed.splice(1..1, [entry("a//b"), entry("/a"), entry("a/../b"), prefix("a//"), entry("a//b")]);
        assert_eq!(with_valid_keys(page(&mixed)), page(&valid));
        assert_eq!(with_valid_keys(Bytes::from_static(b"<Contents><Key>a//b")), "<Contents><Key>a//b");
        assert!(is_listing(b"<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"x\">") && !is_listing(b"<html>"));
    }
}
