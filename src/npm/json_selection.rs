//! The selection of values from a document: `dist-tags.latest`, `versions["1.0.0"].dist`, `versions|keys|length as
//! count`.
//!
//! Returns values as they are spelled in the text, never parsed and written again. Not here: filters and joins, which
//! are SQL.

use super::json::{Cursor, JsonError, Kind, RawString};
use crate::error::{Error, Result};

/// One selected value: a path into a document, an operation on the value there, and a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonSelection {
    label: String,
    steps: Vec<Step>,
    pipes: Vec<Pipe>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Member(String),
    Item(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pipe {
    Keys,
    Values,
    Length,
}

impl JsonSelection {
    /// Reads a list of selections, separated by commas. A path is a list of members, separated by dots. A member that
    /// holds a dot is written in brackets and quotes, and an item of an array as its number in brackets. `|keys`,
    /// `|values` and `|length` may follow, and `as NAME`. Without `as`, the label is the selection as written.
    ///
    /// # Errors
    /// Fails with [`crate::error::ErrorKind::Input`], and shows the part that is not understood.
    pub fn parse_list(text: &str) -> Result<Vec<JsonSelection>> {
        split_outside_brackets(text, ',').into_iter().map(JsonSelection::parse).collect()
    }

    fn parse(text: &str) -> Result<JsonSelection> {
        let (what, label) = match text.rsplit_once(" as ") {
            Some((what, label)) => (what.trim(), label.trim()),
            None => (text.trim(), text.trim()),
        };
        let mut parts = split_outside_brackets(what, '|').into_iter();
        let steps = parse_path(parts.next().unwrap_or_default().trim())?;
        let pipes = parts.map(|pipe| parse_pipe(pipe.trim())).collect::<Result<Vec<Pipe>>>()?;
        if label.is_empty() || (steps.is_empty() && pipes.is_empty()) {
            return Err(not_understood(text));
        }
        Ok(JsonSelection { label: label.to_owned(), steps, pipes })
    }

    /// Returns the label of the value.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Returns the value's text within the JSON text `document`, or `None` where there is none. Of repeated members the
    /// last one counts.
    ///
    /// # Errors
    /// Fails with [`JsonError`] where the document is no JSON.
    pub fn pick(&self, document: &str) -> Result<Option<String>, JsonError> {
        let mut value = Cursor::new(document).value()?;
        for step in &self.steps {
            match step.of(value)? {
                Some(inner) => value = inner,
                None => return Ok(None),
            }
        }
        let mut value = value.to_owned();
        for pipe in &self.pipes {
            match pipe.of(&value)? {
                Some(result) => value = result,
                None => return Ok(None),
            }
        }
        Ok(Some(value))
    }
}

/// Returns the text of the member `key` of the JSON object `object`, or `None` where it has none or is no object. Of
/// repeated members the last one counts.
///
/// # Errors
/// Fails with [`JsonError`] where the text is no JSON.
pub fn member<'t>(object: &'t str, key: &str) -> Result<Option<&'t str>, JsonError> {
    let mut found = None;
    for_each_element(object, |name, value| {
        if name.is_some_and(|name| name.unescape().text == key) {
            found = Some(value);
        }
    })?;
    Ok(found)
}

impl Step {
    fn of<'t>(&self, value: &'t str) -> Result<Option<&'t str>, JsonError> {
        match self {
            Step::Member(key) => member(value, key),
            Step::Item(index) => {
                let (mut at, mut found) = (0, None);
                for_each_element(value, |name, item| {
                    if name.is_none() && at == *index {
                        found = Some(item);
                    }
                    at += 1;
                })?;
                Ok(found)
            }
        }
    }
}

impl Pipe {
    /// Returns `None` for a value that has no elements.
    fn of(self, value: &str) -> Result<Option<String>, JsonError> {
        if !matches!(Kind::of(value), Kind::Object | Kind::Array) {
            return Ok(None);
        }
        let (mut count, mut texts) = (0_usize, Vec::new());
        for_each_element(value, |name, element| {
            match (self, name) {
                (Pipe::Keys, Some(name)) => texts.push(format!("\"{}\"", name.inner)),
                (Pipe::Keys, None) => texts.push(count.to_string()),
                (Pipe::Values, _) => texts.push(element.to_owned()),
                (Pipe::Length, _) => {}
            }
            count += 1;
        })?;
        Ok(Some(match self {
            Pipe::Length => count.to_string(),
            Pipe::Keys | Pipe::Values => format!("[{}]", texts.join(",")),
        }))
    }
}

/// Calls `each` with the key and the value of every member or item of an object or array. Does nothing for another
/// value.
fn for_each_element<'t>(value: &'t str, mut each: impl FnMut(Option<RawString<'t>>, &'t str)) -> Result<(), JsonError> {
    let mut cursor = Cursor::new(value);
    let mut first = true;
    match Kind::of(value.trim_start()) {
        Kind::Object => {
            cursor.enter_object()?;
            while let Some(key) = cursor.next_key(&mut first)? {
                each(Some(key), cursor.value()?);
            }
        }
        Kind::Array => {
            cursor.enter_array()?;
            while cursor.next_item(&mut first)? {
                each(None, cursor.value()?);
            }
        }
        _ => {}
    }
    Ok(())
}

fn parse_pipe(name: &str) -> Result<Pipe> {
    match name {
        "keys" => Ok(Pipe::Keys),
        "values" => Ok(Pipe::Values),
        "length" => Ok(Pipe::Length),
        _ => Err(Error::input(format!("there is no {name:?} to pipe a value through"))
            .hint("use keys, values or length; for anything else use SQL: all-docs query")),
    }
}

fn parse_path(path: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path.strip_prefix('.').unwrap_or(path);
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (step, after) = parse_bracket(inner).ok_or_else(|| not_understood(path))?;
            steps.push(step);
            rest = after;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            if name.is_empty() {
                return Err(not_understood(path));
            }
            steps.push(Step::Member(name.to_owned()));
            rest = after;
        }
        if let Some(after) = rest.strip_prefix('.') {
            if after.is_empty() {
                return Err(not_understood(path));
            }
            rest = after;
        }
    }
    Ok(steps)
}

/// Parses the text between brackets, and returns the text after them too: a number is an item, anything else a member.
fn parse_bracket(inner: &str) -> Option<(Step, &str)> {
    for quote in ['"', '\''] {
        if let Some(quoted) = inner.strip_prefix(quote) {
            let (name, after) = quoted.split_once(quote)?;
            return Some((Step::Member(name.to_owned()), after.strip_prefix(']')?));
        }
    }
    let (name, after) = inner.split_once(']')?;
    let step = match name.parse() {
        Ok(index) => Step::Item(index),
        Err(_) if name.is_empty() => return None,
        Err(_) => Step::Member(name.to_owned()),
    };
    Some((step, after))
}

fn split_outside_brackets(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0_i32);
    for (at, character) in text.char_indices() {
        match character {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ if character == separator && depth <= 0 => {
                parts.push(text.get(start..at).unwrap_or_default());
                start = at + character.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

fn not_understood(text: &str) -> Error {
    Error::input(format!("{text:?} does not select anything"))
        .hint("as in: --select name, --select 'dist-tags.latest', --select 'versions[\"1.0.0\"].dist', --select 'versions|keys|length as count'")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#" {"name":"a","dist-tags":{"latest":"1.0.0"}, "versions": {"1.0.0":{"dist": {"size" :1.0}},
        "2.0.0":{}},"keywords":["x","\u00e9"],"name":"b","odd,[key":null}"#;

    fn picked(selection: &str) -> Option<String> {
        JsonSelection::parse_list(selection).unwrap().remove(0).pick(DOCUMENT).unwrap()
    }

    #[test]
    fn values_are_returned_unchanged() {
        for (selection, expected) in [
            ("name", r#""b""#),
            ("dist-tags.latest", r#""1.0.0""#),
            (".dist-tags", r#"{"latest":"1.0.0"}"#),
            (r#"versions["1.0.0"].dist"#, r#"{"size" :1.0}"#),
            ("versions[1.0.0].dist.size", "1.0"),
            ("versions|keys", r#"["1.0.0","2.0.0"]"#),
            ("versions|keys|length as count", "2"),
            ("keywords[1]", r#""\u00e9""#),
            ("keywords|values", r#"["x","\u00e9"]"#),
            (r#"["odd,[key"]"#, "null"),
        ] {
            assert_eq!(picked(selection).as_deref(), Some(expected), "{selection}");
        }
        for absent in ["nothing", "name.first", "keywords[2]", "name|keys", "versions[\"9\"].dist"] {
            assert_eq!(picked(absent), None, "{absent}");
        }
    }

    #[test]
    fn a_list_has_labels_and_a_mistake_is_shown() {
        let labels: Vec<String> = JsonSelection::parse_list("name, versions|length as count")
            .unwrap()
            .iter()
            .map(|selection| selection.label().to_owned())
            .collect();
        assert_eq!(labels, ["name", "count"]);
        for wrong in ["", "a..b", "a.", "a[", "a[\"x\"", "a|upper", "a,,b", "a as "] {
            assert!(JsonSelection::parse_list(wrong).is_err(), "{wrong:?}");
        }
        assert!(JsonSelection::parse_list("name").unwrap()[0].pick("{\"name\":").is_err());
    }
}
