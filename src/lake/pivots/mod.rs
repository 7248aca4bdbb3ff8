//! Pivots: the keys at which the name space is cut for scanning, and the parser of a user's pivots file.
//!
//! Not here: code that computes pivots, which `script` evaluates; the boundaries of stored partitions
//! ([`crate::lake::Derivation`]); the choice and reading of the file (`cli/`).

mod form;
#[cfg(test)]
mod tests;

use super::Partition;
use crate::error::{Doing, Error, Result};
use form::Form;

/// The longest file that is read. Pivots files in use have up to 35,000 keys, which is less than one megabyte.
const MAX_SOURCE_BYTES: usize = 32 << 20;

/// How many characters of a value an error shows.
const SHOWN_CHARS: usize = 60;

/// The keys between ranges, strictly ascending by their UTF-8 bytes; never empty texts. N pivots make N+1 ranges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pivots {
    keys: Vec<String>,
}

/// One element of a list of pivots as found, before it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PivotElement {
    /// An open end.
    Null,
    /// A key.
    Text(String),
    /// The description of a value that cannot be a pivot: "the number 5".
    Other(String),
}

/// The contents of a pivots file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PivotsText<'a> {
    /// The pivots themselves.
    Pivots(Pivots),
    /// Code that computes them.
    Code(&'a str),
}

impl Pivots {
    /// The most pivots of one file. Each is at least one request of a scan.
    pub const MAX_COUNT: usize = 1_000_000;

    /// The longest pivot, in bytes. npm's longest names have 214 characters.
    pub const MAX_KEY_BYTES: usize = 4096;

    /// Takes keys that are already a list of texts.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Input`] with the first key that is empty, out of order or repeated. An empty list is
    /// valid here: it makes one range of all names.
    pub fn new(keys: Vec<String>) -> Result<Self> {
        let elements = keys.into_iter().map(PivotElement::Text).collect();
        Pivots::check(elements, &Numbering::Index)
    }

    /// Parses the text of a pivots file. `file_name` helps to detect its form, and appears in errors.
    ///
    /// Two forms are data: a JSON array of texts, and plain lines with one key each. In plain lines, a line that begins
    /// with `#`, and the part after a blank and `#`, is a comment. `null` as the first or last element stands for an
    /// open end. Every list has open ends anyway, so `[null]` is the one range of all names. An empty list is an error,
    /// because it is more likely a mistake than intended. All other forms are [`PivotsText::Code`].
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Input`] for a file that is too long, a line that is no key, or a pivot that is empty,
    /// out of order or repeated. The error shows the pivot and its neighbour.
    pub fn parse<'a>(text: &'a str, file_name: &str) -> Result<PivotsText<'a>> {
        Pivots::parse_text(text, file_name).doing(|| doing(file_name))
    }

    fn parse_text<'a>(text: &'a str, file_name: &str) -> Result<PivotsText<'a>> {
        if text.len() > MAX_SOURCE_BYTES {
            let size = text.len();
            return Err(Error::input(format!("it has {size} bytes, and at most {MAX_SOURCE_BYTES} are read")));
        }
        let (elements, numbering) = match Form::of(text, file_name) {
            Form::Lines => {
                let (elements, line_numbers) = form::read_lines(text)?;
                (elements, Numbering::Lines(line_numbers))
            }
            Form::Code => match form::read_json(text) {
                Some(elements) => (elements, Numbering::Index),
                None => return Ok(PivotsText::Code(text)),
            },
        };
        Pivots::of_file(elements, &numbering).map(PivotsText::Pivots)
    }

    /// Takes the list that the code of the file `file_name` computed.
    ///
    /// # Errors
    /// As [`Pivots::parse`], and for an element that is no text.
    pub fn from_elements(elements: Vec<PivotElement>, file_name: &str) -> Result<Self> {
        Pivots::of_file(elements, &Numbering::Index).doing(|| doing(file_name))
    }

    fn of_file(elements: Vec<PivotElement>, numbering: &Numbering) -> Result<Self> {
        if elements.is_empty() {
            return Err(Error::input("it holds no pivots")
                .hint("for one range of all names, write [null]; for ranges, at least one key"));
        }
        if elements.len() > Pivots::MAX_COUNT {
            return Err(Pivots::too_many(elements.len() as f64));
        }
        Pivots::check(elements, numbering)
    }

    /// Returns the error for a list of more than [`Pivots::MAX_COUNT`] elements. `count` is a number as JavaScript
    /// counts.
    pub fn too_many(count: f64) -> Error {
        Error::input(format!("it has {count} pivots, and at most {} are read", Pivots::MAX_COUNT))
    }

    fn check(mut elements: Vec<PivotElement>, numbering: &Numbering) -> Result<Self> {
        let last = elements.len().saturating_sub(1);
        let mut keys: Vec<String> = Vec::with_capacity(elements.len());
        let mut index_of_last_key = 0;
        for index in 0..elements.len() {
            let element = std::mem::replace(&mut elements[index], PivotElement::Null);
            let key = match element {
                PivotElement::Text(key) => key,
                PivotElement::Null if index == 0 || index == last => continue,
                PivotElement::Null => return Err(inner_null(index, &keys, elements.get(index + 1), numbering)),
                PivotElement::Other(what) => return Err(not_a_text(index, &what, numbering)),
            };
            if key.is_empty() {
                return Err(Error::input(format!("{} is an empty text", numbering.of(index)))
                    .hint("leave it out, or write null as the first or last element for an open end"));
            }
            if key.len() > Pivots::MAX_KEY_BYTES {
                let (here, size) = (numbering.of(index), key.len());
                return Err(Error::input(format!(
                    "{here} has {size} bytes, and a pivot has at most {}: {}",
                    Pivots::MAX_KEY_BYTES,
                    shown_pivot(&key)
                )));
            }
            if let Some(before) = keys.last().filter(|before| **before >= key) {
                return Err(out_of_order((index_of_last_key, before), (index, &key), numbering));
            }
            index_of_last_key = index;
            keys.push(key);
        }
        Ok(Pivots { keys })
    }

    /// Returns the keys, strictly ascending by bytes.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Returns how many ranges they make: one more than keys.
    pub fn range_count(&self) -> usize {
        self.keys.len() + 1
    }

    /// Returns the ranges in order, half-open and without gaps; the first is open below, the last above.
    pub fn ranges(&self) -> impl Iterator<Item = Partition> + '_ {
        (0..self.range_count()).map(|index| Partition {
            start: index.checked_sub(1).and_then(|before| self.keys.get(before)).cloned(),
            end: self.keys.get(index).cloned(),
        })
    }
}

/// How an error numbers elements.
enum Numbering {
    /// `pivots[3]`, counted from 0 as JavaScript does.
    Index,
    /// `line 7`, for each element.
    Lines(Vec<usize>),
}

impl Numbering {
    fn of(&self, index: usize) -> String {
        match self {
            Numbering::Lines(numbers) if index < numbers.len() => format!("line {}", numbers[index]),
            _ => format!("pivots[{index}]"),
        }
    }
}

fn doing(file_name: &str) -> String {
    format!("reading the pivots file {file_name}")
}

fn inner_null(index: usize, keys: &[String], next: Option<&PivotElement>, numbering: &Numbering) -> Error {
    let mut message = format!("{} is null", numbering.of(index));
    if let Some(before) = keys.last() {
        message.push_str(&format!(", after {}", shown_pivot(before)));
    }
    if let Some(PivotElement::Text(next)) = next {
        message.push_str(&format!(", before {}", shown_pivot(next)));
    }
    Error::input(message).hint("null is an open end, so only the first and the last element can be null")
}

fn not_a_text(index: usize, what: &str, numbering: &Numbering) -> Error {
    Error::input(format!("{} is {what}, not a text", numbering.of(index)))
        .hint("every pivot is a text in quotes; only the first and the last may be null")
}

fn out_of_order(before: (usize, &str), here: (usize, &str), numbering: &Numbering) -> Error {
    let (before_place, here_place) = (numbering.of(before.0), numbering.of(here.0));
    if before.1 == here.1 {
        return Error::input(format!("{here_place} repeats {before_place}, {}", shown_pivot(here.1)))
            .hint("remove one of the two");
    }
    let message =
        format!("{here_place}, {}, sorts below {before_place}, {}", shown_pivot(here.1), shown_pivot(before.1));
    // JavaScript compares UTF-16 units, in which everything beyond U+FFFF sorts below U+E000 to U+FFFF.
    let hint = if before.1.encode_utf16().lt(here.1.encode_utf16()) {
        "names sort by their UTF-8 bytes; JavaScript's own sort goes by UTF-16 and differs here"
    } else {
        "sort the pivots by their bytes: signs and digits, @, capital letters, _, small letters"
    };
    Error::input(message).hint(hint)
}

/// Quotes a text, and cuts it if it is too long to show.
pub fn shown_pivot(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((at, _)) => format!("{:?}…", &text[..at]),
        None => format!("{text:?}"),
    }
}
