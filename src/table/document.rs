//! Turns one document into the rows of all tables that are a function of the documents.

use std::borrow::Cow;

use arrow::array::RecordBatch;
use bytes::Bytes;

use super::hooks::{DocumentMembers, VersionMembers};
use super::packages::PackageFacts;
use super::read::{Reader, has_control_character};
use super::times::{Times, publication_order};
use super::versions::{LatestFacts, RowMemo, VersionFacts, VersionValues};
use super::{DocumentRows, TableKind, limits};
use crate::error::{Error, Result};
use crate::npm::json::{Kind, RawString};
use crate::npm::packument::{DocumentMember, Outline};
use crate::npm::{Outcome, QuirkCode, Representation, Revision};

/// The size at which rows become a batch of their own: no column of 32-bit offsets can overflow, and a growing column
/// is not copied over and over.
const BATCH_BYTES: usize = 32 << 20;
/// The number of versions of one document between two checks of whether its rows fill a batch.
const VERSIONS_BETWEEN_LOOKS: usize = 64;
/// A version of more bytes than these is followed by the same check.
const LARGE_VERSION_BYTES: u32 = 64 << 10;

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A document, and the facts that are known without parsing it.
#[derive(Debug, Clone, Copy)]
pub struct DocumentInput<'a> {
    /// The requested name. Rows carry this one.
    pub name: &'a str,
    /// The revision that was announced.
    pub announced_rev: &'a str,
    /// The requested form.
    pub representation: Representation,
    /// The document as served. With `keep_raw` the tables hold it until its row is taken, and do not copy it.
    pub bytes: &'a Bytes,
}

/// Takes rows, table by table.
pub type Drain<'a> = dyn FnMut(Vec<(TableKind, RecordBatch)>) -> Result<()> + 'a;

/// The result of decoding a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Present, Tombstone or Malformed.
    pub outcome: Outcome,
    /// The document's own `_rev`.
    pub rev: Option<Revision>,
    /// The document's own `name`, else `_id`.
    pub served_name: Option<String>,
    /// The reason why it is malformed.
    pub detail: Option<String>,
}

/// The rows of documents, table by table, until they are taken as batches. Rows keep the order of the documents.
#[derive(Debug, Default)]
pub struct DocumentTables {
    keep_raw: bool,
    outline: Outline,
    rows: DocumentRows,
    /// Bytes that `rows` take, as of the last document.
    open_bytes: usize,
    full: Vec<(TableKind, RecordBatch)>,
    full_bytes: usize,
    failure: Option<Error>,
}

impl DocumentTables {
    /// Makes tables without rows. Without `keep_raw` the table `packuments` stays empty.
    pub fn new(keep_raw: bool) -> Self {
        DocumentTables { keep_raw, ..DocumentTables::default() }
    }

    /// Adds the rows of a document. A document that is no packument is malformed: it has a row in `packuments`, and
    /// none in other tables.
    pub fn push(&mut self, input: DocumentInput<'_>) -> Decoded {
        self.push_with(input, None)
    }

    /// Works as [`DocumentTables::push`] in bounded memory. Whenever rows fill a batch, even in the middle of the
    /// document, it passes all rows so far to `drain`, as [`DocumentTables::take_batches`] returns them. Fails as
    /// `drain` does.
    pub fn push_and_drain(&mut self, input: DocumentInput<'_>, drain: &mut Drain<'_>) -> Result<Decoded> {
        let decoded = self.push_with(input, Some(drain));
        self.failure.take().map_or(Ok(decoded), Err)
    }

    fn push_with(&mut self, input: DocumentInput<'_>, mut drain: Option<&mut Drain<'_>>) -> Decoded {
        self.close_full_batches(&mut drain);
        let valid_text = simdutf8::basic::from_utf8(input.bytes).ok();
        let text = valid_text.map_or_else(|| String::from_utf8_lossy(input.bytes), Cow::Borrowed);
        // `fetch` and npm's client do so too; JSON itself has no such mark.
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text);
        // Taken out of `self` for now: the rows can borrow from it while tables change.
        let mut outline = std::mem::take(&mut self.outline);
        let decoded = self.push_text(&input, text, valid_text, &mut outline, &mut drain);
        self.outline = outline;
        self.open_bytes = self.rows.buffered_bytes();
        decoded
    }

    fn push_text(
        &mut self,
        input: &DocumentInput<'_>,
        text: &str,
        valid_text: Option<&str>,
        outline: &mut Outline,
        drain: &mut Option<&mut Drain<'_>>,
    ) -> Decoded {
        let read = outline.read(text).map_err(|error| error.to_string());
        if let Err(detail) = read.and_then(|()| limits::check(outline, text, input.name)) {
            self.push_raw(input, input.announced_rev, valid_text.is_some());
            return Decoded { outcome: Outcome::Malformed, rev: None, served_name: None, detail: Some(detail) };
        }
        let has_control_characters = has_control_character(input.bytes);
        let document = DocumentMembers { name: input.name, text, outline, has_control_characters };
        let mut reader = document.reader(None, &mut self.rows.quirks);
        if valid_text.is_none() {
            let bad = std::str::from_utf8(input.bytes).map_or_else(|error| error.valid_up_to(), |_| 0);
            reader.note("json", QuirkCode::InvalidUtf8, text.get(bad..).unwrap_or_default());
        }
        if input.bytes.starts_with(BYTE_ORDER_MARK.as_bytes()) {
            reader.note("json", QuirkCode::ByteOrderMark, text);
        }
        let raw = |member| document.raw(member);
        let rev = reader.text("_rev", raw(DocumentMember::Rev));
        let served_name = reader.text("name", raw(DocumentMember::Name).or_else(|| raw(DocumentMember::Id)));
        if served_name.as_ref().is_some_and(|served| served != input.name) {
            let served = raw(DocumentMember::Name).or_else(|| raw(DocumentMember::Id)).unwrap_or_default();
            reader.note("name", QuirkCode::DiffersFromKey, served);
        }
        let row_rev = rev.as_deref().unwrap_or(input.announced_rev);
        note_replaced(&mut reader, outline, text);

        let latest = self.rows.dist_tags.push(&mut reader, raw(DocumentMember::DistTags), raw(DocumentMember::Tags));
        let maintainers = self.rows.maintainers.push(&mut reader, raw(DocumentMember::Maintainers));
        let star_count = self.rows.stars.push(&mut reader, raw(DocumentMember::Users));
        if let Some(versions) = raw(DocumentMember::Versions).filter(|raw| Kind::of(raw) != Kind::Object) {
            reader.note("versions", QuirkCode::NotAnObject, versions);
        }

        self.rows.push_document(&document);

        let mut reader = document.reader(None, &mut self.rows.quirks);
        let mut times = Times::read(&mut reader, raw(DocumentMember::Time));
        let keys: Vec<Cow<'_, str>> = outline
            .versions()
            .iter()
            .map(|version| reader.unescape("versions", RawString::of_inner(version.key.of(text))))
            .collect();
        let published_at = times.published_at(&mut reader, &keys);
        self.rows.unpublished.push(input.name, &times.forgotten(&mut reader, &keys));

        let order = publication_order(&published_at);
        let mut entries = Vec::new();
        let mut row_memo = RowMemo::default();
        let mut version_count: usize = 0;
        let mut latest_facts = LatestFacts::default();
        for (((version, key), published_at), version_index) in
            outline.versions().iter().zip(&keys).zip(published_at).zip(order)
        {
            if version.members.is_none() {
                let mut reader = document.reader(Some(key), &mut self.rows.quirks);
                reader.note("versions", QuirkCode::NotAnObject, version.value.of(text));
                continue;
            }
            let values = VersionValues::new(text, outline, version);
            let facts = VersionFacts {
                version: key,
                version_index,
                is_latest: latest.as_deref() == Some(key),
                published_at,
                representation: input.representation,
                runs_on_install: false,
                dependency_count: 0,
            };
            let mut members = VersionMembers { values, facts, entries: &mut entries };
            self.rows.push_version(&document, &mut members);
            let VersionMembers { values, facts, .. } = members;
            let mut reader = document.reader(Some(key), &mut self.rows.quirks);
            if let Some(facts) = self.rows.versions.push(&mut reader, values, &facts, &mut row_memo) {
                latest_facts = facts;
            }
            version_count += 1;
            let is_large = version.value.size_bytes() > LARGE_VERSION_BYTES;
            if is_large || version_count.is_multiple_of(VERSIONS_BETWEEN_LOOKS) {
                self.rows.end_package(input.name);
                self.open_bytes = self.rows.buffered_bytes();
                if self.close_full_batches(drain) {
                    // The row that it remembers is gone.
                    row_memo = RowMemo::default();
                }
            }
        }
        self.rows.end_package(input.name);
        let mut reader = document.reader(None, &mut self.rows.quirks);
        let facts = PackageFacts {
            rev: row_rev,
            representation: input.representation,
            latest: latest.as_deref(),
            version_count,
            maintainers,
            star_count,
            deprecated: latest_facts.deprecated.as_deref(),
            has_install_script: latest_facts.has_install_script,
        };
        self.rows.packages.push(&mut reader, &document, &times, &facts);
        self.push_raw(input, row_rev, valid_text.is_some());

        let is_tombstone = version_count == 0 && times.is_unpublished;
        Decoded {
            outcome: if is_tombstone { Outcome::Tombstone } else { Outcome::Present },
            rev: rev.map(|rev| Revision::from(rev.as_ref())),
            served_name: served_name.map(Cow::into_owned),
            detail: None,
        }
    }

    fn push_raw(&mut self, input: &DocumentInput<'_>, rev: &str, is_text: bool) {
        if self.keep_raw {
            self.rows.packuments.push(input.name, rev, input.representation, input.bytes, is_text);
        }
    }

    /// Makes batches of the rows so far if they fill some, and passes them on.
    fn close_full_batches(&mut self, drain: &mut Option<&mut Drain<'_>>) -> bool {
        if self.open_bytes <= BATCH_BYTES {
            return false;
        }
        let closed = match drain {
            Some(drain) => self.take_batches().and_then(drain),
            None => self.close_batches(),
        };
        if let Err(error) = closed {
            self.failure.get_or_insert(error);
        }
        true
    }

    /// Returns about how many bytes the rows since the last [`DocumentTables::take_batches`] take.
    pub fn buffered_bytes(&self) -> usize {
        self.full_bytes + self.open_bytes
    }

    /// Returns how many of them are rows of `packuments`, the raw documents.
    pub fn raw_bytes(&self) -> usize {
        self.rows.packuments.buffered_bytes()
    }

    /// Returns only the rows of `packuments` since the last call; `None` if there are none. It is best to write them
    /// soon, while the documents are still in the processor's cache, and the rows of the other tables late, when there
    /// are many.
    pub fn take_raw(&mut self) -> Result<Option<RecordBatch>> {
        let packuments = &mut self.rows.packuments;
        if packuments.rows() == 0 {
            return Ok(None);
        }
        self.open_bytes = self.open_bytes.saturating_sub(packuments.buffered_bytes());
        packuments.take_batch().map(Some)
    }

    /// Returns the rows since the last call, in the order of the documents. A table may have several batches; a table
    /// without rows has none. Fails only by a bug of this program.
    pub fn take_batches(&mut self) -> Result<Vec<(TableKind, RecordBatch)>> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        self.close_batches()?;
        self.full_bytes = 0;
        Ok(std::mem::take(&mut self.full))
    }

    fn close_batches(&mut self) -> Result<()> {
        self.full_bytes += std::mem::take(&mut self.open_bytes);
        self.rows.take_batches(&mut self.full)
    }
}

/// Notes the values that a later one of the same key replaced.
fn note_replaced(reader: &mut Reader<'_>, outline: &Outline, text: &str) {
    for replaced in outline.replaced() {
        let key = RawString::of_inner(replaced.key.of(text)).unescape().text;
        let version = replaced.version.map(|version| RawString::of_inner(version.of(text)).unescape().text);
        reader.quirks.push(
            reader.name,
            version.as_deref(),
            Some(&key),
            QuirkCode::DuplicateKey,
            replaced.value.of(text),
        );
    }
}
