//! A pull cursor over JSON text that borrows what it reads: no tree, no copies, one pass.
//!
//! It checks the whole grammar of RFC 8259, with two liberties that real documents need: raw control characters
//! inside strings, and surrogates without a partner, are let through and flagged. Not here: what a member means.

mod cursor;
mod error;
mod scan;
mod string;

pub use cursor::Cursor;
pub use error::{JsonError, JsonProblem};
pub use string::{RawString, Unescaped};

/// How deep arrays and objects may nest. npm's own documents stay below 30.
pub const MAX_DEPTH: u32 = 512;

/// The six kinds of JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean,
    /// A number.
    Number,
    /// A string.
    String,
    /// `[…]`
    Array,
    /// `{…}`
    Object,
}

impl Kind {
    /// The kind of a value by its first character, of text that is known to be JSON.
    pub fn of(raw: &str) -> Kind {
        match raw.as_bytes().first() {
            Some(b'"') => Kind::String,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }
}

/// A value as it stands in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawValue<'a> {
    /// Its text.
    pub raw: &'a str,
    /// Whether it is a string without escapes.
    pub plain_string: bool,
}

#[cfg(test)]
mod tests;
