//! Functions that read rows of both kinds.

use std::borrow::Cow;

use memchr::memchr2;

use crate::npm::json::{Cursor, Kind, RawString};
use crate::npm::{PackageName, Revision};

/// The prefix of CouchDB's own documents (views), which older registries list beside the packages.
const DESIGN_PREFIX: &[u8] = b"_design/";

/// Splits before the closing quote; `None` where there is none, or an escape before it.
pub(super) fn plain_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr2(b'"', b'\\', bytes)?;
    let (text, rest) = bytes.split_at_checked(end)?;
    rest.starts_with(b"\"").then_some((text, rest))
}

/// Returns the name and the revision of a row, where they name a package.
pub(super) fn usable(id: &[u8], rev: &[u8]) -> Option<(PackageName, Revision)> {
    if id.starts_with(DESIGN_PREFIX) {
        return None;
    }
    let (id, rev) = (std::str::from_utf8(id).ok()?, std::str::from_utf8(rev).ok()?);
    Some((PackageName::new(id), Revision::new(rev)))
}

/// Returns the values of some members of an object. Of equal keys the last counts, as in JavaScript.
pub(super) fn members<'a, const COUNT: usize>(
    object: &'a str,
    keys: [&str; COUNT],
) -> Option<[Option<&'a str>; COUNT]> {
    let mut values = [None; COUNT];
    let mut cursor = Cursor::new(object);
    cursor.enter_object().ok()?;
    let mut first = true;
    while let Some(key) = cursor.next_key(&mut first).ok()? {
        let key = key.unescape().text;
        let value = cursor.value().ok()?;
        if let Some(slot) = keys.iter().position(|wanted| *wanted == key).and_then(|place| values.get_mut(place)) {
            *slot = Some(value);
        }
    }
    cursor.finish().ok()?;
    Some(values)
}

/// Returns `None` for a value that is no string, and for a string that is no Unicode text.
pub(super) fn text(value: &str) -> Option<Cow<'_, str>> {
    let string = (Kind::of(value) == Kind::String).then(|| RawString::of(value).unescape())?;
    (!string.lone_surrogate).then_some(string.text)
}
