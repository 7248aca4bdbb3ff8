//! Decodes a page of `_all_docs` while its body arrives: no tree of the body, no whole body in memory.
//!
//! Not here: asking for a page (`registry/`), and whether its rows are in order or wanted (`scan`).

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use memchr::memchr2;

use super::json::{Cursor, Kind, RawString};
use super::json_element::{ElementEnd, white_space};
use super::{DocRow, MAX_PAGE_ROWS, PackageName, Page, Revision};
use crate::error::{Error, ErrorKind, Result, Retry};

/// The longest row, or member beside the rows, that is looked for the end of. npm's rows have some 110 bytes, a name has
/// at most a few hundred; what is a thousand times that is an attack or no page.
const MAX_ELEMENT_BYTES: usize = 1 << 20;

/// How much is looked at in one go, so that what is kept over stays small however much is fed at once.
const BLOCK_BYTES: usize = 64 << 10;

/// CouchDB's own documents (views), which `_all_docs` of older registries lists beside the packages.
const DESIGN_PREFIX: &[u8] = b"_design/";

/// What comes next in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    BeforeKey,
    BeforeColon(Member),
    BeforeValue(Member),
    AfterValue,
    BeforeRow,
    AfterRow,
    End,
}

/// A member of the page's object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    TotalRows,
    Offset,
    Rows,
    Other,
}

/// Feed it the body in any cuts, then [`finish`](PageDecoder::finish) it.
///
/// Rows are `{"id", "key", "value": {"rev"}}` in any order of members, with any white space and any members beside
/// these. A row without a usable id and revision is counted, not fatal: one whose id or revision is missing or no
/// string, one whose id holds a lone surrogate or bytes that are not UTF-8 (no request could name it), a `_design/` document.
/// Memory is that of the page's rows and one row more.
#[derive(Debug)]
pub struct PageDecoder {
    place: Place,
    element: ElementEnd,
    /// The beginning of an element whose end has not come.
    kept: Vec<u8>,
    page: Page,
    max_rows: usize,
    rows_seen: bool,
}

impl PageDecoder {
    /// A decoder for the answer to a query with `limit`. More rows than that, or than [`MAX_PAGE_ROWS`] if that is
    /// more, are an error: such a server does not know what a page is.
    pub fn new(limit: u32) -> Self {
        PageDecoder {
            place: Place::Start,
            element: ElementEnd::default(),
            kept: Vec::new(),
            page: Page::default(),
            max_rows: limit.max(MAX_PAGE_ROWS) as usize,
            rows_seen: false,
        }
    }

    /// Takes the next bytes of the body.
    ///
    /// Fails, of kind Network, as soon as the body cannot be a page any more. Asking again may help: a server's fault
    /// page often comes with status 200.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        for block in bytes.chunks(BLOCK_BYTES) {
            if self.kept.is_empty() {
                let used = self.consume(block)?;
                self.kept.extend_from_slice(block.get(used..).unwrap_or_default());
            } else {
                let mut kept = std::mem::take(&mut self.kept);
                kept.extend_from_slice(block);
                let used = self.consume(&kept)?;
                kept.drain(..used);
                self.kept = kept;
            }
            if self.kept.len() > MAX_ELEMENT_BYTES {
                return Err(not_a_page(format!("it holds a single value of more than {MAX_ELEMENT_BYTES} bytes")));
            }
        }
        Ok(())
    }

    /// The page, once the whole body has been fed.
    ///
    /// Fails, of kind Network, when the body stopped before the page's end, or had no `rows`.
    pub fn finish(self) -> Result<Page> {
        if self.place != Place::End || !self.kept.is_empty() {
            return Err(not_a_page("the body stops before its end"));
        }
        if !self.rows_seen {
            return Err(not_a_page("it has no array called rows"));
        }
        Ok(self.page)
    }

    /// Goes on from `self.place` as far as `input` allows, and says how many bytes are done with.
    fn consume(&mut self, input: &[u8]) -> Result<usize> {
        let mut at = 0;
        loop {
            let mut rest = input.get(at..).unwrap_or_default();
            if !self.element.is_under_way() {
                let space = white_space(rest);
                at += space;
                rest = rest.get(space..).unwrap_or_default();
            }
            let Some(&byte) = rest.first() else { return Ok(at) };
            let used = match (self.place, byte) {
                (Place::BeforeRow, b']') => self.step(Place::AfterValue),
                (Place::BeforeRow, _) => self.row(rest)?,
                (Place::AfterRow, b',') => self.step(Place::BeforeRow),
                (Place::AfterRow, b']') => self.step(Place::AfterValue),
                (Place::Start, b'{') => self.step(Place::BeforeKey),
                (Place::Start, _) => return Err(not_a_page(format!("it begins with {:?}", beginning(rest)))),
                (Place::BeforeKey, b'"') => self.key(rest),
                (Place::BeforeColon(member), b':') => self.step(Place::BeforeValue(member)),
                (Place::BeforeValue(Member::Rows), b'[') => {
                    self.rows_seen = true;
                    self.step(Place::BeforeRow)
                }
                (Place::BeforeValue(member), _) => self.value(member, rest)?,
                (Place::AfterValue, b',') => self.step(Place::BeforeKey),
                (Place::AfterValue | Place::BeforeKey, b'}') => self.step(Place::End),
                (Place::End, _) => return Err(not_a_page("something follows its end")),
                _ => return Err(not_a_page(format!("{:?} stands where it must not", beginning(rest)))),
            };
            if used == 0 {
                return Ok(at);
            }
            at += used;
        }
    }

    fn step(&mut self, next: Place) -> usize {
        self.place = next;
        1
    }

    /// Each of the next three takes one element off the beginning of `rest` and says its length: 0 if its end has not come.
    fn key(&mut self, rest: &[u8]) -> usize {
        let Some(length) = self.element.find(rest) else { return 0 };
        let member = match rest.get(..length).unwrap_or_default() {
            b"\"rows\"" => Member::Rows,
            b"\"total_rows\"" => Member::TotalRows,
            b"\"offset\"" => Member::Offset,
            _ => Member::Other,
        };
        self.place = Place::BeforeColon(member);
        length
    }

    fn value(&mut self, member: Member, rest: &[u8]) -> Result<usize> {
        let Some(length) = self.element.find(rest) else { return Ok(0) };
        if length == 0 {
            return Err(not_a_page("a member has no value"));
        }
        let number = || serde_json::from_slice::<u64>(rest.get(..length).unwrap_or_default()).ok();
        match member {
            Member::TotalRows => self.page.total_rows = number(),
            Member::Offset => self.page.offset = number(),
            // A `rows` that is no array is as good as none.
            Member::Rows | Member::Other => {}
        }
        self.place = Place::AfterValue;
        Ok(length)
    }

    fn row(&mut self, rest: &[u8]) -> Result<usize> {
        // An element that is under way has already been found not to be complete in the usual form.
        let usual = if self.element.is_under_way() { None } else { usual_row(rest) };
        let (length, row) = match usual {
            Some((id, rev, length)) => (length, usable(id, rev)),
            None => match self.element.find(rest) {
                Some(0) => return Err(not_a_page("a row is missing between two commas")),
                Some(length) => (length, unusual_row(rest.get(..length).unwrap_or_default())),
                None => return Ok(0),
            },
        };
        if self.page.rows.len() >= self.max_rows || self.page.unusable_rows >= self.max_rows as u64 {
            return Err(not_a_page(format!("it has more than the {} rows that were asked for", self.max_rows)));
        }
        match row {
            Some(row) => self.page.rows.push(row),
            None => self.page.unusable_rows += 1,
        }
        self.place = Place::AfterRow;
        Ok(length)
    }
}

/// A row exactly as npm and CouchDB write it, without escapes: its id, its revision and its length.
fn usual_row(bytes: &[u8]) -> Option<(&[u8], &[u8], usize)> {
    let rest = bytes.strip_prefix(b"{\"id\":\"")?;
    let (id, rest) = plain_text(rest)?;
    let rest = rest.strip_prefix(b"\",\"key\":\"")?.strip_prefix(id)?.strip_prefix(b"\",\"value\":{\"rev\":\"")?;
    let (rev, rest) = plain_text(rest)?;
    let rest = rest.strip_prefix(b"\"}}")?;
    Some((id, rev, bytes.len() - rest.len()))
}

/// Splits before the closing quote; `None` where there is none, or an escape before it.
fn plain_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr2(b'"', b'\\', bytes)?;
    let (text, rest) = bytes.split_at_checked(end)?;
    rest.starts_with(b"\"").then_some((text, rest))
}

fn usable(id: &[u8], rev: &[u8]) -> Option<DocRow> {
    if id.starts_with(DESIGN_PREFIX) {
        return None;
    }
    let (id, rev) = (std::str::from_utf8(id).ok()?, std::str::from_utf8(rev).ok()?);
    Some(DocRow { name: PackageName::new(id), rev: Revision::new(rev) })
}

/// A row in any other form. What is no row at all is `None` too: its brackets match, so the rest of the page can be read.
///
/// It lets through what the usual form lets through, raw control characters among it: where the network cut the body
/// decides which of the two reads a row.
fn unusual_row(bytes: &[u8]) -> Option<DocRow> {
    let [id, value] = members(std::str::from_utf8(bytes).ok()?, ["id", "value"])?;
    let [rev] = members(value?, ["rev"])?;
    let (id, rev) = (text(id?)?, text(rev?)?);
    usable(id.as_bytes(), rev.as_bytes())
}

/// The values of some members of an object, of equal keys the last, as JavaScript does.
fn members<'a, const COUNT: usize>(object: &'a str, keys: [&str; COUNT]) -> Option<[Option<&'a str>; COUNT]> {
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

/// `None` for what is no string, and for one that is no Unicode text.
fn text(value: &str) -> Option<Cow<'_, str>> {
    let string = (Kind::of(value) == Kind::String).then(|| RawString::of(value).unescape())?;
    (!string.lone_surrogate).then_some(string.text)
}

/// The first few characters, for a message.
fn beginning(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..40).unwrap_or(bytes)).into_owned()
}

fn not_a_page(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Network, format!("the answer is no page of _all_docs: {why}")).retry(Retry::Later)
}
