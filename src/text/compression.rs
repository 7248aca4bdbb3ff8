//! Inflates gzip and zstd, detected by their first bytes. Not here: bodies of HTTP responses (`registry/`).

use std::io::{self, BufReader, Cursor, Read};

use crate::error::{Error, Result};

/// Bytes that are read from a file at once.
const BUFFER_BYTES: usize = 128 << 10;

/// Zstandard's longest window (2 GiB), for files that were written with `--ultra --long=31`.
const LONGEST_WINDOW_LOG: u32 = 31;

/// The first bytes of a gzip member.
const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];

/// The first bytes of a zstd frame.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Returns the contents of `source`: inflated if it begins like gzip or zstd, else as they are.
pub(super) fn inflated(source: impl Read + Send + 'static, name: &str) -> Result<Box<dyn Read + Send>> {
    let cannot = |error: io::Error| Error::input(format!("cannot read {name}")).source(error);
    let mut source = BufReader::with_capacity(BUFFER_BYTES, source);
    // A pipe may return one byte at a time.
    let mut start = Vec::new();
    source.by_ref().take(ZSTD.len() as u64).read_to_end(&mut start).map_err(cannot)?;
    let (is_gzip, is_zstd) = (start.starts_with(&GZIP), start == ZSTD);
    let whole = Cursor::new(start).chain(source);
    let name = name.to_owned();
    Ok(if is_gzip {
        Box::new(Inflated { source: flate2::bufread::MultiGzDecoder::new(whole), form: "gzip", name })
    } else if is_zstd {
        let mut decoder = zstd::Decoder::with_buffer(whole).map_err(cannot)?;
        decoder.window_log_max(LONGEST_WINDOW_LOG).map_err(cannot)?;
        Box::new(Inflated { source: decoder, form: "zstd", name })
    } else {
        Box::new(whole)
    })
}

/// A decompressor whose errors say which file is damaged.
struct Inflated<R> {
    source: R,
    form: &'static str,
    name: String,
}

impl<R: Read> Read for Inflated<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.source.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            _ => {
                let message = format!("{} is not whole: its {} data ends early or is damaged", self.name, self.form);
                io::Error::other(Error::input(message).hint("make or download the file again").source(error))
            }
        })
    }
}
