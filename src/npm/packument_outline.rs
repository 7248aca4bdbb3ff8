//! The one walk over a packument that checks its JSON and notes where everything stands.
//!
//! What makes it fast: a version mostly repeats the one before it. Each key and value is first compared with what
//! stood there last time, which is many times faster than scanning it for its end; only what differs is scanned.

use std::borrow::Cow;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::json::{Cursor, JsonError, JsonProblem, Kind, RawString};
use super::packument::{
    DistMember, DistOutline, DocumentMember, Member, Outline, Replaced, Span, VersionMember, VersionOutline,
};

/// A member key that has not been seen in the version before.
const NOT_FOUND: usize = usize::MAX;

/// How far a key is looked for in the version before: versions have some 30 members, and what is not found is only
/// slower to read.
const MAX_LOOK: usize = 256;

/// Up to so many members, each key is compared with each; beyond, they are hashed.
const FEW_MEMBERS: usize = 64;

/// The most versions of one document. npm's largest have 40,000.
const MAX_VERSIONS: usize = 1_000_000;

/// The most members of all versions of one document, which take 28 bytes each.
const MAX_MEMBERS: usize = 8_000_000;

/// The most values that later ones of the same key replaced.
const MAX_REPLACED: usize = 100_000;

impl Outline {
    /// Reads the outline of a document. Fails where it is not JSON, or not an object; the outline is then of no use.
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
                let from = self.members.len();
                self.read_version(text, cursor, key, &mut before)?;
                before.members = (from, self.members.len());
                members = Some((from as u32, self.members.len() as u32));
                dist = before.dist;
            } else {
                cursor.value()?;
            }
            self.versions.push(VersionOutline { key, value: span(start, cursor.position()), members, dist });
            self.check_bounds(cursor)?;
        }
        Ok(())
    }

    /// Reads the members of one version, and leaves its `dist` in `last`.
    fn read_version(
        &mut self,
        text: &str,
        cursor: &mut Cursor<'_>,
        version: Span,
        last: &mut Before,
    ) -> Result<(), JsonError> {
        let before = last.members;
        let mut dist = None;
        let bytes = text.as_bytes();
        cursor.enter_object()?;
        let from = self.members.len();
        let mut first = true;
        let mut expected = before.0;
        let mut met = Met::new(before);
        let mut places = Places::default();
        while cursor.next_element(b'}', &mut first, "`,` or `}`")? {
            cursor.peek()?;
            let mut found = NOT_FOUND;
            let mut guess = None;
            if expected < before.1 {
                guess = self.members.get(expected).copied();
            }
            let key;
            let mut member;
            match guess {
                Some(like) if key_repeats(bytes, cursor.position(), like.key) => {
                    found = expected;
                    key = like.key;
                    member = like;
                    cursor.advance(key.size_bytes() as usize + 2);
                }
                _ => {
                    let raw = cursor.string()?;
                    let own = key_span_before(cursor, raw);
                    let earlier = self.members.get(expected..before.1).unwrap_or_default();
                    let mut at = earlier
                        .iter()
                        .take(MAX_LOOK)
                        .position(|like| like.key.of(text) == raw.inner)
                        .map(|at| at + expected);
                    if at.is_none() {
                        let earlier = self.members.get(before.0..expected).unwrap_or_default();
                        at = earlier
                            .iter()
                            .take(MAX_LOOK)
                            .position(|like| like.key.of(text) == raw.inner)
                            .map(|at| at + before.0);
                    }
                    match at.and_then(|at| self.members.get(at).map(|like| (at, *like))) {
                        Some((at, like)) => {
                            found = at;
                            key = like.key;
                            member = like;
                        }
                        None => {
                            key = own;
                            let known = VersionMember::of_key(&raw.unescape().text);
                            member = Member { key, value: Span::default(), member: known, plain_string: false };
                        }
                    }
                }
            }
            cursor.colon()?;
            let first_byte = cursor.peek()?;
            let start = cursor.position();
            let like = member.value;
            if found != NOT_FOUND && value_repeats(bytes, start, like) {
                cursor.advance(like.size_bytes() as usize);
                if member.member == Some(VersionMember::Dist) {
                    dist = last.dist;
                }
            } else if first_byte == b'{' && member.member == Some(VersionMember::Dist) {
                dist = self.read_dist(text, cursor, &mut last.dist_keys)?;
                member.plain_string = false;
                member.value = span(start, cursor.position());
            } else if first_byte == b'"' {
                let string = cursor.string()?;
                member.plain_string = !string.escaped;
                member.value = span(start, cursor.position());
            } else {
                cursor.value()?;
                member.plain_string = false;
                member.value = span(start, cursor.position());
            }
            if found != NOT_FOUND {
                expected = found + 1;
            }
            let twin = if met.may_repeat(found) { self.twin(text, from, key, &mut places) } else { None };
            match twin.and_then(|twin| self.members.get_mut(twin)) {
                Some(twin) => {
                    self.replaced.push(Replaced { version: Some(version), key, value: twin.value });
                    *twin = member;
                }
                None => self.members.push(member),
            }
            self.check_bounds(cursor)?;
        }
        last.dist = dist;
        Ok(())
    }

    /// Reads a version's `dist`, an object; answers its index unless one of its keys comes twice. `last_keys` are those of
    /// the one before, which nearly always come again in the same order.
    fn read_dist(
        &mut self,
        text: &str,
        cursor: &mut Cursor<'_>,
        last_keys: &mut Vec<(Span, Option<DistMember>)>,
    ) -> Result<Option<u32>, JsonError> {
        let mut dist = DistOutline::default();
        let mut is_repeated = false;
        cursor.enter_object()?;
        let mut first = true;
        let mut place = 0;
        while cursor.next_element(b'}', &mut first, "`,` or `}`")? {
            cursor.peek()?;
            let guess = last_keys.get(place).filter(|(like, _)| key_repeats(text.as_bytes(), cursor.position(), *like));
            let member = match guess {
                Some(&(key, member)) => {
                    cursor.advance(key.size_bytes() as usize + 2);
                    member
                }
                None => {
                    let raw = cursor.string()?;
                    let member = DistMember::of_key(&raw.unescape().text);
                    last_keys.truncate(place);
                    last_keys.push((key_span_before(cursor, raw), member));
                    member
                }
            };
            place += 1;
            cursor.colon()?;
            cursor.peek()?;
            let start = cursor.position();
            cursor.value()?;
            if let Some(slot) = member.and_then(|member| dist.values.get_mut(member as usize)) {
                is_repeated |= slot.replace(span(start, cursor.position())).is_some();
            }
        }
        self.dists.push(dist);
        Ok((!is_repeated).then_some(self.dists.len() as u32 - 1))
    }

    /// The index of a member from `from` on that has the same key. `places` are those that were hashed before.
    fn twin(&self, text: &str, from: usize, key: Span, places: &mut Places) -> Option<usize> {
        let key = key.of(text);
        let own = self.members.get(from..)?;
        if own.len() <= FEW_MEMBERS {
            return own.iter().position(|member| member.key.of(text) == key).map(|at| at + from);
        }
        let key_at = |place: &usize| self.members.get(*place).map_or("", |member| member.key.of(text));
        let Places { hasher, table } = places;
        let hash = |key: &str| hasher.hash_one(key);
        for place in from + table.len()..self.members.len() {
            table.insert_unique(hash(key_at(&place)), place, |place| hash(key_at(place)));
        }
        table.find(hash(key), |place| key_at(place) == key).copied()
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

    /// Keeps of versions with the same key the last one, at the place of the first.
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

/// What is remembered of the last version that was an object.
#[derive(Default)]
struct Before {
    /// Its members, as a range.
    members: (usize, usize),
    /// Its `dist`, as in [`VersionOutline`].
    dist: Option<u32>,
    /// The keys of the last `dist`.
    dist_keys: Vec<(Span, Option<DistMember>)>,
}

/// Which members of the version before have been met again. Nearly always that shows that a key has not come twice.
struct Met {
    before: (usize, usize),
    places: [u64; MAX_LOOK / 64],
    has_new_keys: bool,
}

impl Met {
    fn new(before: (usize, usize)) -> Met {
        Met { before, places: [0; MAX_LOOK / 64], has_new_keys: false }
    }

    /// Whether a key that was found at `found`, which is met by this, may have come earlier in its version.
    #[inline]
    fn may_repeat(&mut self, found: usize) -> bool {
        if self.before.1 - self.before.0 > MAX_LOOK {
            return true;
        }
        if found == NOT_FOUND {
            // All members before were looked at, so that it can only be another new key.
            return std::mem::replace(&mut self.has_new_keys, true);
        }
        let place = found - self.before.0;
        let Some(word) = self.places.get_mut(place / 64) else { return true };
        let bit = 1 << (place % 64);
        let is_met = *word & bit != 0;
        *word |= bit;
        is_met
    }
}

/// The members of one version by the hash of their keys.
#[derive(Default)]
struct Places {
    hasher: DefaultHashBuilder,
    table: HashTable<usize>,
}

fn span(start: usize, end: usize) -> Span {
    Span { start: start as u32, end: end as u32 }
}

/// Whether the quoted key at `position` is byte for byte the one at `like`.
#[inline]
fn key_repeats(bytes: &[u8], position: usize, like: Span) -> bool {
    // With its quotes, so that a key is not taken for a longer one that begins with it.
    let quoted = bytes.get(like.start as usize - 1..like.end as usize + 1);
    quoted.is_some_and(|quoted| bytes.get(position..).is_some_and(|rest| rest.starts_with(quoted)))
}

/// Whether the value at `position` is byte for byte the one at `like`. Only of values that end by themselves: a
/// number may go on.
#[inline]
fn value_repeats(bytes: &[u8], position: usize, like: Span) -> bool {
    let Some(value) = bytes.get(like.start as usize..like.end as usize) else { return false };
    matches!(value.first(), Some(b'"' | b'{' | b'[' | b't' | b'f' | b'n'))
        && bytes.get(position..).is_some_and(|rest| rest.starts_with(value))
}

/// The span of a key whose colon was just taken.
fn key_span(cursor: &Cursor<'_>, text: &str, key: RawString<'_>) -> Span {
    // The colon may stand after white space; the key's own address says where it is.
    let end = text.get(..cursor.position()).and_then(|read| read.rfind('"')).unwrap_or_default();
    span(end - key.inner.len().min(end), end)
}

/// The span of a string that the cursor stands directly behind.
fn key_span_before(cursor: &Cursor<'_>, key: RawString<'_>) -> Span {
    let end = cursor.position() - 1;
    span(end - key.inner.len().min(end), end)
}
