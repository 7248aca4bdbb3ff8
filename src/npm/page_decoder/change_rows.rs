//! A page of `_changes`: `{"results": [{"seq", "id", "changes": [{"rev"}], "deleted"}], "last_seq", "pending"}`.

use std::borrow::Cow;

use super::RowsPage;
use super::row::{members, plain_text, text, usable};
use crate::npm::json::{Cursor, Kind};
use crate::npm::{ChangeRow, ChangesPage, Seq};

impl RowsPage for ChangesPage {
    const RESOURCE: &'static str = "_changes";
    const ROWS: &'static str = "results";
    const MEMBERS: &'static [&'static str] = &["last_seq", "pending"];
    type Row = ChangeRow;

    fn keep_member(&mut self, place: usize, value: &[u8]) {
        match place {
            0 => self.last_seq = std::str::from_utf8(value).ok().and_then(seq),
            _ => self.pending = serde_json::from_slice(value).ok(),
        }
    }

    fn usual_row(bytes: &[u8]) -> Option<(Option<ChangeRow>, usize)> {
        let rest = bytes.strip_prefix(b"{\"seq\":")?;
        let (seq, rest) = whole_number(rest)?;
        let (id, rest) = plain_text(rest.strip_prefix(b",\"id\":\"")?)?;
        let (rev, rest) = plain_text(rest.strip_prefix(b"\",\"changes\":[{\"rev\":\"")?)?;
        let rest = rest.strip_prefix(b"\"}]")?;
        let (is_deleted, rest) = match rest.strip_prefix(b",\"deleted\":true}") {
            Some(rest) => (true, rest),
            None => (false, rest.strip_prefix(b"}")?),
        };
        Some((change_row(Some(Seq::new(seq)), id, rev, is_deleted), bytes.len() - rest.len()))
    }

    fn unusual_row(bytes: &[u8]) -> Option<ChangeRow> {
        let row = std::str::from_utf8(bytes).ok()?;
        let [row_seq, id, changes, deleted] = members(row, ["seq", "id", "changes", "deleted"])?;
        let is_deleted = deleted == Some("true");
        change_row(row_seq.and_then(seq), text(id?)?.as_bytes(), first_revision(changes?)?.as_bytes(), is_deleted)
    }

    fn rows(&mut self) -> (&mut Vec<ChangeRow>, &mut u64) {
        (&mut self.rows, &mut self.unusable_rows)
    }

    /// Returns `last_seq` if it is missing: without it no later page could be requested.
    fn lacks(&self) -> Option<&'static str> {
        self.last_seq.is_none().then_some("a last_seq")
    }
}

fn change_row(seq: Option<Seq>, id: &[u8], rev: &[u8], is_deleted: bool) -> Option<ChangeRow> {
    usable(id, rev).map(|(name, rev)| ChangeRow { seq, name, rev, is_deleted })
}

/// Returns the digits that `bytes` begin with, where JSON has a number of just these.
fn whole_number(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let length = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = bytes.split_at_checked(length)?;
    let digits = std::str::from_utf8(digits).ok()?;
    let is_number = !digits.is_empty() && (digits == "0" || !digits.starts_with('0')) && rest.starts_with(b",");
    is_number.then_some((digits, rest))
}

/// Reads a number as it is spelled, or a string: npm has numbers, CouchDB long texts.
fn seq(value: &str) -> Option<Seq> {
    match Kind::of(value) {
        Kind::Number => serde_json::from_str::<serde_json::Number>(value).ok().map(|_| Seq::new(value)),
        Kind::String => text(value).map(Seq::new),
        _ => None,
    }
}

/// Returns the revision of a list's first item: CouchDB names the winning one first.
fn first_revision(changes: &str) -> Option<Cow<'_, str>> {
    let mut cursor = Cursor::new(changes);
    cursor.enter_array().ok()?;
    let mut first = true;
    let mut rev = None;
    while cursor.next_item(&mut first).ok()? {
        let item = cursor.value().ok()?;
        if rev.is_none() {
            let [own] = members(item, ["rev"])?;
            rev = Some(text(own?)?);
        }
    }
    cursor.finish().ok()?;
    rev
}
