//! Decodes a page of `_all_docs` or `_changes` while its body arrives: no tree of the body, no whole body in memory.
//!
//! Not here: requesting a page (`registry/`), and checking the order and the range of its rows (`scan`).

#[cfg(test)]
mod change_tests;
mod change_rows;
mod doc_rows;
mod row;
#[cfg(test)]
mod tests;

use super::json_element::{ElementEnd, white_space};
use super::{ChangesPage, MAX_PAGE_ROWS, Page};
use crate::error::{Error, ErrorKind, Result};

/// Decodes pages of `_all_docs`.
pub type PageDecoder = RowsDecoder<Page>;

/// Decodes pages of `_changes`.
pub type ChangesDecoder = RowsDecoder<ChangesPage>;

/// The longest row, or member beside the rows, whose end is searched. npm's rows have some 110 bytes, and a name has at
/// most a few hundred. A thousand times that is an attack or no page.
const MAX_ELEMENT_BYTES: usize = 1 << 20;

/// The most bytes examined in one step: the remainder stays small however much is fed at once.
const BLOCK_BYTES: usize = 64 << 10;

/// The next expected part of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
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
    /// The array of rows.
    Rows,
    /// A kept member, by its place among [`RowsPage::MEMBERS`].
    Kept(usize),
    Other,
}

/// A kind of page: an object with an array of rows and some members beside it.
pub trait RowsPage: Default {
    /// The path of such a page below the URL of the database.
    const RESOURCE: &'static str;
    /// The name of the array.
    const ROWS: &'static str;
    /// The kept members beside it.
    const MEMBERS: &'static [&'static str];
    /// One row.
    type Row;

    /// Keeps the value of the member at this place of [`RowsPage::MEMBERS`], as it is spelled in the body.
    fn keep_member(&mut self, place: usize, value: &[u8]);

    /// Returns the row that `bytes` begin with, and its length, where it is whole and exactly as npm writes it. The row
    /// is `None` where it is unusable.
    fn usual_row(bytes: &[u8]) -> Option<(Option<Self::Row>, usize)>;

    /// Reads a whole row in any form; `None` where it is unusable. An element that is no row at all is `None` too: its
    /// brackets match, so the rest of the page can be read. It must agree with [`RowsPage::usual_row`], down to raw
    /// control characters: the place where the network cut the body decides which of the two reads a row.
    fn unusual_row(bytes: &[u8]) -> Option<Self::Row>;

    /// Returns the rows so far, and the count of unusable ones.
    fn rows(&mut self) -> (&mut Vec<Self::Row>, &mut u64);

    /// Returns the name of an indispensable member that a complete page lacks, if it lacks one.
    fn lacks(&self) -> Option<&'static str> {
        None
    }
}

/// Feed it the body in pieces of any size, then [`finish`](RowsDecoder::finish) it.
///
/// Rows may have their members in any order, with any white space and any unknown members. A row without a usable id
/// and revision is counted, not fatal: an id or revision that is missing or no string, an id with a lone surrogate or
/// bytes that are not UTF-8 (no request could name it), a `_design/` document. Memory holds the page's rows and one row
/// more.
#[derive(Debug)]
pub struct RowsDecoder<P> {
    expected: Expected,
    element: ElementEnd,
    /// The beginning of an element whose end has not arrived.
    kept: Vec<u8>,
    page: P,
    max_rows: usize,
    rows_seen: bool,
}

impl<P: RowsPage> RowsDecoder<P> {
    /// Returns a decoder for the response to a query with `limit`. More rows than that, or than [`MAX_PAGE_ROWS`] if
    /// that is more, are an error: such a server does not implement pages.
    pub fn new(limit: u32) -> Self {
        RowsDecoder {
            expected: Expected::Start,
            element: ElementEnd::default(),
            kept: Vec::new(),
            page: P::default(),
            max_rows: limit.max(MAX_PAGE_ROWS) as usize,
            rows_seen: false,
        }
    }

    /// Takes the next bytes of the body.
    ///
    /// Fails with kind Network as soon as the body can no longer be a page. A retry may help: a server's fault page
    /// often comes with status 200.
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
                return Err(not_a_page::<P>(format!("it has a single value of more than {MAX_ELEMENT_BYTES} bytes")));
            }
        }
        Ok(())
    }

    /// Returns the page, once the whole body has been fed.
    ///
    /// Fails with kind Network when the body stopped before the page's end, or had no array of rows.
    pub fn finish(self) -> Result<P> {
        if self.expected != Expected::End || !self.kept.is_empty() {
            return Err(not_a_page::<P>("the body stops before its end"));
        }
        if !self.rows_seen {
            return Err(not_a_page::<P>(format!("it has no array called {}", P::ROWS)));
        }
        if let Some(lack) = self.page.lacks() {
            return Err(not_a_page::<P>(format!("it lacks {lack}")));
        }
        Ok(self.page)
    }

    /// Continues from `self.expected` as far as `input` allows. Returns the number of consumed bytes.
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
            let used = match (self.expected, byte) {
                (Expected::BeforeRow, b']') => self.step(Expected::AfterValue),
                (Expected::BeforeRow, _) => self.row(rest)?,
                (Expected::AfterRow, b',') => self.step(Expected::BeforeRow),
                (Expected::AfterRow, b']') => self.step(Expected::AfterValue),
                (Expected::Start, b'{') => self.step(Expected::BeforeKey),
                (Expected::Start, _) => return Err(not_a_page::<P>(format!("it begins with {:?}", beginning(rest)))),
                (Expected::BeforeKey, b'"') => self.key(rest),
                (Expected::BeforeColon(member), b':') => self.step(Expected::BeforeValue(member)),
                (Expected::BeforeValue(Member::Rows), b'[') => {
                    self.rows_seen = true;
                    self.step(Expected::BeforeRow)
                }
                (Expected::BeforeValue(member), _) => self.value(member, rest)?,
                (Expected::AfterValue, b',') => self.step(Expected::BeforeKey),
                (Expected::AfterValue | Expected::BeforeKey, b'}') => self.step(Expected::End),
                (Expected::End, _) => return Err(not_a_page::<P>("something follows its end")),
                _ => return Err(not_a_page::<P>(format!("{:?} stands where it must not", beginning(rest)))),
            };
            if used == 0 {
                return Ok(at);
            }
            at += used;
        }
    }

    fn step(&mut self, next: Expected) -> usize {
        self.expected = next;
        1
    }

    /// Takes one element off the beginning of `rest`, as do the next two functions. Returns its length, or 0 if its end
    /// has not arrived.
    fn key(&mut self, rest: &[u8]) -> usize {
        let Some(length) = self.element.find(rest) else { return 0 };
        let name = rest.get(1..length - 1).unwrap_or_default();
        let kept = || P::MEMBERS.iter().position(|member| member.as_bytes() == name);
        let member = match name == P::ROWS.as_bytes() {
            true => Member::Rows,
            false => kept().map_or(Member::Other, Member::Kept),
        };
        self.expected = Expected::BeforeColon(member);
        length
    }

    fn value(&mut self, member: Member, rest: &[u8]) -> Result<usize> {
        let Some(length) = self.element.find(rest) else { return Ok(0) };
        if length == 0 {
            return Err(not_a_page::<P>("a member has no value"));
        }
        // Rows that are no array count as absent.
        if let Member::Kept(place) = member {
            self.page.keep_member(place, rest.get(..length).unwrap_or_default());
        }
        self.expected = Expected::AfterValue;
        Ok(length)
    }

    fn row(&mut self, rest: &[u8]) -> Result<usize> {
        // The usual form has already been tried for a started element: it was not complete.
        let usual = if self.element.is_under_way() { None } else { P::usual_row(rest) };
        let (row, length) = match usual {
            Some(found) => found,
            None => match self.element.find(rest) {
                Some(0) => return Err(not_a_page::<P>("a row is missing between two commas")),
                Some(length) => (P::unusual_row(rest.get(..length).unwrap_or_default()), length),
                None => return Ok(0),
            },
        };
        let (rows, unusable) = self.page.rows();
        if rows.len() >= self.max_rows || *unusable >= self.max_rows as u64 {
            return Err(not_a_page::<P>(format!("it has more than the {} rows that were asked for", self.max_rows)));
        }
        match row {
            Some(row) => rows.push(row),
            None => *unusable += 1,
        }
        self.expected = Expected::AfterRow;
        Ok(length)
    }
}

/// Returns the first few characters, for a message.
fn beginning(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..40).unwrap_or(bytes)).into_owned()
}

fn not_a_page<P: RowsPage>(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Network, format!("the response is not a page of {}: {why}", P::RESOURCE))
}
