//! The cursor: takes JSON text piece by piece.

use super::error::{JsonError, JsonProblem};
use super::scan::{string_end, value_end};
use super::{Kind, MAX_DEPTH, RawString, RawValue};

/// A position in JSON text.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    text: &'a str,
    position: usize,
    pub(super) depth: u32,
}

impl<'a> Cursor<'a> {
    /// Returns a cursor at the start of `text`.
    pub fn new(text: &'a str) -> Self {
        Cursor { text, position: 0, depth: 0 }
    }

    /// Returns the offset in bytes from the start of the text.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Returns the text between two positions. It is empty if they are not at character boundaries.
    #[inline]
    pub fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    /// Returns the next byte that is not white space, without taking it.
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

    /// Returns the kind of the next value.
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

    /// Takes the next key of the entered object, up to its value. Returns `None` at the object's end. `first` is true
    /// before the first key, and is cleared.
    #[inline]
    pub fn next_key(&mut self, first: &mut bool) -> Result<Option<RawString<'a>>, JsonError> {
        if !self.next_element(b'}', first, "`,` or `}`")? {
            return Ok(None);
        }
        let key = self.string()?;
        self.colon()?;
        Ok(Some(key))
    }

    /// Moves to the next item of the entered array. Returns false at the array's end.
    #[inline]
    pub fn next_item(&mut self, first: &mut bool) -> Result<bool, JsonError> {
        self.next_element(b']', first, "`,` or `]`")
    }

    /// Moves over the `,` before an element and returns true, or over `close` and returns false.
    #[inline]
    pub(in crate::npm) fn next_element(
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
    pub(in crate::npm) fn colon(&mut self) -> Result<(), JsonError> {
        if self.peek()? != b':' {
            return Err(self.error(JsonProblem::Expected("`:`")));
        }
        self.position += 1;
        Ok(())
    }

    /// Moves on by `count` bytes, which the caller has compared with text already read.
    #[inline]
    pub(in crate::npm) fn advance(&mut self, count: usize) {
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

    /// Takes any value and returns its text.
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
