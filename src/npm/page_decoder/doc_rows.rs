//! A page of `_all_docs`: `{"total_rows", "offset", "rows": [{"id", "key", "value": {"rev"}}]}`.

use super::RowsPage;
use super::row::{members, plain_text, text, usable};
use crate::npm::{DocRow, Page};

impl RowsPage for Page {
    const RESOURCE: &'static str = "_all_docs";
    const ROWS: &'static str = "rows";
    const MEMBERS: &'static [&'static str] = &["total_rows", "offset"];
    type Row = DocRow;

    fn keep_member(&mut self, place: usize, value: &[u8]) {
        let number = serde_json::from_slice(value).ok();
        match place {
            0 => self.total_rows = number,
            _ => self.offset = number,
        }
    }

    fn usual_row(bytes: &[u8]) -> Option<(Option<DocRow>, usize)> {
        let rest = bytes.strip_prefix(b"{\"id\":\"")?;
        let (id, rest) = plain_text(rest)?;
        let rest = rest.strip_prefix(b"\",\"key\":\"")?.strip_prefix(id)?.strip_prefix(b"\",\"value\":{\"rev\":\"")?;
        let (rev, rest) = plain_text(rest)?;
        let rest = rest.strip_prefix(b"\"}}")?;
        Some((doc_row(id, rev), bytes.len() - rest.len()))
    }

    fn unusual_row(bytes: &[u8]) -> Option<DocRow> {
        let [id, value] = members(std::str::from_utf8(bytes).ok()?, ["id", "value"])?;
        let [rev] = members(value?, ["rev"])?;
        doc_row(text(id?)?.as_bytes(), text(rev?)?.as_bytes())
    }

    fn rows(&mut self) -> (&mut Vec<DocRow>, &mut u64) {
        (&mut self.rows, &mut self.unusable_rows)
    }
}

fn doc_row(id: &[u8], rev: &[u8]) -> Option<DocRow> {
    usable(id, rev).map(|(name, rev)| DocRow { name, rev })
}
