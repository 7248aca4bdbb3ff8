//! Reads a packument in one pass: checks its JSON and records the place of everything.
//!
//! It is fast because a version mostly repeats the one before it. It compares the two, which is many times faster than
//! scanning, and scans only the differences (`version`).

mod before;
#[cfg(test)]
mod tests;
mod version;

use std::borrow::Cow;

use hashbrown::HashMap;

use self::before::Before;
use super::json::{Cursor, JsonError, JsonProblem, Kind, RawString};
use super::packument::{DocumentMember, Outline, Replaced, Span, VersionOutline};

/// The most versions of one document. npm's largest have 40,000.
const MAX_VERSIONS: usize = 1_000_000;

/// The most members of all versions of one document, which take 28 bytes each.
const MAX_MEMBERS: usize = 8_000_000;

/// The most values that later ones of the same key replaced.
const MAX_REPLACED: usize = 100_000;

impl Outline {
    /// Reads the outline of a document. Fails where it is not JSON, or not an object; the outline is then unusable.
    pub fn read(&mut self, text: &str) -> Result<(), JsonError> {
        self.document = [None; DocumentMember::COUNT];
        self.versions.clear();
        self.members.clear();
        self.dists.clear();
        self.replaced.clear();
        if u32::try_from(text.len()).is_err() {
            return Err(JsonError { offset: 0, problem: JsonProblem::Expected("a document below 4 GiB") });
        }
        let mut cursor = Cursor::new(text);
        cursor.enter_object()?;
        let mut first = true;
        while let Some(key) = cursor.next_key(&mut first)? {
            let key_span = key_span(&cursor, text, key);
            let member = DocumentMember::of_key(&key.unescape().text);
            cursor.peek()?;
            let start = cursor.position();
            if member == Some(DocumentMember::Versions) {
                self.versions.clear();
                self.members.clear();
                self.dists.clear();
            }
            if member == Some(DocumentMember::Versions) && cursor.peek_kind()? == Kind::Object {
                self.read_versions(text, &mut cursor)?;
            } else {
                cursor.value()?;
            }
            let Some(slot) = member.and_then(|member| self.document.get_mut(member as usize)) else { continue };
            if let Some(value) = slot.replace(span(start, cursor.position())) {
                self.replaced.push(Replaced { version: None, key: key_span, value });
                self.check_bounds(&cursor)?;
            }
        }
        cursor.finish()?;
        self.settle_repeated_versions(text);
        Ok(())
    }

    fn read_versions(&mut self, text: &str, cursor: &mut Cursor<'_>) -> Result<(), JsonError> {
        cursor.enter_object()?;
        let mut first = true;
        let mut before = Before::default();
        while let Some(key) = cursor.next_key(&mut first)? {
            let key = key_span(cursor, text, key);
            cursor.peek()?;
            let start = cursor.position();
            let (mut members, mut dist) = (None, None);
            if cursor.peek_kind()? == Kind::Object {
                self.read_version(text, cursor, key, &mut before)?;
                members = Some((before.members.start as u32, before.members.end as u32));
                dist = before.dist;
            } else {
                cursor.value()?;
            }
            self.versions.push(VersionOutline { key, value: span(start, cursor.position()), members, dist });
            self.check_bounds(cursor)?;
        }
        Ok(())
    }

    #[inline]
    fn check_bounds(&self, cursor: &Cursor<'_>) -> Result<(), JsonError> {
        let are_few = self.versions.len() <= MAX_VERSIONS && self.members.len() <= MAX_MEMBERS;
        if are_few && self.replaced.len() <= MAX_REPLACED {
            return Ok(());
        }
        let problem = JsonProblem::Expected("fewer versions, members or repeated keys");
        Err(JsonError { offset: cursor.position(), problem })
    }

    /// Keeps the last of the versions with the same key, at the place of the first.
    fn settle_repeated_versions(&mut self, text: &str) {
        let mut first_places: HashMap<Cow<'_, str>, usize> = HashMap::with_capacity(self.versions.len());
        let mut replacements = Vec::new();
        for (place, version) in self.versions.iter().enumerate() {
            match first_places.entry(RawString::of_inner(version.key.of(text)).unescape().text) {
                hashbrown::hash_map::Entry::Occupied(first) => replacements.push((*first.get(), place)),
                hashbrown::hash_map::Entry::Vacant(vacant) => {
                    vacant.insert(place);
                }
            }
        }
        if replacements.is_empty() {
            return;
        }
        for &(first, place) in &replacements {
            let Some(last) = self.versions.get(place).copied() else { continue };
            let Some(slot) = self.versions.get_mut(first) else { continue };
            self.replaced.push(Replaced { version: None, key: slot.key, value: slot.value });
            *slot = last;
        }
        let mut gone: Vec<usize> = replacements.into_iter().map(|(_, place)| place).collect();
        gone.reverse();
        let mut place = 0;
        self.versions.retain(|_| {
            let keep = gone.last() != Some(&place);
            if !keep {
                gone.pop();
            }
            place += 1;
            keep
        });
    }
}

fn span(start: usize, end: usize) -> Span {
    Span { start: start as u32, end: end as u32 }
}

/// Returns the span of a key whose colon was just taken.
fn key_span(cursor: &Cursor<'_>, text: &str, key: RawString<'_>) -> Span {
    // White space may precede the colon; the key's own address gives its place.
    let end = text.get(..cursor.position()).and_then(|read| read.rfind('"')).unwrap_or_default();
    span(end - key.inner.len().min(end), end)
}
