//! Divides CSV into records and fields by RFC 4180. A field without quotes that is empty is null, one in quotes is an
//! empty text. Holds one record at a time. Not here: the types of columns (`typed`).

use std::io::BufRead;

use crate::error::{Error, Result};
use crate::text::{TextReader, unwrapped};

/// The longest record that is read, in bytes. A quote without its partner would otherwise fill memory.
const MOST_RECORD_BYTES: usize = 256 << 20;

/// The records of one file.
pub(super) struct CsvRecords {
    reader: TextReader,
    delimiter: u8,
    /// Whether quotes enclose fields; if not, they are letters.
    has_quotes: bool,
    /// The line of the next byte, from 1.
    line: u64,
    record: CsvRecord,
    /// Whether the last byte was a `\r` that ended a record; a `\n` after it belongs to the same line end.
    ended_by_return: bool,
}

/// The fields of one record.
#[derive(Debug, Default)]
pub(super) struct CsvRecord {
    text: Vec<u8>,
    ends: Vec<usize>,
    quoted: Vec<bool>,
    /// The line that the record begins in.
    pub(super) line: u64,
}

/// A position within a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Plain,
    Quoted,
    /// After a quote within quotes: the end of the field, or the first half of a doubled quote.
    QuoteInQuoted,
}

impl CsvRecord {
    /// Returns the number of fields.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns a field; `None` if it is null.
    pub(super) fn get(&self, index: usize) -> Option<&str> {
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default();
        let bytes = self.text.get(start..*self.ends.get(index)?)?;
        if bytes.is_empty() && !self.quoted.get(index).copied().unwrap_or_default() {
            return None;
        }
        // The reader passes on only UTF-8, and a field ends at ASCII characters.
        std::str::from_utf8(bytes).ok()
    }

    /// Whether the line is empty.
    pub(super) fn is_blank(&self) -> bool {
        self.len() == 1 && self.get(0).is_none()
    }

    /// Returns the bytes of all fields.
    pub(super) fn size_bytes(&self) -> usize {
        self.text.len()
    }

    fn clear(&mut self, line: u64) {
        self.text.clear();
        self.ends.clear();
        self.quoted.clear();
        self.line = line;
    }

    fn end_field(&mut self, quoted: bool) {
        self.ends.push(self.text.len());
        self.quoted.push(quoted);
    }
}

impl CsvRecords {
    /// Reads `reader`, whose fields `delimiter` separates and quotes may enclose if it `has_quotes`.
    pub(super) fn new(reader: TextReader, delimiter: u8, has_quotes: bool) -> Self {
        CsvRecords { reader, delimiter, has_quotes, line: 1, record: CsvRecord::default(), ended_by_return: false }
    }

    /// Returns the next record, which may be blank; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<&CsvRecord>> {
        let delimiter = self.delimiter;
        let mut state = State::FieldStart;
        let mut is_quoted = false;
        let mut has_begun = false;
        self.record.clear(self.line);
        loop {
            let name = self.reader.name().to_owned();
            let ready = self.reader.fill_buf().map_err(|error| unwrapped(error, || format!("cannot read {name}")))?;
            if ready.is_empty() {
                if state == State::Quoted {
                    let line = self.record.line;
                    return Err(Error::input(format!("{name}: line {line}: a field in quotes does not end"))
                        .hint("a quote within quotes is written twice; read_csv('FILE', quotes => false) takes quotes for letters"));
                }
                if !has_begun {
                    return Ok(None);
                }
                self.record.end_field(is_quoted);
                return Ok(Some(&self.record));
            }
            let mut taken = 0;
            let mut is_whole = false;
            for &byte in ready {
                taken += 1;
                if std::mem::take(&mut self.ended_by_return) && byte == b'\n' {
                    continue;
                }
                has_begun = true;
                if byte == b'\n' || (byte == b'\r' && state != State::Quoted) {
                    self.line += 1;
                }
                match (state, byte) {
                    (State::Quoted, b'"') => state = State::QuoteInQuoted,
                    (State::Quoted, _) => self.record.text.push(byte),
                    (State::QuoteInQuoted, b'"') => {
                        self.record.text.push(b'"');
                        state = State::Quoted;
                    }
                    (State::FieldStart, b'"') if self.has_quotes => {
                        is_quoted = true;
                        state = State::Quoted;
                    }
                    (_, b'\n' | b'\r') => {
                        self.record.end_field(is_quoted);
                        self.ended_by_return = byte == b'\r';
                        is_whole = true;
                        break;
                    }
                    (_, byte) if byte == delimiter => {
                        self.record.end_field(is_quoted);
                        is_quoted = false;
                        state = State::FieldStart;
                    }
                    (_, byte) => {
                        self.record.text.push(byte);
                        state = State::Plain;
                    }
                }
            }
            self.reader.consume(taken);
            if is_whole {
                return Ok(Some(&self.record));
            }
            if self.record.text.len() > MOST_RECORD_BYTES {
                let (line, most) = (self.record.line, MOST_RECORD_BYTES >> 20);
                return Err(Error::input(format!("{name}: line {line} begins a record of more than {most} MB"))
                    .hint("a quote without its partner may be the cause; read_csv('FILE', quotes => false) takes quotes for letters"));
            }
        }
    }
}
