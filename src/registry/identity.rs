//! Finds the name that a body claims, from its first members, without decoding the rest.

use std::borrow::Cow;

use crate::npm::json_element::{ElementEnd, white_space};

/// Returns the name in the first of the members `_id` and `name` that is a string; `None` if there is none or the body
/// is no JSON object. npm's documents begin with them, so little is read.
pub(super) fn claimed_name(document: &[u8]) -> Option<Cow<'_, str>> {
    let mut rest = skip(document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document)).strip_prefix(b"{")?;
    loop {
        rest = skip(rest);
        let key = element(rest)?;
        if !key.starts_with(b"\"") {
            return None;
        }
        rest = skip(rest.get(key.len()..)?).strip_prefix(b":")?;
        rest = skip(rest);
        let value = element(rest)?;
        if matches!(key, b"\"_id\"" | b"\"name\"") && value.starts_with(b"\"") {
            return text(value);
        }
        rest = skip(rest.get(value.len()..)?).strip_prefix(b",")?;
    }
}

/// Facts about the end of a body beside its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    /// Whether the protocol confirms the end.
    pub(super) is_certain: bool,
    /// Whether the lake holds a document of this name.
    pub(super) is_held: bool,
    /// Whether this is the last attempt.
    pub(super) is_last: bool,
}

impl End {
    /// Returns whether the body was not cut short. A proxy can cut a body after an inner brace and set a new
    /// length, and the protocol then confirms the wrong end. Such a body is accepted on the last attempt only, and never
    /// if the lake holds a document.
    pub(super) fn is_whole(self, document: &[u8]) -> bool {
        if !self.is_certain {
            return is_closed(document) && is_balanced(document);
        }
        let seems_whole = match self.is_held {
            true => is_balanced(document),
            false => has_even_braces(document) || self.is_last,
        };
        (is_closed(document) && seems_whole) || is_no_beginning(document)
    }
}

/// Returns whether the last character closes an object, as it must.
fn is_closed(document: &[u8]) -> bool {
    document.trim_ascii_end().ends_with(b"}")
}

/// Returns whether as many braces close as open, including those in texts. A truncated document lacks some, and
/// counting is many times faster than parsing. A text that contains a brace makes a complete document uneven.
fn has_even_braces(document: &[u8]) -> bool {
    let count = |brace| memchr::memchr_iter(brace, document).count();
    count(b'{') == count(b'}')
}

/// Returns whether every bracket and quote is closed at the end and not before. Used if the protocol does not mark the
/// end of a body: a broken connection can end it anywhere.
fn is_balanced(document: &[u8]) -> bool {
    let text = skip(document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document)).trim_ascii_end();
    element(text).is_some_and(|element| element.len() == text.len())
}

/// Returns whether no packument can begin like this, so that the body is not a truncated packument: a whole object with
/// more behind it, or JSON of another kind.
fn is_no_beginning(document: &[u8]) -> bool {
    let text = skip(document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document));
    match text.first() {
        Some(b'{') => element(text).is_some(),
        _ => serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok(),
    }
}

fn skip(bytes: &[u8]) -> &[u8] {
    bytes.get(white_space(bytes)..).unwrap_or_default()
}

fn element(bytes: &[u8]) -> Option<&[u8]> {
    let length = ElementEnd::default().find(bytes)?;
    bytes.get(..length).filter(|element| !element.is_empty())
}

/// Decodes a string. `None` if it is not Unicode text: such a name cannot be compared.
fn text(string: &[u8]) -> Option<Cow<'_, str>> {
    let inner = string.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if inner.contains(&b'\\') {
        return serde_json::from_slice::<String>(string).ok().map(Cow::Owned);
    }
    std::str::from_utf8(inner).ok().map(Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(document in prop::collection::vec(prop::sample::select(&b"{}[]\",:\\ _idname0\xff"[..]), 0..60)) {
            // A claimed name occurs in the text, unless it is escaped there.
            if let Some(Cow::Borrowed(name)) = claimed_name(&document) {
                prop_assert!(String::from_utf8_lossy(&document).contains(name));
            }
            let _ = is_balanced(&document);
        }
    }

    #[test]
    fn the_first_name_counts() {
        for (document, name) in [
            (r#"{"_id":"a","name":"b"}"#, Some("a")),
            (r#" { "versions" : {"1.0.0":{"name":"x"}} , "name" : "@s/\u0062" } "#, Some("@s/b")),
            (r#"{"_id":null,"name":7,"x":1}"#, None),
            (r#"{"_id":12,"name":"b"}"#, Some("b")),
            (r#"{"name":"\ud800"}"#, None),
            (r#"{"versions":{"name":"x""#, None),
            ("[]", None),
            ("{}", None),
            ("", None),
            ("{,}", None),
            (r#"{"a"1}"#, None),
        ] {
            assert_eq!(claimed_name(document.as_bytes()).as_deref(), name, "{document}");
        }
    }

    #[test]
    fn a_cut_document_is_not_closed() {
        assert!(is_closed(b"{\"a\":1}\r\n"));
        assert!(!is_closed(b"{\"a\":{"));
        assert!(!is_closed(b""));
        let braces = |opening: usize, closing: usize| ["{".repeat(opening), "}".repeat(closing)].concat();
        assert!(has_even_braces(braces(1_000, 1_000).as_bytes()) && !has_even_braces(braces(1_000, 744).as_bytes()));
        assert!(has_even_braces(b"{\"a\":{}}") && !has_even_braces(b"{\"a\":{}"));
        assert!(is_balanced(b"\n{\"a\":{\"b\":\"}\"}} "));
        assert!(!is_balanced(b"{\"a\":{}"));
        assert!(!is_balanced(b"{\"a\":{}}}"));
        assert!(!is_balanced(b""));
    }

    #[test]
    fn a_body_that_cannot_begin_a_packument_is_not_truncated() {
        for other in [" null\n", "\"Not Found\"", "[1]", "{\"a\":[]}{", "{}]"] {
            assert!(is_no_beginning(other.as_bytes()), "{other}");
        }
        for beginning in ["", " ", "{", "{\"a\":\"}", "{\"a\":{}", "[{\"a\":1}", "<p>", "not found", "\"abc"] {
            assert!(!is_no_beginning(beginning.as_bytes()), "{beginning}");
        }
    }
}
