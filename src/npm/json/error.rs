//! The error of text that is not JSON: its place and its reason.

use std::fmt;

use super::MAX_DEPTH;

/// The place where text stops being JSON, and the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonError {
    /// Offset in bytes from the start of the text.
    pub offset: usize,
    /// The problem at this place.
    pub problem: JsonProblem,
}

/// The problems that JSON text can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonProblem {
    /// The text ends within a value.
    UnexpectedEnd,
    /// Another token was expected here.
    Expected(&'static str),
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// More text follows the value.
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
