//! A string as it is spelled in the text, and its value with the escapes resolved.

use std::borrow::Cow;

/// A string as it is spelled in the text, without its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawString<'a> {
    /// The text between the quotes.
    pub inner: &'a str,
    /// Whether it has a backslash.
    pub escaped: bool,
}

/// A string's value, and its oddity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unescaped<'a> {
    /// The value; borrowed when nothing was escaped.
    pub text: Cow<'a, str>,
    /// A surrogate escape without a partner was read as U+FFFD.
    pub lone_surrogate: bool,
}

impl<'a> RawString<'a> {
    /// Returns the string of `"…"`. The text must be a JSON string.
    pub fn of(literal: &'a str) -> RawString<'a> {
        let inner = literal.get(1..literal.len().saturating_sub(1)).unwrap_or_default();
        RawString::of_inner(inner)
    }

    /// Returns the string of `inner`, which must be the inside of a JSON string.
    pub fn of_inner(inner: &'a str) -> RawString<'a> {
        RawString { inner, escaped: memchr::memchr(b'\\', inner.as_bytes()).is_some() }
    }

    /// Returns the value with escapes resolved.
    #[inline]
    pub fn unescape(self) -> Unescaped<'a> {
        if self.escaped {
            unescape(self.inner)
        } else {
            Unescaped { text: Cow::Borrowed(self.inner), lone_surrogate: false }
        }
    }
}

/// Resolves the escapes of text, which must be the inside of a JSON string.
fn unescape(inner: &str) -> Unescaped<'_> {
    let mut text = String::with_capacity(inner.len());
    let mut lone_surrogate = false;
    let mut rest = inner;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        text.push_str(rest.get(..at).unwrap_or_default());
        let escape = rest.as_bytes().get(at + 1).copied().unwrap_or(b'\\');
        let mut taken = 2;
        match escape {
            b'b' => text.push('\u{8}'),
            b'f' => text.push('\u{c}'),
            b'n' => text.push('\n'),
            b'r' => text.push('\r'),
            b't' => text.push('\t'),
            b'u' => {
                let (character, length) = unicode_escape(rest.get(at..).unwrap_or_default());
                lone_surrogate |= character.is_none();
                text.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
                taken = length;
            }
            other => text.push(char::from(other)),
        }
        rest = rest.get(at + taken..).unwrap_or_default();
    }
    text.push_str(rest);
    Unescaped { text: Cow::Owned(text), lone_surrogate }
}

/// Returns the character of `\uXXXX`, or of a pair of them, and the number of bytes it takes; `None` for a lone
/// surrogate.
fn unicode_escape(escape: &str) -> (Option<char>, usize) {
    let unit = |at: usize| {
        let digits = escape.get(at..).and_then(|text| text.strip_prefix("\\u")).and_then(|text| text.get(..4));
        digits.and_then(|digits| u32::from_str_radix(digits, 16).ok())
    };
    let Some(first) = unit(0) else { return (None, 6) };
    match (first, unit(6)) {
        (0xD800..=0xDBFF, Some(second @ 0xDC00..=0xDFFF)) => {
            (char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)), 12)
        }
        _ => (char::from_u32(first), 6),
    }
}
