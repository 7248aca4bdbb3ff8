//! The checks of a user's Parquet files. The engine reads them, but it passes over a file of no bytes, and does not say
//! which of several files is wrong.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::find::{Found, is_parquet};
use crate::error::{Context, Error, ErrorKind, Result, system_error};

/// Fails for a file that cannot be opened or has no bytes. Blocks.
pub(super) fn check(found: &Found) -> Result<()> {
    for path in files(found)? {
        let shown = path.display();
        // As the engine names it.
        let file = std::path::absolute(&path).and_then(File::open).and_then(|file| file.metadata());
        if file.or_error(ErrorKind::Input, || format!("cannot read the file {shown}"))?.len() == 0 {
            return Err(Error::input(format!("{shown} is empty, which no Parquet file is"))
                .hint("make or download the file again, or leave it out"));
        }
    }
    Ok(())
}

/// Explains why the engine cannot read the files of `path` as a table. Blocks.
pub(super) fn explain(path: &str, found: &Found, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    match files(found).and_then(|files| first_fault(&files)) {
        Err(error) => error,
        Ok(()) => Error::input(format!("{path} cannot be read as Parquet")).source(cause),
    }
}

/// Fails for the first file that has no footer, or whose columns have other types than those of the files before it.
fn first_fault(files: &[PathBuf]) -> Result<()> {
    let mut known: Vec<(&Path, SchemaRef)> = Vec::new();
    for path in files {
        let shown = path.display();
        let file = File::open(path).or_error(ErrorKind::Input, || format!("cannot read the file {shown}"))?;
        let schema = match ParquetRecordBatchReaderBuilder::try_new(file) {
            Ok(builder) => SchemaRef::clone(builder.schema()),
            Err(error) if system_error(&error).is_some() => {
                return Err(Error::input(format!("cannot read the file {shown}")).source(error));
            }
            Err(error) => {
                return Err(Error::input(format!("{shown} is no Parquet file, or is damaged"))
                    .hint("make or download the file again; its suffix must say its form")
                    .source(error));
            }
        };
        for field in schema.fields() {
            let before = known.iter().find_map(|(path, known)| Some((path, known.column_with_name(field.name())?.1)));
            if let Some((other, before)) = before
                && before.data_type() != field.data_type()
            {
                let (name, found, expected) = (field.name(), field.data_type(), before.data_type());
                let other = other.display();
                return Err(Error::input(format!("{name} is {found} in {shown}, and {expected} in {other}")).hint(
                    format!("read each file by itself: select cast({name} as text) … from '{other}' union all …"),
                ));
            }
        }
        known.push((path, schema));
    }
    Ok(())
}

/// Returns the files, also those of a folder, at any depth.
fn files(found: &Found) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut waiting = found.paths.clone();
    while let Some(path) = waiting.pop() {
        if !path.is_dir() {
            files.push(path);
            continue;
        }
        let cannot = || format!("cannot read the folder {}", path.display());
        for entry in std::fs::read_dir(&path).or_error(ErrorKind::Input, cannot)? {
            let below = entry.or_error(ErrorKind::Input, cannot)?.path();
            if below.is_dir() || is_parquet(&below) {
                waiting.push(below);
            }
        }
    }
    files.sort();
    Ok(files)
}
