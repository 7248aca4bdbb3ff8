//! The walk over one version's members.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::before::{Before, MAX_LOOK, Met, common_prefix};
use super::span;
use crate::npm::json::{Cursor, JsonError, RawString};
use crate::npm::packument::{DistMember, DistOutline, Member, Outline, Replaced, Span, VersionMember};

/// Up to this many members, each key is compared with each. Beyond, the keys are hashed.
const FEW_MEMBERS: usize = 64;

impl Outline {
    /// Reads the members of one version, an object, and leaves them in `before`.
    pub(super) fn read_version(
        &mut self,
        text: &str,
        cursor: &mut Cursor<'_>,
        version: Span,
        before: &mut Before,
    ) -> Result<(), JsonError> {
        cursor.enter_object()?;
        let mut walk = VersionWalk {
            text,
            version,
            from: self.members.len(),
            expected: before.members.start,
            met: Met::new(before.members.clone()),
            hashed: HashedMembers::default(),
            places: std::mem::take(&mut before.spare_places),
            has_twins: false,
            dist: None,
            dist_member: None,
            before,
            outline: self,
        };
        let mut first = true;
        while cursor.next_element(b'}', &mut first, "`,` or `}`")? {
            cursor.peek()?;
            if !walk.take_repeated(cursor) {
                walk.read_member(cursor)?;
            }
            walk.outline.check_bounds(cursor)?;
        }
        walk.end(cursor.position());
        Ok(())
    }
}

/// The version that is being read.
struct VersionWalk<'w> {
    outline: &'w mut Outline,
    text: &'w str,
    before: &'w mut Before,
    /// Its key.
    version: Span,
    /// Its first member.
    from: usize,
    /// The member of the version before that probably comes next.
    expected: usize,
    met: Met,
    hashed: HashedMembers,
    /// As in [`Before`], like the next two.
    places: Vec<Span>,
    dist: Option<u32>,
    dist_member: Option<usize>,
    has_twins: bool,
}

impl VersionWalk<'_> {
    /// Takes the members that equal those of the version before at this place, byte for byte. Returns whether there
    /// were any.
    fn take_repeated(&mut self, cursor: &mut Cursor<'_>) -> bool {
        let bytes = self.text.as_bytes();
        let base = self.before.members.start;
        let likely = self.before.places.get(self.expected - base..).unwrap_or_default();
        let Some(start) = likely.first().map(|place| place.start as usize) else { return false };
        let position = cursor.position();
        let earlier = bytes.get(start..self.before.end).unwrap_or_default();
        let common_bytes = common_prefix(bytes.get(position..).unwrap_or_default(), earlier);
        let mut taken = 0;
        let mut taken_bytes = 0;
        for place in likely {
            // The byte after a value ends it, and has to be the same.
            let end = place.end as usize - start;
            if end >= common_bytes || self.met.may_repeat(Some(self.expected + taken)) {
                break;
            }
            self.places.push(span(place.start as usize - start + position, end + position));
            taken_bytes = end;
            taken += 1;
        }
        let members = self.expected..self.expected + taken;
        if self.before.dist_member.is_some_and(|dist| members.contains(&dist)) {
            self.dist = self.before.dist;
            self.dist_member = self.before.dist_member.map(|dist| dist - self.expected + self.outline.members.len());
        }
        self.outline.members.extend_from_within(members);
        self.expected += taken;
        cursor.advance(taken_bytes);
        taken > 0
    }

    /// Reads a member whose key or value differs from that at this place in the version before.
    fn read_member(&mut self, cursor: &mut Cursor<'_>) -> Result<(), JsonError> {
        let place_start = cursor.position();
        let (found, mut member) = self.read_key(cursor)?;
        cursor.colon()?;
        let first_byte = cursor.peek()?;
        let start = cursor.position();
        let is_dist = member.member == Some(VersionMember::Dist);
        let mut dist = None;
        if found.is_some() && value_repeats(self.text.as_bytes(), start, member.value) {
            cursor.advance(member.value.size_bytes() as usize);
            dist = self.before.dist;
        } else {
            member.plain_string = false;
            if first_byte == b'"' {
                member.plain_string = !cursor.string()?.escaped;
            } else if first_byte == b'{' && is_dist {
                dist = self.read_dist(cursor)?;
            } else {
                cursor.value()?;
            }
            member.value = span(start, cursor.position());
        }
        if is_dist {
            self.dist = dist;
            self.dist_member = Some(self.outline.members.len());
        }
        if let Some(found) = found {
            self.expected = found + 1;
        }
        let twin = if self.met.may_repeat(found) { self.twin(member.key) } else { None };
        match twin.and_then(|twin| self.outline.members.get_mut(twin)) {
            Some(twin) => {
                let replaced = Replaced { version: Some(self.version), key: member.key, value: twin.value };
                *twin = member;
                self.outline.replaced.push(replaced);
                self.has_twins = true;
            }
            None => {
                self.outline.members.push(member);
                self.places.push(span(place_start, cursor.position()));
            }
        }
        Ok(())
    }

    /// Reads a key. Returns its place and its member in the version before, or no place and a member without a value.
    fn read_key(&mut self, cursor: &mut Cursor<'_>) -> Result<(Option<usize>, Member), JsonError> {
        let members = &self.outline.members;
        let before = self.before.members.clone();
        let guess = members.get(self.expected).filter(|_| self.expected < before.end);
        if let Some(like) = guess.filter(|like| key_repeats(self.text.as_bytes(), cursor.position(), like.key)) {
            cursor.advance(like.key.size_bytes() as usize + 2);
            return Ok((Some(self.expected), *like));
        }
        let raw = cursor.string()?;
        for range in [self.expected..before.end, before.start..self.expected] {
            let earlier = members.get(range.clone()).unwrap_or_default().iter().take(MAX_LOOK);
            let mut earlier = earlier.zip(range);
            if let Some((like, at)) = earlier.find(|(like, _)| like.key.of(self.text) == raw.inner) {
                return Ok((Some(at), *like));
            }
        }
        let (key, member) = (key_span_before(cursor, raw), VersionMember::of_key(&raw.unescape().text));
        Ok((None, Member { key, value: Span::default(), member, plain_string: false }))
    }

    /// Reads the version's `dist`, an object. Returns its index unless one of its keys comes twice. The keys of the one
    /// before nearly always come again in the same order.
    fn read_dist(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<u32>, JsonError> {
        let last_keys = &mut self.before.dist_keys;
        let mut dist = DistOutline::default();
        let mut is_repeated = false;
        cursor.enter_object()?;
        let mut first = true;
        let mut place = 0;
        while cursor.next_element(b'}', &mut first, "`,` or `}`")? {
            cursor.peek()?;
            let guess =
                last_keys.get(place).filter(|(like, _)| key_repeats(self.text.as_bytes(), cursor.position(), *like));
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
        self.outline.dists.push(dist);
        Ok((!is_repeated).then_some(self.outline.dists.len() as u32 - 1))
    }

    /// Returns the index of the version's member that has this key.
    fn twin(&mut self, key: Span) -> Option<usize> {
        let (members, text) = (&self.outline.members, self.text);
        let key = key.of(text);
        let own = members.get(self.from..)?;
        if own.len() <= FEW_MEMBERS {
            return own.iter().position(|member| member.key.of(text) == key).map(|at| at + self.from);
        }
        let key_at = |place: &usize| members.get(*place).map_or("", |member| member.key.of(text));
        let HashedMembers { hasher, table } = &mut self.hashed;
        let hash = |key: &str| hasher.hash_one(key);
        for place in self.from + table.len()..members.len() {
            table.insert_unique(hash(key_at(&place)), place, |place| hash(key_at(place)));
        }
        table.find(hash(key), |place| key_at(place) == key).copied()
    }

    /// Stores the state that the next version is compared with.
    fn end(self, end: usize) {
        let before = self.before;
        before.members = self.from..self.outline.members.len();
        before.spare_places = std::mem::replace(&mut before.places, self.places);
        before.spare_places.clear();
        if self.has_twins {
            before.places.clear();
        }
        before.end = end;
        before.dist = self.dist;
        before.dist_member = self.dist_member;
    }
}

/// The members of one version by the hash of their keys.
#[derive(Default)]
struct HashedMembers {
    hasher: DefaultHashBuilder,
    table: HashTable<usize>,
}

/// Returns whether the quoted key at `position` equals the one at `like`, byte for byte.
#[inline]
fn key_repeats(bytes: &[u8], position: usize, like: Span) -> bool {
    // The comparison includes the quotes: a longer key that begins with this one differs.
    let quoted = bytes.get(like.start as usize - 1..like.end as usize + 1);
    quoted.is_some_and(|quoted| bytes.get(position..).is_some_and(|rest| rest.starts_with(quoted)))
}

/// Returns whether the value at `position` equals the one at `like`, byte for byte. Only for values that end by
/// themselves: a number may continue.
#[inline]
fn value_repeats(bytes: &[u8], position: usize, like: Span) -> bool {
    let Some(value) = bytes.get(like.start as usize..like.end as usize) else { return false };
    matches!(value.first(), Some(b'"' | b'{' | b'[' | b't' | b'f' | b'n'))
        && bytes.get(position..).is_some_and(|rest| rest.starts_with(value))
}

/// Returns the span of the string that ends directly before the cursor.
fn key_span_before(cursor: &Cursor<'_>, key: RawString<'_>) -> Span {
    let end = cursor.position() - 1;
    span(end - key.inner.len().min(end), end)
}
