//! What a registry answered for one name: a document, "as you have it", or "no such thing".

use bytes::Bytes;

/// Which form of a packument it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Representation {
    /// Everything, `Accept: application/json`.
    #[default]
    Full,
    /// The install-v1 form: no `_id`, `_rev`, `time`, `maintainers`, `scripts`, `repository`.
    Abbreviated,
}

impl Representation {
    /// As it stands in the `packuments` table and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Representation::Full => "full",
            Representation::Abbreviated => "abbreviated",
        }
    }
}

/// What a later request can be made conditional with. Compared as opaque text.
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
    /// Which form was asked for.
    pub representation: Representation,
    /// What to make the next request conditional with.
    pub validators: Validators,
}

/// The three things that a registry can say about a name. Refusals and faults are errors, not answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// The document.
    Fresh(T),
    /// 304 to a conditional request: what the lake has is right.
    NotModified,
    /// The registry has no document to give: 404, 410 (`not_found`); 451, 403 to one without credentials (`blocked`).
    Gone {
        /// The HTTP status.
        status: u16,
    },
}
