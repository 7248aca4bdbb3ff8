//! A world from files with one packument a line, plain or compressed: the bytes of a line are served as they are.
//!
//! Not here: generated documents (`seeded/`, `odd/`).

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;

use super::document::Document;
use super::error::SampleError;
use super::random::hash;
use super::world::{Content, Package, World};

/// Zstandard's longest window (2 GiB), for files that were written with `--ultra --long=31`.
const LONGEST_WINDOW_LOG: u32 = 31;

/// The members of a line that are read; the rest of it stays unread.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "_id")]
    id: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, rename = "_rev")]
    revision: Option<std::borrow::Cow<'a, str>>,
}

impl World {
    /// Makes a world of the packuments in these files (`.gz`, `.zst`, else plain), one a line. A document without
    /// `_rev` is announced at a revision that its bytes determine. Of several with one name the last counts.
    ///
    /// # Errors
    /// Fails with [`SampleError::Read`] when a file cannot be read, and with [`SampleError::Line`] when a line is no
    /// packument.
    pub fn from_ndjson<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, SampleError> {
        let mut world = World::new();
        for path in paths {
            world.add_ndjson(path.as_ref())?;
        }
        Ok(world)
    }

    /// Adds the packuments of one more file; see [`World::from_ndjson`].
    ///
    /// # Errors
    /// Fails as [`World::from_ndjson`] does.
    pub fn add_ndjson(&mut self, path: &Path) -> Result<(), SampleError> {
        self.add_lines(path, read(path)?)
    }

    /// Adds the packuments of lines that are already read. `path` names them in errors.
    ///
    /// # Errors
    /// Fails with [`SampleError::Line`] when a line is no packument.
    pub fn add_lines(&mut self, path: &Path, lines: Bytes) -> Result<(), SampleError> {
        let mut packages = Vec::new();
        for_each_line(path, &lines, |name, revision, line| {
            let revision = revision.unwrap_or_else(|| format!("1-{:032x}", hash(&line)));
            packages.push(Package::stored(name, &revision, Document::from_bytes(line)));
        })?;
        self.extend(packages);
        Ok(())
    }

    /// Serves the lines of this file as the abbreviated forms of the packages that they name, instead of derived forms.
    /// Names that the world does not have are skipped.
    ///
    /// # Errors
    /// Fails as [`World::from_ndjson`] does.
    pub fn with_abbreviated_ndjson(mut self, path: &Path) -> Result<Self, SampleError> {
        for_each_line(path, &read(path)?, |name, _, line| {
            let Ok(position) = self.position(name) else { return };
            let Some(package) = self.packages.get_mut(position) else { return };
            if let Content::Stored { document, .. } = &mut package.content {
                *document = document.with_abbreviated(line).into();
            }
        })?;
        Ok(self)
    }
}

fn read(path: &Path) -> Result<Bytes, SampleError> {
    let read = || -> io::Result<Vec<u8>> {
        let file = BufReader::new(File::open(path)?);
        let mut bytes = Vec::new();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => flate2::bufread::MultiGzDecoder::new(file).read_to_end(&mut bytes)?,
            Some("zst") => {
                let mut decoder = zstd::Decoder::with_buffer(file)?;
                decoder.window_log_max(LONGEST_WINDOW_LOG)?;
                decoder.read_to_end(&mut bytes)?
            }
            _ => { file }.read_to_end(&mut bytes)?,
        };
        Ok(bytes)
    };
    read().map(Bytes::from).map_err(|source| SampleError::Read { path: path.to_owned(), source })
}

fn for_each_line(
    path: &Path,
    all: &Bytes,
    mut each: impl FnMut(&str, Option<String>, Bytes),
) -> Result<(), SampleError> {
    let mut start = 0;
    for (index, end) in memchr::memchr_iter(b'\n', all).chain([all.len()]).enumerate() {
        let line = all.slice(start.min(end)..end);
        start = end + 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let bad = |detail: String| SampleError::Line { path: path.to_owned(), line: index + 1, detail };
        let head: Head<'_> = serde_json::from_slice(&line).map_err(|error| bad(error.to_string()))?;
        let name = head.name.or(head.id).ok_or_else(|| bad("a packument needs a `name` or an `_id`".to_owned()))?;
        each(&name, head.revision.map(|revision| revision.into_owned()), line.clone());
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use super::*;

    const LINES: &str = "{\"name\":\"b\",\"_rev\":\"7-x\",\"n\": 1e400}\n\n{\"_id\":\"@a/a\"}";

    fn world_of(extension: &str, bytes: &[u8]) -> Result<World, SampleError> {
        let mut file = tempfile::Builder::new().suffix(extension).tempfile().unwrap();
        file.write_all(bytes).unwrap();
        World::from_ndjson([file.path()])
    }

    #[test]
    fn lines_are_served_byte_for_byte_from_any_compression() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(LINES.as_bytes()).unwrap();
        let zstd = zstd::encode_all(LINES.as_bytes(), 1).unwrap();
        let files = [(".ndjson", LINES.as_bytes().to_vec()), (".gz", gzip.finish().unwrap()), (".zst", zstd)];
        for (extension, bytes) in files {
            let world = world_of(extension, &bytes).unwrap();
            assert_eq!(world.names().collect::<Vec<_>>(), ["@a/a", "b"], "{extension}");
            assert_eq!(world.document("b").unwrap(), "{\"name\":\"b\",\"_rev\":\"7-x\",\"n\": 1e400}");
            assert_eq!(world.revision("b").unwrap(), "7-x");
            assert!(world.revision("@a/a").unwrap().starts_with("1-"));
        }
    }

    #[test]
    fn an_invalid_line_is_reported() {
        let error = world_of(".ndjson", b"{\"name\":\"a\"}\n{\"no\":1}\n").unwrap_err();
        assert!(matches!(error, SampleError::Line { line: 2, .. }), "{error}");
        assert!(matches!(World::from_ndjson(["/nowhere.ndjson"]), Err(SampleError::Read { .. })));
    }
}
