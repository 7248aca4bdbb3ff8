//! Divides JSON text into records: lines of NDJSON, values one after the other, or the elements of arrays. Holds one
//! record at a time. Not here: the values within a record.

use std::io::BufRead;

use crate::error::{Error, Result};
use crate::npm::json_element::ElementEnd;
use crate::text::{TextReader, unwrapped};

/// The longest record that is read, in bytes. The longest documents of npm have a fifth of it.
const MOST_RECORD_BYTES: usize = 512 << 20;

/// The records of one file.
pub(super) struct JsonRecords {
    reader: TextReader,
    /// Whether a record ends with its line, so that a fault cannot reach beyond it.
    has_lines: bool,
    place: Place,
    record: Vec<u8>,
    /// The line of the next byte, from 1.
    line: u64,
}

/// Where the next record is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between values.
    Between,
    /// After the `[` of an array.
    ArrayStart,
    /// After an element of an array.
    AfterElement,
    /// After the `,` of an array.
    AfterComma,
}

impl JsonRecords {
    /// Reads `reader`. `has_lines` says that the file's suffix promises one record a line.
    pub(super) fn new(reader: TextReader, has_lines: bool) -> Self {
        JsonRecords { reader, has_lines, place: Place::Between, record: Vec::new(), line: 1 }
    }

    /// Returns the next record and the number of the line that it begins in.
    pub(super) fn next(&mut self) -> Result<Option<(&str, u64)>> {
        self.record.clear();
        if !self.find_record()? {
            return Ok(None);
        }
        let line = self.line;
        if self.place == Place::Between && self.has_lines {
            self.take_line()?;
        } else {
            self.take_value()?;
        }
        if self.place != Place::Between {
            self.place = Place::AfterElement;
        }
        match std::str::from_utf8(&self.record) {
            Ok(record) => Ok(Some((record.trim_ascii_end(), line))),
            Err(_) => Err(self.wrong("is not text")),
        }
    }

    /// Moves to the first byte of the next record. Returns false at the end of the text.
    fn find_record(&mut self) -> Result<bool> {
        loop {
            let Some(byte) = self.peek()? else {
                return match self.place {
                    Place::Between => Ok(false),
                    _ => Err(self.wrong("ends within an array")),
                };
            };
            match (byte, self.place) {
                (b'\n', _) => self.line += 1,
                (b' ' | b'\t' | b'\r', _) => {}
                (b'[', Place::Between) => self.place = Place::ArrayStart,
                (b']', Place::ArrayStart | Place::AfterElement) => self.place = Place::Between,
                (b',', Place::AfterElement) => self.place = Place::AfterComma,
                (_, Place::AfterElement) => return Err(self.wrong("has no `,` or `]` after an element of an array")),
                (b']' | b'}' | b',' | b':', _) => return Err(self.wrong(&format!("has a {:?}", char::from(byte)))),
                _ => return Ok(true),
            }
            self.reader.consume(1);
        }
    }

    fn peek(&mut self) -> Result<Option<u8>> {
        let doing = || "cannot read the file".to_owned();
        let ready = self.reader.fill_buf().map_err(|error| unwrapped(error, doing))?;
        Ok(ready.first().copied())
    }

    fn take_line(&mut self) -> Result<()> {
        loop {
            let ready =
                self.reader.fill_buf().map_err(|error| unwrapped(error, || "cannot read the file".to_owned()))?;
            let end = memchr::memchr(b'\n', ready);
            let count = end.unwrap_or(ready.len());
            self.record.extend_from_slice(ready.get(..count).unwrap_or_default());
            self.reader.consume(count);
            if end.is_some() || count == 0 {
                return Ok(());
            }
            self.check_length()?;
        }
    }

    /// Takes a value up to its last byte. A value that does not end is left to the reader of the record, which says what
    /// is missing.
    fn take_value(&mut self) -> Result<()> {
        let mut end = ElementEnd::default();
        loop {
            let before = self.record.len();
            let ready =
                self.reader.fill_buf().map_err(|error| unwrapped(error, || "cannot read the file".to_owned()))?;
            let count = ready.len();
            // Most records end within the buffer; only of one that does not, the whole buffer is copied.
            let within = if before == 0 { end.find(ready) } else { None };
            self.record.extend_from_slice(ready.get(..within.unwrap_or(count)).unwrap_or_default());
            let found = if before == 0 { within } else { end.find(&self.record) };
            self.record.truncate(found.unwrap_or(self.record.len()));
            let taken = self.record.len() - before;
            self.reader.consume(taken);
            let new = self.record.get(before..).unwrap_or_default();
            self.line += memchr::memchr_iter(b'\n', new).count() as u64;
            if found.is_some() || count == 0 {
                return Ok(());
            }
            self.check_length()?;
        }
    }

    fn check_length(&self) -> Result<()> {
        match self.record.len() > MOST_RECORD_BYTES {
            true => Err(self.wrong(&format!("is in a record of more than {} MB", MOST_RECORD_BYTES >> 20))),
            false => Ok(()),
        }
    }

    fn wrong(&self, why: &str) -> Error {
        Error::input(format!("{} is not JSON: line {} {why}", self.reader.name(), self.line))
            .hint("a file of records is a JSON array of objects, or has one JSON object a line")
    }
}

/// Makes the error for a record that is not JSON.
pub(super) fn not_json(file: &str, line: u64, record: &str, error: &crate::npm::json::JsonError) -> Error {
    let before = record.as_bytes().get(..error.offset.min(record.len())).unwrap_or_default();
    let line = line + memchr::memchr_iter(b'\n', before).count() as u64;
    let shown: String = record.get(error.offset..).unwrap_or_default().chars().take(40).collect();
    let problem = error.to_string();
    let problem = problem.split(" at byte").next().unwrap_or_default();
    let place = if shown.is_empty() { String::new() } else { format!(" before {shown:?}") };
    Error::input(format!("{file} is not JSON: line {line}: {problem}{place}"))
        .hint("a file of records is a JSON array of objects, or has one JSON object a line")
}
