//! Reads values as their columns hold them, and notes a value that does not fit as a quirk. The plain kinds are here:
//! text, numbers, true and false, times. Not here: the shapes that one member may take (`shapes` and `version_shapes`).

use std::borrow::Cow;

use super::quirks::QuirksTable;
use crate::npm::QuirkCode;
use crate::npm::json::{Cursor, JsonError, Kind, RawString};
use crate::npm::timestamp::parse_quoted_micros;

/// Reads the values of one document, or of one of its versions.
pub(super) struct Reader<'t> {
    /// The package's name.
    pub(super) name: &'t str,
    /// The version that holds the members; `None` for those of the document.
    pub(super) version: Option<&'t str>,
    /// Whether the document contains a control character. Only then are strings searched for one.
    pub(super) has_control_characters: bool,
    pub(super) quirks: &'t mut QuirksTable,
}

impl Reader<'_> {
    /// Notes that the value `raw` of `field` did not become its column unchanged.
    #[cold]
    pub(super) fn note(&mut self, field: &str, code: QuirkCode, raw: &str) {
        self.quirks.push(self.name, self.version, Some(field), code, raw);
    }

    /// Returns the value of a string.
    #[inline]
    pub(super) fn unescape<'v>(&mut self, field: &str, string: RawString<'v>) -> Cow<'v, str> {
        if !string.escaped && !self.has_control_characters {
            return Cow::Borrowed(string.inner);
        }
        self.unescape_checked(field, string)
    }

    #[cold]
    fn unescape_checked<'v>(&mut self, field: &str, string: RawString<'v>) -> Cow<'v, str> {
        if string.inner.bytes().any(|byte| byte < b' ') {
            self.note(field, QuirkCode::ControlCharacter, &quoted(string));
        }
        let unescaped = string.unescape();
        if unescaped.lone_surrogate {
            self.note(field, QuirkCode::LoneSurrogate, &quoted(string));
        }
        unescaped.text
    }

    /// Reads text. Returns `None` for `null` and for an absent value.
    pub(super) fn text<'v>(&mut self, field: &str, raw: Option<&'v str>) -> Option<Cow<'v, str>> {
        let raw = raw?;
        match Kind::of(raw) {
            Kind::String => Some(self.unescape(field, RawString::of(raw))),
            Kind::Null => None,
            _ => {
                self.note(field, QuirkCode::NotAString, raw);
                None
            }
        }
    }

    /// Reads true or false. Returns `None` for `null` and for an absent value.
    pub(super) fn boolean(&mut self, field: &str, raw: Option<&str>) -> Option<bool> {
        match raw? {
            "true" => Some(true),
            "false" => Some(false),
            "null" => None,
            other => {
                self.note(field, QuirkCode::NotABoolean, other);
                None
            }
        }
    }

    /// Reads a whole number of 64 bits in any spelling (`3`, `3.0`, `1e3`). Returns `None` for `null` and for an absent
    /// value.
    pub(super) fn integer(&mut self, field: &str, raw: Option<&str>) -> Option<i64> {
        let raw = raw?;
        let number = raw.parse::<i64>().ok().or_else(|| match Kind::of(raw) {
            Kind::Number => exact_integer(raw),
            _ => None,
        });
        if number.is_none() && raw != "null" {
            self.note(field, QuirkCode::NotAnInteger, raw);
        }
        number
    }

    /// Reads a point in time in microseconds since 1970. Returns `None` for `null` and for an absent value.
    pub(super) fn time(&mut self, field: &str, raw: Option<&str>) -> Option<i64> {
        let raw = raw?;
        let micros = parse_quoted_micros(raw);
        if micros.is_none() && raw != "null" {
            self.note(field, QuirkCode::NotATime, raw);
        }
        micros
    }

    /// Returns the entries of an object, each key once at the place of its first occurrence with its last value. Any
    /// other value has none, and notes a quirk unless it is `null`.
    pub(super) fn entries<'v>(&mut self, field: &str, raw: Option<&'v str>) -> Option<Vec<Entry<'v>>> {
        let raw = raw?;
        match Kind::of(raw) {
            Kind::Null => None,
            Kind::Object => {
                let mut entries = Vec::new();
                self.object(field, raw, &mut entries);
                Some(entries)
            }
            _ => {
                self.note(field, QuirkCode::NotAnObject, raw);
                None
            }
        }
    }

    /// Returns the values of the members `keys` of an object, in their order; `None` for `null` and absent ones. Of a
    /// repeated key the last counts. Any other value has none, and notes a quirk unless it is `null`.
    pub(super) fn pick<'v, const COUNT: usize>(
        &mut self,
        field: &str,
        raw: Option<&'v str>,
        keys: [&str; COUNT],
    ) -> [Option<&'v str>; COUNT] {
        let mut values = [None; COUNT];
        match raw.map(|raw| (Kind::of(raw), raw)) {
            None | Some((Kind::Null, _)) => {}
            Some((Kind::Object, raw)) => {
                // The outline has checked the JSON of the whole document, so an error cannot occur.
                let _ = self.read_picked(field, raw, keys, &mut values);
            }
            Some((_, raw)) => self.note(field, QuirkCode::NotAnObject, raw),
        }
        values.map(|value| value.filter(|value| *value != "null"))
    }

    fn read_picked<'v, const COUNT: usize>(
        &mut self,
        field: &str,
        raw: &'v str,
        keys: [&str; COUNT],
        values: &mut [Option<&'v str>; COUNT],
    ) -> Result<(), JsonError> {
        let mut cursor = Cursor::new(raw);
        cursor.enter_object()?;
        let mut first = true;
        while let Some(key) = cursor.next_key(&mut first)? {
            let key = key.unescape().text;
            let value = cursor.value()?;
            let Some(place) = keys.iter().position(|wanted| *wanted == key) else { continue };
            let Some(slot) = values.get_mut(place) else { continue };
            if let Some(replaced) = slot.replace(value) {
                self.note(&format!("{field}.{key}"), QuirkCode::DuplicateKey, replaced);
            }
        }
        Ok(())
    }

    /// Reads the entries of `raw`, an object that was checked before, into `entries`.
    pub(super) fn object<'v>(&mut self, field: &str, raw: &'v str, entries: &mut Vec<Entry<'v>>) {
        entries.clear();
        // The outline has checked the JSON of the whole document, so an error cannot occur.
        let _ = self.read_object(field, raw, entries);
        self.settle_repeated(field, entries);
    }

    fn read_object<'v>(&mut self, field: &str, raw: &'v str, entries: &mut Vec<Entry<'v>>) -> Result<(), JsonError> {
        let mut cursor = Cursor::new(raw);
        cursor.enter_object()?;
        let mut first = true;
        while let Some(key) = cursor.next_key(&mut first)? {
            let key = self.unescape(field, key);
            let value = cursor.raw_value()?;
            entries.push(Entry { key, raw: value.raw, plain_string: value.plain_string });
        }
        Ok(())
    }

    fn settle_repeated(&mut self, field: &str, entries: &mut Vec<Entry<'_>>) {
        let Some(places) = repeated_keys(entries) else { return };
        for &(first, place) in &places {
            let Some(last) = entries.get(place).cloned() else { continue };
            let Some(slot) = entries.get_mut(first) else { continue };
            let replaced = std::mem::replace(slot, last);
            self.note(&format!("{field}.{}", replaced.key), QuirkCode::DuplicateKey, replaced.raw);
        }
        let mut gone = places.into_iter().map(|(_, place)| place).peekable();
        let mut place = 0;
        entries.retain(|_| {
            let keep = gone.next_if_eq(&place).is_none();
            place += 1;
            keep
        });
    }

    /// Returns the items of a list. Any other value has none.
    pub(super) fn items(raw: &str) -> Vec<&str> {
        let mut items = Vec::new();
        let mut read = || -> Result<(), JsonError> {
            let mut cursor = Cursor::new(raw);
            cursor.enter_array()?;
            let mut first = true;
            while cursor.next_item(&mut first)? {
                items.push(cursor.value()?);
            }
            Ok(())
        };
        // As in `object`: an error cannot occur.
        let _ = read();
        items
    }
}

/// One entry of an object.
#[derive(Debug, Clone)]
pub(super) struct Entry<'v> {
    pub(super) key: Cow<'v, str>,
    /// The value's text.
    pub(super) raw: &'v str,
    /// Whether the value is a string without escapes.
    pub(super) plain_string: bool,
}

impl<'v> Entry<'v> {
    /// Returns the value as text if it is a string.
    #[inline]
    pub(super) fn string(&self) -> Option<RawString<'v>> {
        if self.plain_string {
            let inner = self.raw.get(1..self.raw.len() - 1).unwrap_or_default();
            return Some(RawString { inner, escaped: false });
        }
        (Kind::of(self.raw) == Kind::String).then(|| RawString::of(self.raw))
    }
}

/// Returns the value of a member among the entries of an object.
pub(super) fn member<'v>(entries: &[Entry<'v>], key: &str) -> Option<&'v str> {
    entries.iter().find(|entry| entry.key == key).map(|entry| entry.raw)
}

/// Returns whether a text contains a control character. It computes the least byte of whole blocks, for which there is
/// a vector instruction.
pub(super) fn has_control_character(bytes: &[u8]) -> bool {
    bytes.chunks(1 << 12).any(|block| block.iter().fold(u8::MAX, |least, byte| least.min(*byte)) < b' ')
}

/// Returns the places of repeated keys, each with the place of the first of its name; `None` if there are none.
fn repeated_keys(entries: &[Entry<'_>]) -> Option<Vec<(usize, usize)>> {
    /// Up to this size comparing each with each is quicker than hashing.
    const FEW: usize = 24;
    // Tools write dependencies in the order of their names, and ascending keys cannot repeat.
    if entries.is_sorted_by(|one, next| one.key < next.key) {
        return None;
    }
    let mut places = Vec::new();
    if entries.len() <= FEW {
        for (place, entry) in entries.iter().enumerate() {
            let earlier = entries.get(..place).unwrap_or_default();
            if let Some(first) = earlier.iter().position(|other| other.key == entry.key) {
                places.push((first, place));
            }
        }
    } else {
        let mut firsts = hashbrown::HashMap::with_capacity(entries.len());
        for (place, entry) in entries.iter().enumerate() {
            match firsts.entry(entry.key.as_ref()) {
                hashbrown::hash_map::Entry::Occupied(first) => places.push((*first.get(), place)),
                hashbrown::hash_map::Entry::Vacant(vacant) => {
                    vacant.insert(place);
                }
            }
        }
    }
    (!places.is_empty()).then_some(places)
}

/// Returns whether JavaScript takes a value for true.
pub(super) fn is_truthy(raw: &str) -> bool {
    match Kind::of(raw) {
        Kind::Null => false,
        Kind::Boolean => raw == "true",
        Kind::String => raw != "\"\"",
        Kind::Number => raw.parse::<f64>().is_ok_and(|number| number != 0.0),
        Kind::Array | Kind::Object => true,
    }
}

/// Returns the quirk of a column that was read from a value of this kind where another belongs.
pub(super) fn read_from(kind: Kind) -> QuirkCode {
    match kind {
        Kind::String => QuirkCode::ReadFromString,
        Kind::Array => QuirkCode::ReadFromList,
        Kind::Object | Kind::Null => QuirkCode::ReadFromObject,
        Kind::Boolean => QuirkCode::ReadFromBoolean,
        Kind::Number => QuirkCode::ReadFromNumber,
    }
}

/// Returns the whole number of a JSON number, if a float holds it exactly.
fn exact_integer(raw: &str) -> Option<i64> {
    /// 2^53: every whole number up to here has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = raw.parse::<f64>().ok()?;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

fn quoted(string: RawString<'_>) -> String {
    format!("\"{}\"", string.inner)
}
