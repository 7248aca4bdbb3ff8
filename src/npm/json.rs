//! A pull cursor over JSON text that borrows what it reads: no tree, no copies, one pass.
//!
//! It checks the whole grammar of RFC 8259, with two liberties that real documents need: raw control characters
//! inside strings, and surrogates without a partner, are let through and flagged. Not here: what a member means.

use std::borrow::Cow;
use std::fmt;

/// How deep arrays and objects may nest. npm's own documents stay below 30.
pub const MAX_DEPTH: u32 = 512;

/// Where text stopped being JSON, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonError {
    /// Offset in bytes from the start of the text.
    pub offset: usize,
    /// What was wrong there.
    pub problem: JsonProblem,
}

/// What can be wrong with JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonProblem {
    /// The text ends within a value.
    UnexpectedEnd,
    /// Something else was expected here.
    Expected(&'static str),
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// More text after the value.
    TrailingText,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problem {
            JsonProblem::UnexpectedEnd => f.write_str("the text ends within a value")?,
            JsonProblem::Expected(what) => write!(f, "expected {what}")?,
            JsonProblem::TooDeep => write!(f, "nested deeper than {MAX_DEPTH} levels")?,
            JsonProblem::TrailingText => f.write_str("more text after the value")?,
        }
        write!(f, " at byte {}", self.offset)
    }
}

impl std::error::Error for JsonError {}

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

/// A string as it stands in the text, without its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawString<'a> {
    /// What stands between the quotes.
    pub inner: &'a str,
    /// Whether it has a backslash.
    pub escaped: bool,
}

/// A value as it stands in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawValue<'a> {
    /// Its text.
    pub raw: &'a str,
    /// Whether it is a string without escapes.
    pub plain_string: bool,
}

/// A string's value, and what was odd about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unescaped<'a> {
    /// The value; borrowed when nothing was escaped.
    pub text: Cow<'a, str>,
    /// A surrogate escape without a partner was read as U+FFFD.
    pub lone_surrogate: bool,
}

impl<'a> RawString<'a> {
    /// The string of `"…"`, text that is known to be a JSON string.
    pub fn of(literal: &'a str) -> RawString<'a> {
        let inner = literal.get(1..literal.len().saturating_sub(1)).unwrap_or_default();
        RawString::of_inner(inner)
    }

    /// The string of text that is known to be the inside of a JSON string.
    pub fn of_inner(inner: &'a str) -> RawString<'a> {
        RawString { inner, escaped: memchr::memchr(b'\\', inner.as_bytes()).is_some() }
    }

    /// The value with escapes resolved.
    #[inline]
    pub fn unescape(self) -> Unescaped<'a> {
        if self.escaped {
            unescape(self.inner)
        } else {
            Unescaped { text: Cow::Borrowed(self.inner), lone_surrogate: false }
        }
    }
}

/// A position in JSON text.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    text: &'a str,
    position: usize,
    depth: u32,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `text`.
    pub fn new(text: &'a str) -> Self {
        Cursor { text, position: 0, depth: 0 }
    }

    /// Offset in bytes from the start of the text.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The text between two positions; empty if they do not lie on characters.
    #[inline]
    pub fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    /// The next byte that is not white space, without taking it.
    #[inline]
    pub fn peek(&mut self) -> Result<u8, JsonError> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.position) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.position += 1,
                Some(&byte) => return Ok(byte),
                None => return Err(self.error(JsonProblem::UnexpectedEnd)),
            }
        }
    }

    /// The kind of the value that comes next.
    pub fn peek_kind(&mut self) -> Result<Kind, JsonError> {
        Ok(match self.peek()? {
            b'"' => Kind::String,
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b't' | b'f' => Kind::Boolean,
            b'n' => Kind::Null,
            b'-' | b'0'..=b'9' => Kind::Number,
            _ => return Err(self.error(JsonProblem::Expected("a value"))),
        })
    }

    /// Takes the `{` of an object. Its members follow by [`Cursor::next_key`].
    pub fn enter_object(&mut self) -> Result<(), JsonError> {
        self.enter(b'{', "an object")
    }

    /// Takes the `[` of an array. Its items follow by [`Cursor::next_item`].
    pub fn enter_array(&mut self) -> Result<(), JsonError> {
        self.enter(b'[', "an array")
    }

    fn enter(&mut self, open: u8, what: &'static str) -> Result<(), JsonError> {
        if self.peek()? != open {
            return Err(self.error(JsonProblem::Expected(what)));
        }
        self.position += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(self.error(JsonProblem::TooDeep)) } else { Ok(()) }
    }

    /// Takes the next key of the object that was entered, up to its value; `None` at the object's end.
    /// `first` is true before the first key, and is cleared.
    #[inline]
    pub fn next_key(&mut self, first: &mut bool) -> Result<Option<RawString<'a>>, JsonError> {
        if !self.next_element(b'}', first, "`,` or `}`")? {
            return Ok(None);
        }
        let key = self.string()?;
        self.colon()?;
        Ok(Some(key))
    }

    /// Moves to the next item of the array that was entered; false at the array's end.
    #[inline]
    pub fn next_item(&mut self, first: &mut bool) -> Result<bool, JsonError> {
        self.next_element(b']', first, "`,` or `]`")
    }

    /// Moves over the `,` before an element, or over `close`: then false.
    #[inline]
    pub(super) fn next_element(
        &mut self,
        close: u8,
        first: &mut bool,
        expected: &'static str,
    ) -> Result<bool, JsonError> {
        let byte = self.peek()?;
        if byte == close && (*first || byte != b',') {
            self.position += 1;
            self.depth = self.depth.saturating_sub(1);
            return Ok(false);
        }
        if *first {
            *first = false;
        } else if byte == b',' {
            self.position += 1;
        } else {
            return Err(self.error(JsonProblem::Expected(expected)));
        }
        Ok(true)
    }

    /// Takes a `:`.
    #[inline]
    pub(super) fn colon(&mut self) -> Result<(), JsonError> {
        if self.peek()? != b':' {
            return Err(self.error(JsonProblem::Expected("`:`")));
        }
        self.position += 1;
        Ok(())
    }

    /// Moves on by `count` bytes that the caller has compared with text already read.
    #[inline]
    pub(super) fn advance(&mut self, count: usize) {
        self.position += count;
    }

    /// Takes a string.
    #[inline]
    pub fn string(&mut self) -> Result<RawString<'a>, JsonError> {
        if self.peek()? != b'"' {
            return Err(self.error(JsonProblem::Expected("a string")));
        }
        let start = self.position + 1;
        let (end, escaped) = string_end(self.text.as_bytes(), start)?;
        self.position = end + 1;
        Ok(RawString { inner: self.slice(start, end), escaped })
    }

    /// Takes any value and gives its text.
    #[inline]
    pub fn value(&mut self) -> Result<&'a str, JsonError> {
        self.peek()?;
        let start = self.position;
        self.position = value_end(self.text.as_bytes(), start, MAX_DEPTH.saturating_sub(self.depth))?;
        Ok(self.slice(start, self.position))
    }

    /// Takes any value, and notes whether it is a string without escapes.
    #[inline]
    pub fn raw_value(&mut self) -> Result<RawValue<'a>, JsonError> {
        if self.peek()? != b'"' {
            return Ok(RawValue { raw: self.value()?, plain_string: false });
        }
        let start = self.position;
        let string = self.string()?;
        Ok(RawValue { raw: self.slice(start, self.position), plain_string: !string.escaped })
    }

    /// Checks that nothing but white space is left.
    pub fn finish(mut self) -> Result<(), JsonError> {
        match self.peek() {
            Ok(_) => Err(self.error(JsonProblem::TrailingText)),
            Err(_) => Ok(()),
        }
    }

    #[cold]
    fn error(&self, problem: JsonProblem) -> JsonError {
        JsonError { offset: self.position, problem }
    }
}

/// A bit for each byte of `word` that equals `byte`: the high bit of that byte. Bytes above the first match may be
/// marked wrongly, the first is right.
#[inline]
fn matches(word: u64, byte: u8) -> u64 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zeroed = word ^ (LOW * u64::from(byte));
    zeroed.wrapping_sub(LOW) & !zeroed & HIGH
}

/// Offset of the next `"` or `\` from `position` on.
#[inline]
fn quote_or_backslash(bytes: &[u8], mut position: usize) -> Option<usize> {
    // Most strings of a packument end within a few words; the long ones are left to vector instructions.
    for _ in 0..8 {
        let Some(chunk) = bytes.get(position..).and_then(|rest| rest.first_chunk::<8>()) else { break };
        let word = u64::from_le_bytes(*chunk);
        let found = matches(word, b'"') | matches(word, b'\\');
        if found != 0 {
            return Some(position + (found.trailing_zeros() / 8) as usize);
        }
        position += 8;
    }
    memchr::memchr2(b'"', b'\\', bytes.get(position..)?).map(|offset| position + offset)
}

/// Offset of the closing quote of a string whose first character is at `start`, and whether it has escapes.
#[inline]
pub(super) fn string_end(bytes: &[u8], start: usize) -> Result<(usize, bool), JsonError> {
    let mut position = start;
    let mut escaped = false;
    loop {
        let Some(at) = quote_or_backslash(bytes, position) else {
            return Err(JsonError { offset: bytes.len(), problem: JsonProblem::UnexpectedEnd });
        };
        if bytes.get(at) == Some(&b'"') {
            return Ok((at, escaped));
        }
        escaped = true;
        position = escape_end(bytes, at)?;
    }
}

/// Offset after the escape whose backslash is at `backslash`.
#[inline]
fn escape_end(bytes: &[u8], backslash: usize) -> Result<usize, JsonError> {
    match bytes.get(backslash + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(backslash + 2),
        Some(b'u') => match bytes.get(backslash + 2..backslash + 6) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => Ok(backslash + 6),
            Some(_) => Err(JsonError { offset: backslash, problem: JsonProblem::Expected("four hex digits") }),
            None => Err(JsonError { offset: bytes.len(), problem: JsonProblem::UnexpectedEnd }),
        },
        Some(_) => Err(JsonError { offset: backslash, problem: JsonProblem::Expected("an escape") }),
        None => Err(JsonError { offset: bytes.len(), problem: JsonProblem::UnexpectedEnd }),
    }
}

fn skip_space(bytes: &[u8], mut position: usize) -> usize {
    while matches!(bytes.get(position), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        position += 1;
    }
    position
}

/// Offset after the value that starts at `start`; at most `depth_left` levels deep.
pub(super) fn value_end(bytes: &[u8], start: usize, depth_left: u32) -> Result<usize, JsonError> {
    let expected = |offset, what| JsonError {
        offset,
        problem: if offset < bytes.len() { JsonProblem::Expected(what) } else { JsonProblem::UnexpectedEnd },
    };
    // One bit a level: set for an object. 512 levels fit eight words.
    let mut objects = [0_u64; (MAX_DEPTH as usize).div_ceil(64)];
    let mut depth = 0_usize;
    let mut position = start;
    loop {
        // A value.
        let mut opened = false;
        match bytes.get(position) {
            Some(b'"') => position = string_end(bytes, position + 1)?.0 + 1,
            Some(open @ (b'{' | b'[')) => {
                if depth >= depth_left as usize {
                    return Err(JsonError { offset: position, problem: JsonProblem::TooDeep });
                }
                let Some(word) = objects.get_mut(depth / 64) else {
                    return Err(JsonError { offset: position, problem: JsonProblem::TooDeep });
                };
                let bit = 1_u64 << (depth % 64);
                *word = if *open == b'{' { *word | bit } else { *word & !bit };
                depth += 1;
                opened = true;
                position += 1;
            }
            Some(b'-' | b'0'..=b'9') => position = number_end(bytes, position)?,
            Some(b't') => position = literal_end(bytes, position, b"true")?,
            Some(b'f') => position = literal_end(bytes, position, b"false")?,
            Some(b'n') => position = literal_end(bytes, position, b"null")?,
            _ => return Err(expected(position, "a value")),
        }
        // What follows it: the end of one or more containers, or the next element.
        loop {
            if depth == 0 {
                return Ok(position);
            }
            position = skip_space(bytes, position);
            let level = depth - 1;
            let in_object = objects.get(level / 64).is_some_and(|word| word >> (level % 64) & 1 == 1);
            let close = if in_object { b'}' } else { b']' };
            match bytes.get(position) {
                Some(&byte) if byte == close => {
                    position += 1;
                    depth -= 1;
                    opened = false;
                    continue;
                }
                Some(b',') if !opened => position = skip_space(bytes, position + 1),
                _ if opened => {}
                _ => return Err(expected(position, if in_object { "`,` or `}`" } else { "`,` or `]`" })),
            }
            if in_object {
                if bytes.get(position) != Some(&b'"') {
                    return Err(expected(position, "a key"));
                }
                position = skip_space(bytes, string_end(bytes, position + 1)?.0 + 1);
                if bytes.get(position) != Some(&b':') {
                    return Err(expected(position, "`:`"));
                }
                position = skip_space(bytes, position + 1);
            }
            break;
        }
    }
}

fn literal_end(bytes: &[u8], start: usize, literal: &'static [u8]) -> Result<usize, JsonError> {
    if bytes.get(start..).is_some_and(|rest| rest.starts_with(literal)) {
        return Ok(start + literal.len());
    }
    Err(JsonError { offset: start, problem: JsonProblem::Expected("a value") })
}

fn number_end(bytes: &[u8], start: usize) -> Result<usize, JsonError> {
    let digits_end = |from: usize| {
        let mut position = from;
        while matches!(bytes.get(position), Some(b'0'..=b'9')) {
            position += 1;
        }
        if position > from {
            return Ok(position);
        }
        let problem = if from < bytes.len() { JsonProblem::Expected("a digit") } else { JsonProblem::UnexpectedEnd };
        Err(JsonError { offset: from, problem })
    };
    let mut position = start + usize::from(bytes.get(start) == Some(&b'-'));
    position = if bytes.get(position) == Some(&b'0') { position + 1 } else { digits_end(position)? };
    if bytes.get(position) == Some(&b'.') {
        position = digits_end(position + 1)?;
    }
    if matches!(bytes.get(position), Some(b'e' | b'E')) {
        let signed = matches!(bytes.get(position + 1), Some(b'+' | b'-'));
        position = digits_end(position + 1 + usize::from(signed))?;
    }
    Ok(position)
}

/// Resolves the escapes of text that is known to be the inside of a JSON string.
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

/// The character of `\uXXXX`, or of a pair of them, and how many bytes it takes; `None` for a lone surrogate.
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

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
