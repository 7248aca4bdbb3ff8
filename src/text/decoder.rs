//! Converts a stream of bytes to UTF-8 with one kind of line end. Memory does not depend on the length of the text.

use std::io::{self, BufRead, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::error::{Error, Result};

/// Bytes that are decoded at once.
const INPUT_BYTES: usize = 64 << 10;

/// The output of one step. UTF-16 needs up to three bytes of UTF-8 for two of its own.
const OUTPUT_BYTES: usize = 2 * INPUT_BYTES;

/// Bytes at the start that show the encoding of a text without a byte order mark.
const SNIFFED_BYTES: usize = 512;

/// How line ends are passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnds {
    /// Every line ends with `\n`: `\r\n` becomes `\n`, and so does a lone `\r` if the first line ends with one.
    Unified,
    /// As they are in the text.
    Kept,
}

/// A text as a stream of UTF-8 without a byte order mark.
pub struct TextReader {
    source: Box<dyn Read + Send>,
    name: String,
    decoder: Decoder,
    encoding: &'static Encoding,
    input: Vec<u8>,
    /// The bytes of `input` that are not decoded yet.
    waiting: std::ops::Range<usize>,
    source_ended: bool,
    /// The number of decoded bytes, and of line ends in them.
    decoded_bytes: u64,
    decoded_lines: u64,
    output: Vec<u8>,
    passed_on: usize,
    is_over: bool,
    line_ends: LineEnds,
    /// The last byte of a `\r` whose successor is not known yet.
    holds_return: bool,
    /// Whether a lone `\r` ends a line; `None` before the first line end.
    returns_end_lines: Option<bool>,
}

impl TextReader {
    /// Reads the beginning of `source` and detects its encoding. `name` names the text in errors.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Input`] if the beginning cannot be read, and for text in UTF-32.
    pub(super) fn new(mut source: Box<dyn Read + Send>, name: String, line_ends: LineEnds) -> Result<TextReader> {
        let mut input = Vec::with_capacity(INPUT_BYTES);
        let read = source.by_ref().take(SNIFFED_BYTES as u64).read_to_end(&mut input);
        read.map_err(|error| super::unwrapped(error, || format!("cannot read {name}")))?;
        if is_utf_32(&input) {
            return Err(Error::input(format!("{name} is text in UTF-32, which is not read"))
                .hint("save it as UTF-8, for example with: iconv -f UTF-32 -t UTF-8"));
        }
        let encoding = encoding_of(&input);
        Ok(TextReader {
            source,
            name,
            decoder: encoding.new_decoder_with_bom_removal(),
            encoding,
            waiting: 0..input.len(),
            input,
            source_ended: false,
            decoded_bytes: 0,
            decoded_lines: 0,
            output: Vec::new(),
            passed_on: 0,
            is_over: false,
            line_ends,
            holds_return: false,
            returns_end_lines: None,
        })
    }

    /// Returns the name of the text as errors give it: `the names file list.txt`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Decodes until there is some output, or the text is over.
    fn decode(&mut self) -> io::Result<()> {
        self.output.clear();
        self.passed_on = 0;
        while self.output.is_empty() && !self.is_over {
            if self.waiting.is_empty() && !self.source_ended {
                self.input.resize(INPUT_BYTES, 0);
                let count = self.source.read(&mut self.input)?;
                self.waiting = 0..count;
                self.source_ended = count == 0;
            }
            self.output.resize(OUTPUT_BYTES, 0);
            let input = self.input.get(self.waiting.clone()).unwrap_or_default();
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(input, &mut self.output, self.source_ended);
            self.output.truncate(written);
            self.waiting.start += read;
            self.decoded_bytes += read as u64;
            let lines = memchr::memchr_iter(b'\n', &self.output).count() as u64;
            match result {
                DecoderResult::Malformed(bad, after) => {
                    return Err(self.not_text(u64::from(bad) + u64::from(after), lines));
                }
                DecoderResult::InputEmpty => self.is_over = self.source_ended,
                DecoderResult::OutputFull => {}
            }
            self.decoded_lines += lines;
            if self.line_ends == LineEnds::Unified {
                self.unify();
            }
        }
        Ok(())
    }

    /// Makes the error for bytes that are not text. They begin `back` bytes before the decoded ones end, `lines` line
    /// ends after the counted ones.
    fn not_text(&self, back: u64, lines: u64) -> io::Error {
        let encoding = self.encoding.name();
        let (line, byte) = (self.decoded_lines + lines + 1, self.decoded_bytes.saturating_sub(back));
        let message = format!("{} is not text in {encoding}: line {line} has other bytes, at byte {byte}", self.name);
        io::Error::other(
            Error::input(message)
                .hint("save it as UTF-8, for example with: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW_FILE"),
        )
    }

    fn unify(&mut self) {
        if !self.holds_return && memchr::memchr(b'\r', &self.output).is_none() {
            if self.returns_end_lines.is_none() && memchr::memchr(b'\n', &self.output).is_some() {
                self.returns_end_lines = Some(false);
            }
            return;
        }
        let mut unified = Vec::with_capacity(self.output.len() + 1);
        for &byte in &self.output {
            if std::mem::take(&mut self.holds_return) && byte != b'\n' {
                let ends_line = *self.returns_end_lines.get_or_insert(true);
                unified.push(if ends_line { b'\n' } else { b'\r' });
            }
            match byte {
                b'\r' => self.holds_return = true,
                b'\n' => {
                    self.returns_end_lines.get_or_insert(false);
                    unified.push(b'\n');
                }
                _ => unified.push(byte),
            }
        }
        if self.is_over && std::mem::take(&mut self.holds_return) {
            let ends_line = *self.returns_end_lines.get_or_insert(true);
            unified.push(if ends_line { b'\n' } else { b'\r' });
        }
        self.output = unified;
    }
}

impl Read for TextReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let count = ready.len().min(buffer.len());
        for (into, byte) in buffer.iter_mut().zip(ready) {
            *into = *byte;
        }
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for TextReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.passed_on >= self.output.len() && !self.is_over {
            self.decode()?;
        }
        Ok(self.output.get(self.passed_on..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.passed_on += count;
    }
}

impl std::fmt::Debug for TextReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextReader").field("name", &self.name).field("encoding", &self.encoding.name()).finish()
    }
}

fn is_utf_32(start: &[u8]) -> bool {
    let marked = start.starts_with(&[0xff, 0xfe, 0, 0]) || start.starts_with(&[0, 0, 0xfe, 0xff]);
    // A letter of ASCII without a mark, in either byte order.
    marked || matches!(start, [letter, 0, 0, 0, ..] | [0, 0, 0, letter, ..] if *letter != 0)
}

/// Returns the encoding that a byte order mark names, else UTF-16 if nearly every other byte is zero, else UTF-8.
pub(super) fn encoding_of(text: &[u8]) -> &'static Encoding {
    let start = text.get(..SNIFFED_BYTES).unwrap_or(text);
    if let Some((encoding, _)) = Encoding::for_bom(start) {
        return encoding;
    }
    let zeros = |first: usize| start.iter().skip(first).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd, most) = (zeros(0), zeros(1), start.len() / 4);
    match (even, odd) {
        // A few letters of other scripts have a zero in the other place.
        (even, odd) if odd > most && even * 4 < odd => UTF_16LE,
        (even, odd) if even > most && odd * 4 < even => UTF_16BE,
        _ => UTF_8,
    }
}
