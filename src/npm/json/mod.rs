//! A pull cursor over JSON text that borrows from the text: no tree, no copies, one pass.
//!
//! It checks the whole grammar of RFC 8259, with two liberties that real documents need: it accepts and flags raw
//! control characters inside strings, and surrogates without a partner. Not here: the meaning of members.

mod cursor;
mod error;
mod scan;
mod string;

pub use cursor::Cursor;
pub use error::{JsonError, JsonProblem};
pub use string::{RawString, Unescaped};

/// The deepest nesting of arrays and objects. npm's own documents stay below 30.
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
    /// Returns the kind of a value by its first character. The text must be JSON.
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

/// A value as it is spelled in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawValue<'a> {
    /// Its text.
    pub raw: &'a str,
    /// Whether it is a string without escapes.
    pub plain_string: bool,
}

#[cfg(test)]
mod tests;
