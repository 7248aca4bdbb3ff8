//! Pivots: the keys at which the name space is cut for scanning, and how they are read from a user's file.
//!
//! Not here: where partitions are stored ([`crate::lake::Derivation`]); which file is read, and by whom (`cli/`).

mod engine;
mod form;
#[cfg(test)]
mod tests;

use super::Partition;
use crate::error::{Doing, Error, Result};
use engine::Limits;
use form::Form;

/// The longest file that is read. Pivots files in use have up to 35,000 keys, which is less than one megabyte.
const MAX_SOURCE_BYTES: usize = 32 << 20;

/// The most pivots of one file. Each is at least one request of a scan.
const MAX_PIVOTS: usize = 1_000_000;

/// The longest pivot. npm's longest names have 214 characters.
const MAX_PIVOT_BYTES: usize = 4096;

/// How much of a value an error shows.
const SHOWN_CHARS: usize = 60;

/// The keys between ranges, strictly ascending by their UTF-8 bytes; never empty texts. N pivots make N+1 ranges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pivots {
    keys: Vec<String>,
}

/// One element of a list of pivots as it was found, before it is known to be good.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Element {
    /// An open end.
    Null,
    /// A key.
    Text(String),
    /// What no pivot can be, described: "the number 5".
    Other(String),
}

impl Pivots {
    /// Takes keys that are already a list of texts.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Input`] that shows the first key that is empty, out of order or there twice. No
    /// keys at all are fine here: they make one range of all names.
    pub fn new(keys: Vec<String>) -> Result<Self> {
        let elements = keys.into_iter().map(Element::Text).collect();
        Pivots::from_elements(elements, &Place::Index)
    }

    /// Reads the text of a pivots file. `file_name` helps to tell its form, and stands in errors.
    ///
    /// The forms: a JSON array, an array literal as JSON5 and JavaScript write it, JavaScript that exports an array as
    /// `module.exports`, `exports.pivots`, `export default` or `export const pivots` (computed by whatever code), and
    /// plain lines with one key each, where a line that begins with `#`, or the part after a blank and `#`, is a
    /// comment. `null` as the first or last element stands for an open end, which every list has anyway; so `[null]`
    /// is the one range of all names. An empty list is an error, because it is rather a mistake than a wish.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Input`]: not such a file, code that fails or needs too much time or memory, or a
    /// pivot that is empty, no text, out of order or there twice; the error shows which, and its neighbour.
    pub fn parse(text: &str, file_name: &str) -> Result<Self> {
        Pivots::parse_within(text, file_name, Limits::DEFAULT).doing(|| format!("reading the pivots file {file_name}"))
    }

    fn parse_within(text: &str, file_name: &str, limits: Limits) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.len() > MAX_SOURCE_BYTES {
            let size = text.len();
            return Err(Error::input(format!("it has {size} bytes, and at most {MAX_SOURCE_BYTES} are read")));
        }
        let (elements, place) = match Form::of(text, file_name) {
            Form::Lines => {
                let (elements, line_numbers) = form::read_lines(text)?;
                (elements, Place::Lines(line_numbers))
            }
            Form::Code => (engine::evaluate(text, file_name, limits)?, Place::Index),
        };
        if elements.is_empty() {
            return Err(Error::input("it holds no pivots")
                .hint("for one range of all names, write [null]; for ranges, at least one key"));
        }
        if elements.len() > MAX_PIVOTS {
            return Err(too_many(elements.len() as f64));
        }
        Pivots::from_elements(elements, &place)
    }

    fn from_elements(mut elements: Vec<Element>, place: &Place) -> Result<Self> {
        let last = elements.len().saturating_sub(1);
        let mut keys: Vec<String> = Vec::with_capacity(elements.len());
        let mut index_of_last_key = 0;
        for index in 0..elements.len() {
            let element = std::mem::replace(&mut elements[index], Element::Null);
            let key = match element {
                Element::Text(key) => key,
                Element::Null if index == 0 || index == last => continue,
                Element::Null => return Err(inner_null(index, &keys, elements.get(index + 1), place)),
                Element::Other(what) => return Err(not_a_text(index, &what, place)),
            };
            if key.is_empty() {
                return Err(Error::input(format!("{} is an empty text", place.of(index)))
                    .hint("leave it out, or write null as the first or last element for an open end"));
            }
            if key.len() > MAX_PIVOT_BYTES {
                let (here, size) = (place.of(index), key.len());
                return Err(Error::input(format!(
                    "{here} has {size} bytes, and a pivot has at most {MAX_PIVOT_BYTES}: {}",
                    shown(&key)
                )));
            }
            if let Some(before) = keys.last().filter(|before| **before >= key) {
                return Err(out_of_order((index_of_last_key, before), (index, &key), place));
            }
            index_of_last_key = index;
            keys.push(key);
        }
        Ok(Pivots { keys })
    }

    /// The keys, strictly ascending by bytes.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// How many ranges they make: one more than keys.
    pub fn range_count(&self) -> usize {
        self.keys.len() + 1
    }

    /// The ranges in order, half-open and without gaps; the first is open below, the last above.
    pub fn ranges(&self) -> impl Iterator<Item = Partition> + '_ {
        (0..self.range_count()).map(|index| Partition {
            start: index.checked_sub(1).and_then(|before| self.keys.get(before)).cloned(),
            end: self.keys.get(index).cloned(),
        })
    }
}

/// How an error names an element's place.
enum Place {
    /// `pivots[3]`, counted from 0 as JavaScript does.
    Index,
    /// `line 7`, for each element.
    Lines(Vec<usize>),
}

impl Place {
    fn of(&self, index: usize) -> String {
        match self {
            Place::Lines(numbers) if index < numbers.len() => format!("line {}", numbers[index]),
            _ => format!("pivots[{index}]"),
        }
    }
}

/// `count` as JavaScript counts.
fn too_many(count: f64) -> Error {
    Error::input(format!("it has {count} pivots, and at most {MAX_PIVOTS} are read"))
}

fn inner_null(index: usize, keys: &[String], next: Option<&Element>, place: &Place) -> Error {
    let mut message = format!("{} is null", place.of(index));
    if let Some(before) = keys.last() {
        message.push_str(&format!(", after {}", shown(before)));
    }
    if let Some(Element::Text(next)) = next {
        message.push_str(&format!(", before {}", shown(next)));
    }
    Error::input(message).hint("null is an open end, so only the first and the last element can be null")
}

fn not_a_text(index: usize, what: &str, place: &Place) -> Error {
    Error::input(format!("{} is {what}, not a text", place.of(index)))
        .hint("every pivot is a text in quotes; only the first and the last may be null")
}

fn out_of_order(before: (usize, &str), here: (usize, &str), place: &Place) -> Error {
    let (before_place, here_place) = (place.of(before.0), place.of(here.0));
    if before.1 == here.1 {
        return Error::input(format!("{here_place} repeats {before_place}, {}", shown(here.1)))
            .hint("remove one of the two");
    }
    let message = format!("{here_place}, {}, sorts below {before_place}, {}", shown(here.1), shown(before.1));
    // JavaScript compares UTF-16 units, in which everything beyond U+FFFF sorts below U+E000 to U+FFFF.
    let hint = if before.1.encode_utf16().lt(here.1.encode_utf16()) {
        "names sort by their UTF-8 bytes; JavaScript's own sort goes by UTF-16 and differs here"
    } else {
        "sort the pivots by their bytes: signs and digits, @, capital letters, _, small letters"
    };
    Error::input(message).hint(hint)
}

/// A text in quotes, cut where it is too long to show.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((at, _)) => format!("{:?}…", &text[..at]),
        None => format!("{text:?}"),
    }
}
