//! Makes the error for a text that is not SQL, with the position of the syntax error.

use datafusion::error::DataFusionError;

use crate::error::Error;

use super::failure::plain_message;

/// Makes the error for a statement that is no SQL, with the position of the syntax error.
pub(super) fn syntax(sql: &str, error: &DataFusionError) -> Error {
    let message = match error.find_root() {
        DataFusionError::SQL(parser, _) => parser.to_string(),
        _ => plain_message(error),
    };
    let message = message.strip_prefix("sql parser error: ").unwrap_or(&message);
    let (what, place) = match message.rsplit_once(" at Line: ") {
        Some((what, place)) => (what, position(place)),
        None => (message, None),
    };
    let error = Error::input(format!("this is not SQL: {what}"));
    let error = match place.and_then(|(line, column)| Some((line, column, sql.lines().nth(line.checked_sub(1)?)?))) {
        Some((line, column, text)) => {
            error.doing(format!("reading line {line}, column {column}:\n    {}", marked(text, column)))
        }
        None => error,
    };
    error.hint("as in: select name, version from versions where name = 'left-pad'")
}

/// Reads line and column, both from 1, from the parser's `1, Column: 8`.
fn position(text: &str) -> Option<(usize, usize)> {
    let (line, column) = text.split_once(", Column: ")?;
    let column: String = column.chars().take_while(char::is_ascii_digit).collect();
    Some((line.trim().parse().ok()?, column.parse().ok()?))
}

/// Formats a line with a caret under `column`; of a long line only the part around it.
fn marked(line: &str, column: usize) -> String {
    const AROUND: usize = 40;
    let at = column.saturating_sub(1);
    let from = at.saturating_sub(AROUND);
    let shown: String = line.chars().skip(from).take(2 * AROUND).collect();
    format!("{shown}\n    {}^", " ".repeat(at - from))
}
