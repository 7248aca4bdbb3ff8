//! Detects the form of a pivots file, and reads the forms that are data: a JSON array, and one key a line.

use super::{PivotElement, shown_pivot};
use crate::error::{Error, Result};

/// The form of a pivots file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One key a line.
    Lines,
    /// JSON, a literal, or JavaScript.
    Code,
}

/// Suffixes of files that are code, whatever their contents.
const CODE_SUFFIXES: [&str; 6] = [".json", ".json5", ".jsonc", ".js", ".mjs", ".cjs"];

/// Texts with which a line of code can begin and a key cannot: names hold no blanks and no brackets.
const CODE_STARTS: [&str; 16] = [
    "[",
    "(",
    "{",
    "//",
    "/*",
    "'use strict'",
    "\"use strict\"",
    "module.exports",
    "exports.",
    "export ",
    "export{",
    "import ",
    "const ",
    "let ",
    "var ",
    "function ",
];

impl Form {
    /// Detects the form by the suffix of `file_name`, and for any other suffix by the beginnings of the lines of
    /// `text`.
    pub(super) fn of(text: &str, file_name: &str) -> Form {
        let file_name = file_name.to_ascii_lowercase();
        if CODE_SUFFIXES.iter().any(|suffix| file_name.ends_with(suffix)) {
            return Form::Code;
        }
        let is_code = |line: &str| CODE_STARTS.iter().any(|start| line.trim_start().starts_with(start));
        if text.lines().any(is_code) { Form::Code } else { Form::Lines }
    }
}

/// Parses a JSON array of texts and nulls; returns `None` for any other text.
pub(super) fn read_json(text: &str) -> Option<Vec<PivotElement>> {
    let list: Vec<Option<String>> = serde_json::from_str(text).ok()?;
    Some(list.into_iter().map(|key| key.map_or(PivotElement::Null, PivotElement::Text)).collect())
}

/// Parses a file with one key a line. Returns the keys and the line number of each, counted from 1.
///
/// `null` in the first or last line is an open end. Elsewhere it is the key `null`, which is a package's name.
///
/// # Errors
/// [`crate::error::ErrorKind::Input`] for a line with a character that no typed key has. The file is then something
/// else, a table or a page, and its lines would be taken for keys without notice.
pub(super) fn read_lines(text: &str) -> Result<(Vec<PivotElement>, Vec<usize>)> {
    let mut keys = Vec::new();
    let mut line_numbers = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let key = without_comment(line).trim();
        if let Some(odd) = key.chars().find(|letter| is_odd(*letter)) {
            let at = index + 1;
            return Err(Error::input(format!("line {at} is no key, because of its {odd:?}: {}", shown_pivot(key)))
                .hint(
                    "give one key a line and nothing else; keys with such characters can be written as a JSON array",
                ));
        }
        if !key.is_empty() {
            keys.push(key);
            line_numbers.push(index + 1);
        }
    }
    let last = keys.len().saturating_sub(1);
    let elements = keys.iter().enumerate().map(|(index, &key)| match key {
        "null" if index == 0 || index == last => PivotElement::Null,
        key => PivotElement::Text(key.to_owned()),
    });
    Ok((elements.collect(), line_numbers))
}

/// Returns whether a letter shows that a line is no key: names hold none of these.
fn is_odd(letter: char) -> bool {
    letter.is_whitespace() || letter.is_control() || matches!(letter, '"' | '\'' | '`' | ',' | ';' | '<' | '>')
}

/// Returns the line up to a `#` that begins it or follows a blank.
fn without_comment(line: &str) -> &str {
    let is_comment = |at: usize| line[..at].chars().next_back().is_none_or(char::is_whitespace);
    let comment = line.match_indices('#').find(|(at, _)| is_comment(*at));
    comment.map_or(line, |(at, _)| &line[..at])
}
