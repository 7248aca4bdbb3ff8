//! Reads the texts that a user made: SQL, lists, pivots, settings, indexes, records. Every such text is read here, so
//! that each of them may have a byte order mark, any line ends, UTF-16 as Windows writes it, or be compressed.
//!
//! Not here: the meaning of a text, and documents and records that all-docs itself wrote.

mod compression;
mod decoder;

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Context, Error, ErrorKind, Result};

pub use decoder::{LineEnds, TextReader};

/// Opens a text file, or a pipe by its path. `what` names its purpose in errors: `"names file"`.
///
/// The reader yields UTF-8 without a byte order mark. It inflates gzip and zstd, which it detects by their first bytes.
/// A read fails with an I/O error that wraps an [`Error`]; [`unwrapped`] returns it.
///
/// # Errors
/// [`ErrorKind::Input`] if there is no such file, for a folder, for a file that cannot be read, and for text in UTF-32.
pub fn open(path: &Path, what: &str, line_ends: LineEnds) -> Result<TextReader> {
    let name = format!("the {what} {}", path.display());
    let cannot = || format!("cannot read {name}");
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::input(format!("there is no {what} {}", path.display())));
        }
        file => file.or_error(ErrorKind::Input, cannot)?,
    };
    if file.metadata().or_error(ErrorKind::Input, cannot)?.is_dir() {
        return Err(Error::input(format!("{name} is a folder")));
    }
    reader(file, name, line_ends)
}

/// Reads a whole text file of at most `most_bytes` bytes. Line ends become `\n`.
///
/// # Errors
/// As [`open`], and [`ErrorKind::Input`] for a file that is too long or not text. The error names the place.
pub fn read(path: &Path, what: &str, most_bytes: u64) -> Result<String> {
    whole(open(path, what, LineEnds::Unified)?, most_bytes)
}

/// Reads all of standard input, as [`read`] does.
///
/// # Errors
/// As [`read`].
pub fn read_standard_input(most_bytes: u64) -> Result<String> {
    let input = io::stdin();
    whole(reader(input, "standard input".to_owned(), LineEnds::Unified)?, most_bytes)
}

/// Converts bytes that are already in memory, as [`read`] does. `name` names them in errors.
///
/// # Errors
/// [`ErrorKind::Input`] for bytes that are not text.
pub fn decode(bytes: &[u8], name: &str) -> Result<String> {
    let reader = TextReader::new(Box::new(io::Cursor::new(bytes.to_vec())), name.to_owned(), LineEnds::Unified);
    whole(reader?, u64::MAX)
}

/// Converts bytes that need not be text everywhere: each invalid sequence becomes U+FFFD. The encoding is detected as for
/// any other text. Line ends stay as they are.
pub fn decode_leniently(bytes: &[u8]) -> Cow<'_, str> {
    decoder::encoding_of(bytes).decode(bytes).0
}

/// Returns the [`Error`] within an I/O error of a [`TextReader`]; any other I/O error as `doing` failed.
pub fn unwrapped(error: io::Error, doing: impl FnOnce() -> String) -> Error {
    match error.downcast::<Error>() {
        Ok(own) => own,
        Err(error) => Error::input(doing()).source(error),
    }
}

fn reader(source: impl Read + Send + 'static, name: String, line_ends: LineEnds) -> Result<TextReader> {
    let source = compression::inflated(source, &name)?;
    TextReader::new(source, name, line_ends)
}

fn whole(reader: TextReader, most_bytes: u64) -> Result<String> {
    let name = reader.name().to_owned();
    let mut text = String::new();
    let cannot = || format!("cannot read {name}");
    reader.take(most_bytes.saturating_add(1)).read_to_string(&mut text).map_err(|error| unwrapped(error, cannot))?;
    if text.len() as u64 > most_bytes {
        return Err(
            Error::input(format!("{name} is too long")).hint(format!("at most {} MB are read", most_bytes >> 20))
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
