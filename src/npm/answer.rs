//! A registry's answer for one name: a document, "not modified", or "no such document".

use bytes::Bytes;

/// The form of a packument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Representation {
    /// Everything, `Accept: application/json`.
    #[default]
    Full,
    /// The install-v1 form: no `_id`, `_rev`, `time`, `maintainers`, `scripts`, `repository`.
    Abbreviated,
}

impl Representation {
    /// Returns the form as the `packuments` table and the command line spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Representation::Full => "full",
            Representation::Abbreviated => "abbreviated",
        }
    }
}

/// The headers that make a later request conditional. They are compared as opaque text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validators {
    /// The `ETag` header as sent, weak or strong.
    pub etag: Option<String>,
    /// The `Last-Modified` header as sent.
    pub last_modified: Option<String>,
}

/// A document as served, after content decoding and before any parsing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The body, byte for byte.
    pub bytes: Bytes,
    /// The form that was requested.
    pub representation: Representation,
    /// The validators for the next request.
    pub validators: Validators,
}

/// The three possible answers of a registry for a name. Refusals and faults are errors, not answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// The document.
    Fresh(T),
    /// 304 to a conditional request: the lake's document is current.
    NotModified,
    /// The registry has no document for the name (404, 410: `not_found`), or does not give it (401, 403, 451:
    /// `blocked`).
    Gone {
        /// The HTTP status.
        status: u16,
        /// The server's words: one short line without secrets.
        said: Option<String>,
    },
}
