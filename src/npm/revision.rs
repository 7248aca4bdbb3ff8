//! `_rev`: names one edit of a document. Not a version of a package.

use std::fmt;

use super::json_selection::member;

/// CouchDB's revision text, `<generation>-<digest>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(Box<str>);

impl Revision {
    /// Accepts any text; one without a numeric prefix has no generation.
    pub fn new(rev: impl Into<Box<str>>) -> Self {
        Revision(rev.into())
    }

    /// Returns the `_rev` of a document as it was served; `None` where it has none, or is no JSON object in UTF-8.
    pub fn of_document(document: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(document).ok()?;
        let rev = member(text.strip_prefix('\u{feff}').unwrap_or(text), "_rev").ok()??;
        serde_json::from_str::<String>(rev).ok().map(Revision::new)
    }

    /// Returns the revision as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the number before the dash: the number of edits of the document.
    pub fn generation(&self) -> Option<u64> {
        generation(&self.0)
    }

    /// Returns whether this is an older edit than `announced`: its generation is smaller. Unknown generations are never
    /// older.
    pub fn is_older_than(&self, announced: &Revision) -> bool {
        matches!((self.generation(), announced.generation()), (Some(own), Some(other)) if own < other)
    }
}

/// Returns the number before the dash of a `_rev`.
pub fn generation(rev: &str) -> Option<u64> {
    rev.split_once('-')?.0.parse().ok()
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}

impl From<&str> for Revision {
    fn from(rev: &str) -> Self {
        Revision::new(rev)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_of_a_document_is_found() {
        for (document, rev) in [
            (r#"{"_id":"a","_rev":"3-a","versions":{"1.0.0":{"_rev":"9-z"}}}"#, Some("3-a")),
            ("\u{feff}{\"versions\":{}, \"_rev\" : \"4-\\u0062\"}", Some("4-b")),
            (r#"{"_rev":7}"#, None),
            (r#"{"_rev":"1-a""#, None),
            ("[]", None),
            ("", None),
        ] {
            assert_eq!(Revision::of_document(document.as_bytes()), rev.map(Revision::from), "{document}");
        }
        assert_eq!(Revision::of_document(b"{\"_rev\":\"\xff\"}"), None);
    }

    #[test]
    fn only_a_smaller_number_is_older() {
        let announced = Revision::from("10-a");
        assert!(Revision::from("9-z").is_older_than(&announced));
        assert!(!Revision::from("10-b").is_older_than(&announced));
        assert!(!Revision::from("11-a").is_older_than(&announced));
        assert!(!Revision::from("x").is_older_than(&announced));
    }
}
