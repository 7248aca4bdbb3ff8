//! Finds the file that a statement names, and tells the form of its records by its suffix.

use std::io::ErrorKind as IoErrorKind;
use std::path::{Path, PathBuf};

use url::Url;

use crate::error::{Context, Error, ErrorKind, Result};

use super::request::{Form, Request};

/// The suffixes of files that a statement can name.
const SUFFIXES: &str = ".ndjson, .jsonl, .json, .csv, .tsv (each also with .gz or .zst) and .parquet";

/// The files of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// At least one, in alphabetical order.
    pub(super) paths: Vec<PathBuf>,
    pub(super) form: Form,
    /// Whether the suffix promises a JSON value a line.
    pub(super) has_lines: bool,
    /// The delimiter that the suffix promises.
    pub(super) delimiter: char,
}

/// Finds the files of a request; returns `None` if its name is none of a file, but of a table.
///
/// Fails with [`ErrorKind::Input`] for a path without a file, a folder without Parquet files, a pipe, and a suffix that
/// tells no form.
pub(super) fn find(request: &Request) -> Result<Option<Found>> {
    let path = match Url::parse(&request.path) {
        Ok(url) if url.scheme() == "file" => url.to_file_path().unwrap_or_default(),
        _ => PathBuf::from(&request.path),
    };
    let shown = path.display();
    let known = suffixes(&path);
    let names_a_file = known.is_some() || request.path.contains(['/', '\\', '.']);
    if request.is_only_a_path() && !names_a_file {
        return Ok(None);
    }
    let no_file = || Error::input(format!("there is no file {shown}"));
    let metadata = match std::fs::metadata(&path) {
        Err(error) if error.kind() == IoErrorKind::NotFound => {
            if request.path.contains(WILDCARDS) {
                return of_pattern(&path, request).map(Some);
            }
            return Err(match known.is_none() && request.is_only_a_path() {
                true => Error::input(format!("there is no table or file {shown:?}", shown = request.path))
                    .hint(format!("the suffixes of files are {SUFFIXES}")),
                false => no_file().hint("a path is relative to the folder in which all-docs was started"),
            });
        }
        metadata => metadata.or_error(ErrorKind::Input, || format!("cannot read the file {shown}"))?,
    };
    if metadata.is_dir() {
        let mut names = std::fs::read_dir(&path).or_error(ErrorKind::Input, || format!("cannot read {shown}"))?;
        if request.is_only_a_path() && names.any(|entry| entry.is_ok_and(|entry| is_parquet(&entry.path()))) {
            let form = Form::Parquet;
            return Ok(Some(Found { paths: vec![path], form, has_lines: false, delimiter: ',' }));
        }
        return Err(Error::input(format!("{shown} is a folder"))
            .hint(format!("name a file in it, or several: '{}/*.ndjson'", request.path.trim_end_matches('/'))));
    }
    if !metadata.is_file() {
        return Err(Error::input(format!("{shown} is no regular file, and a statement may read a file twice"))
            .hint("save its contents in a file first"));
    }
    found(vec![path], request).map(Some)
}

/// Makes the files of a table from paths that exist.
fn found(paths: Vec<PathBuf>, request: &Request) -> Result<Found> {
    let by_suffix = |path: &PathBuf| match (suffixes(path), request.form) {
        (Some((_, has_lines, delimiter)), Some(form)) => Ok((form, has_lines, delimiter)),
        (Some(known), None) => Ok(known),
        (None, Some(form)) => Ok((form, false, ',')),
        (None, None) => Err(Error::input(format!("the suffix of {} names no form of records", path.display()))
            .hint(format!("the suffixes are {SUFFIXES}; or call read_json('…') or read_csv('…')"))),
    };
    let mut forms = paths.iter().map(by_suffix).collect::<Result<Vec<_>>>()?;
    forms.dedup();
    match forms.as_slice() {
        [(form, has_lines, delimiter)] => {
            Ok(Found { paths, form: *form, has_lines: *has_lines, delimiter: *delimiter })
        }
        _ => Err(Error::input(format!("the files {} have records of several forms", request.path))
            .hint("name files of one suffix")),
    }
}

/// Lists the files of a pattern: `*` stands for any text within one part of the path, `?` for one character.
fn of_pattern(pattern: &Path, request: &Request) -> Result<Found> {
    let mut paths = vec![PathBuf::new()];
    for part in pattern.components() {
        let part = part.as_os_str();
        let wanted = part.to_string_lossy();
        if !wanted.contains(WILDCARDS) {
            paths.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let below = |folder: PathBuf| {
            let listed = if folder.as_os_str().is_empty() { Path::new(".").to_owned() } else { folder.clone() };
            let names = std::fs::read_dir(listed).into_iter().flatten().flatten().map(|entry| entry.file_name());
            let names: Vec<_> = names.filter(|name| matches(wanted.as_bytes(), name.as_encoded_bytes())).collect();
            names.into_iter().map(move |name| folder.join(name))
        };
        paths = paths.into_iter().flat_map(below).collect();
    }
    paths.retain(|path| path.is_file());
    paths.sort();
    match paths.is_empty() {
        true => Err(Error::input(format!("there is no file {}", pattern.display())).hint(PATTERN)),
        false => found(paths, request),
    }
}

/// The hint for a pattern without a file.
const PATTERN: &str = "a path is relative to the folder in which all-docs was started; * stands for any text within one \
                       part of a path, and ? for one character";

/// The characters that make a path a pattern.
const WILDCARDS: [char; 2] = ['*', '?'];

/// Whether `name` is as the pattern `wanted` says. A name that begins with a dot needs a pattern that does so.
fn matches(wanted: &[u8], name: &[u8]) -> bool {
    fn rest(wanted: &[u8], name: &[u8]) -> bool {
        match (wanted.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', after)), _) => (0..=name.len()).any(|at| rest(after, name.get(at..).unwrap_or_default())),
            (Some((b'?', after)), Some((_, left))) => rest(after, left),
            (Some((one, after)), Some((other, left))) => one == other && rest(after, left),
            _ => false,
        }
    }
    (name.first() != Some(&b'.') || wanted.first() == Some(&b'.')) && rest(wanted, name)
}

/// Whether a path has the suffix of a Parquet file.
pub(super) fn is_parquet(path: &Path) -> bool {
    matches!(suffixes(path), Some((Form::Parquet, ..)))
}

/// Returns what a path's suffixes say: the form of records, whether each has a line, and the delimiter.
fn suffixes(path: &Path) -> Option<(Form, bool, char)> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst"));
    let (_, suffix) = plain.unwrap_or(&name).rsplit_once('.')?;
    match (suffix, plain) {
        ("json", _) => Some((Form::Json, false, ',')),
        ("ndjson" | "jsonl", _) => Some((Form::Json, true, ',')),
        ("csv", _) => Some((Form::Csv, false, ',')),
        ("tsv" | "tab", _) => Some((Form::Csv, false, '\t')),
        ("parquet", None) => Some((Form::Parquet, false, ',')),
        _ => None,
    }
}
