//! The engine's messages about types and values, in plain words and with a way out. Not here: unknown names (`mistake`).

use std::error::Error as StdError;

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use super::cause::find;
use crate::error::Error;

/// The beginning of the message by which a filter within a scan passes on an error; the error follows as debug text.
const OF_FILTER: &str = "Error evaluating filter predicate: ";

/// The end of the useful part of a message; a list of signatures follows.
const SIGNATURES: &str = ". No function matches";

const NUMBER: &str = "try_cast(x as double) makes a number of a text, and null of one that is none; \
                      read_json('FILE', columns => {'x': 'bigint'}) sets the type of a column";
const TEXT: &str = "cast(x as text) makes a text of it; read_csv('FILE', all_text => true) reads every column as text";
const COMPARED: &str = "compare a text with a text, as in deprecated = 'false' or created_at > '2020-01-01'; \
                        cast(x as text) and try_cast(x as bigint) change a type, and describe shows it";
const VALUE: &str = "compare a text with a text in quotes, as in version = '1'; try_cast instead of cast makes null \
                     of what does not fit; read_csv('FILE', all_text => true) reads every column as text";
const STRUCTURE: &str = "x['a'] is a member of a structure, and x[1] the first item of a list; \
                         read_json('FILE', columns => {'x': 'json'}) reads the column as JSON, for -> and ->>";
const TIME: &str = "a time is a text such as '2020-01-01' or '2020-01-01T12:00:00Z'";
const ZERO: &str = "nullif makes null of zero: 10 / nullif(x, 0)";

/// The texts that a message holds, all of them, and the hint. The first that fits counts.
const WAYS_OUT: [(&[&str], &str); 19] = [
    (&["'json_", "Struct("], STRUCTURE),
    (&["'json_", "List("], STRUCTURE),
    (&["comparison operation", "Struct("], STRUCTURE),
    (&["comparison operation", "List("], STRUCTURE),
    (&["unsupported CAST from List"], STRUCTURE),
    (&["unsupported CAST from Struct"], STRUCTURE),
    (&["comparison operation"], COMPARED),
    (&["non-boolean predicate"], COMPARED),
    (&["requires a boolean expression"], COMPARED),
    (&["arithmetic expression", "Utf8"], NUMBER),
    (&["the function ", "not String"], NUMBER),
    (&["coercion from Utf8"], NUMBER),
    (&["the function ", " takes String"], TEXT),
    (&["in LIKE expression"], TEXT),
    (&["annot cast "], VALUE),
    (&["an't cast value"], VALUE),
    (&["parsing timestamp"], TIME),
    (&["parsing date"], TIME),
    (&["ivide by zero"], ZERO),
];

/// Makes the error of a statement that asks for an impossible type or value. `message` is the engine's.
pub(super) fn mistake(message: &str) -> Error {
    let message =
        wrong_argument(message).unwrap_or_else(|| message.split(SIGNATURES).next().unwrap_or_default().to_owned());
    let way_out = WAYS_OUT.iter().find(|(parts, _)| parts.iter().all(|part| message.contains(part)));
    let error = Error::input(message.as_str());
    match way_out {
        Some((_, hint)) => error.hint(*hint),
        None => error,
    }
}

/// Returns the message of an expression that failed for a value, as `10 / 0` does and a cast of `'x'` to a number. The
/// bytes that it was computed from are sound. `None` for any other error.
pub(super) fn of_value(error: &(dyn StdError + 'static)) -> Option<String> {
    let failed = find::<ArrowError>(error)?;
    let text = match failed {
        ArrowError::ComputeError(text) | ArrowError::ParquetError(text) => text.as_str(),
        _ => "",
    };
    // The filter of a scan passes its error on as text, within an error of Parquet.
    if let Some((_, of_filter)) = text.split_once(OF_FILTER) {
        return Some(of_debug_text(of_filter));
    }
    if find::<ParquetError>(error).is_some() {
        return None;
    }
    match failed {
        ArrowError::ComputeError(_)
        | ArrowError::InvalidArgumentError(_)
        | ArrowError::CastError(_)
        | ArrowError::DivideByZero
        | ArrowError::ArithmeticOverflow(_)
        | ArrowError::ParseError(_) => Some(plain(&failed.to_string())),
        _ => None,
    }
}

/// Returns the message within the debug text of an error: its first text in quotes.
fn of_debug_text(text: &str) -> String {
    if text.contains("DivideByZero") {
        return plain(&ArrowError::DivideByZero.to_string());
    }
    let mut message = String::new();
    let mut letters = text.split_once('"').map_or("", |(_, quoted)| quoted).chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => match letters.next() {
                Some('n') => message.push('\n'),
                Some('t') => message.push('\t'),
                other => message.extend(other),
            },
            letter => message.push(letter),
        }
    }
    plain(if message.is_empty() { text } else { &message })
}

/// Returns a message without the names of error types before it, and with a small first letter.
fn plain(message: &str) -> String {
    let mut message = message;
    while let Some((before, after)) = message.split_once(": ")
        && (before.ends_with(" error") || before.ends_with(" argument"))
    {
        message = after;
    }
    let mut letters = message.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// Returns the message of a function that was called with a type that it does not take. The engine lists each of its
/// signatures, and takes some of these mistakes for a fault of its own.
fn wrong_argument(message: &str) -> Option<String> {
    let (_, named) = message.split_once("unction '")?;
    let (function, rest) = named.split_once('\'')?;
    let rest = rest.split(SIGNATURES).next().unwrap_or_default();
    let word = |text: &str| text.split([' ', ',', '.']).next().unwrap_or_default().to_owned();
    let is_type = |word: &String| word.starts_with(|first: char| first.is_ascii_uppercase());
    let mut received = rest.split("but received ").skip(1).map(word);
    let mut taken: Vec<String> = Vec::new();
    for verb in [" requires ", " expects "] {
        for required in rest.split(verb).skip(1).map(word).filter(is_type) {
            if !taken.contains(&required) {
                taken.push(required);
            }
        }
    }
    let received = received.find(is_type)?;
    (!taken.is_empty()).then(|| format!("the function {function} takes {}, not {received}", taken.join(" or ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_argument_is_told_without_the_signatures() {
        for (message, told) in [
            (
                "internal error: Function 'sum' failed to match any signature, errors: Error during planning: Function \
                 'sum' requires Decimal, but received String (DataType: Utf8View).,Error during planning: Function \
                 'sum' requires Int64, but received String (DataType: Utf8View).\nThis issue was likely caused by a \
                 bug in DataFusion's code. No function matches the given name and argument types 'sum(Utf8View)'.",
                "the function sum takes Decimal or Int64, not String",
            ),
            (
                "internal error: Function 'substr' failed to match any signature, errors: Error during planning: \
                 Function 'substr' expects 3 arguments but received 2.,Error during planning: Function 'substr' \
                 requires String, but received Int64 (DataType: Int64).",
                "the function substr takes String, not Int64",
            ),
            (
                "function 'abs' expects Numeric but received String. No function matches the given name and argument",
                "the function abs takes Numeric, not String",
            ),
            ("function 'max' takes one. No function matches it", "function 'max' takes one"),
            ("any other message", "any other message"),
        ] {
            assert_eq!(mistake(message).message(), told);
        }
    }

    #[test]
    fn the_message_of_a_filter_is_read_out_of_its_debug_text() {
        let of_filter = |text: &str| of_debug_text(text);
        assert_eq!(
            of_filter(r#"ArrowError(CastError("Cannot cast string 'a\"\\' to x"), Some(""))"#),
            r#"cannot cast string 'a"\' to x"#
        );
        assert_eq!(of_filter(r#"ArrowError(DivideByZero, Some(""))"#), "divide by zero error");
        assert_eq!(of_filter("Other"), "other");
    }
}
