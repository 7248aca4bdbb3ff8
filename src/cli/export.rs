//! `all-docs packument export`: writes documents of the lake as files, byte for byte.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clap::ValueEnum;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio_util::sync::CancellationToken;

use super::exit::Code;
use super::lake_origin::{LakeArgs, LakeOrigin};
use super::log;
use super::names_file::read_names;
use super::output_file;
use super::printer::Printer;
use super::settings::Settings;
use crate::error::{Context, Doing, Error, ErrorKind, Result};
use crate::npm::PackageName;
use crate::pipeline::LakeDocuments;
use crate::store::blocking;

/// The ASCII characters that JavaScript's `encodeURIComponent` encodes.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');
/// The number of missing names that are shown; the rest is counted.
const MISSING_SHOWN: usize = 20;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each document becomes DIR/<encodeURIComponent(name)>.json. A file that already holds the same bytes is left alone, so \
a stopped export resumes. The command lists names that have no document in the lake, and exits with code 6.

--format ndjson writes one file with a document a line, in the order of names; - is standard output. Line ends within \
a document become blanks; nothing else changes.

Examples:
  all-docs packument export names.json documents
  all-docs packument export names.txt documents.ndjson --format ndjson
  all-docs query \"select name from packages where star_count > 100\" --format csv | tail -n +2 | all-docs packument export - documents")]
pub(super) struct ExportArgs {
    /// The list of names: a JSON array, or a name (or name@version) a line with # comments; - reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The folder of the files; with --format ndjson the file
    #[arg(value_name = "DIR")]
    target: PathBuf,
    /// One file per document, or one for all
    #[arg(long, value_enum, default_value_t = ExportFormat::Files)]
    format: ExportFormat,
    #[command(flatten)]
    lake: LakeArgs,
}

/// The form of the exported documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// One file per document, byte for byte.
    Files,
    /// One file with one document per line.
    Ndjson,
}

/// The result of an export, or of a part of one.
#[derive(Debug, Default)]
struct Exported {
    written: u64,
    unchanged: u64,
    size_bytes: u64,
    missing: BTreeSet<PackageName>,
    is_interrupted: bool,
}

pub(super) async fn run(
    args: ExportArgs,
    settings: &Settings,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Code> {
    let names: Vec<PackageName> = read_names(&args.file)?.into_iter().collect();
    let lake = LakeOrigin::open(&args.lake, settings).await?;
    let documents = LakeDocuments::open(&lake.store, &lake.layout).await?;
    let groups = documents.by_partition(names);
    let target = args.target.clone();
    let exported = match args.format {
        ExportFormat::Files => to_files(documents, groups, target, stop).await?,
        ExportFormat::Ndjson => {
            blocking("an export's thread", move || to_lines(&documents, &groups, &target, &stop)).await?
        }
    };
    if exported.is_interrupted {
        printer.note("interrupted; the same command resumes where it stopped");
        return Ok(Code::Interrupted);
    }
    printer.note(&format!(
        "{} documents written, {}; {} were there already",
        log::count(exported.written),
        log::bytes(exported.size_bytes),
        log::count(exported.unchanged),
    ));
    if exported.missing.is_empty() {
        return Ok(Code::Done);
    }
    let shown: Vec<&str> = exported.missing.iter().take(MISSING_SHOWN).map(PackageName::as_str).collect();
    let more = if shown.len() < exported.missing.len() { ", …" } else { "" };
    printer.warn(&format!(
        "the lake has no document of {} names: {}{more}",
        log::count(exported.missing.len() as u64),
        shown.join(", ")
    ));
    printer.note(&format!("  fetch them first: all-docs packument fetch-list {}{}", args.file.display(), lake.flag()));
    Ok(Code::Incomplete)
}

/// Writes one file per document, several partitions at once on all cores.
async fn to_files(
    documents: LakeDocuments,
    groups: Vec<Vec<PackageName>>,
    folder: PathBuf,
    stop: CancellationToken,
) -> Result<Exported> {
    std::fs::create_dir_all(&folder)
        .or_error(ErrorKind::Input, || format!("cannot create the folder {}", folder.display()))?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let waiting = Arc::new(Mutex::new(groups.into_iter()));
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let (documents, waiting) = (documents.clone(), Arc::clone(&waiting));
            let (folder, stop) = (folder.clone(), stop.clone());
            tokio::spawn(blocking("an export's thread", move || {
                let mut exported = Exported::default();
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(names) = next else { return Ok(exported) };
                    export_partition(&documents, &names, &stop, &mut exported, |name, bytes| {
                        write_file(&folder, name, bytes)
                    })?;
                }
            }))
        })
        .collect();
    let mut all = Exported::default();
    for worker in workers {
        let part = worker.await.or_error(ErrorKind::Internal, || "a thread of the export panicked".to_owned())??;
        all.written += part.written;
        all.unchanged += part.unchanged;
        all.size_bytes += part.size_bytes;
        all.missing.extend(part.missing);
        all.is_interrupted |= part.is_interrupted;
    }
    Ok(all)
}

/// Writes all documents into one file, in the order of names.
fn to_lines(
    documents: &LakeDocuments,
    groups: &[Vec<PackageName>],
    target: &Path,
    stop: &CancellationToken,
) -> Result<Exported> {
    let cannot = || format!("cannot write {}", target.display());
    let (output, naming): (Box<dyn Write>, _) = if target == Path::new("-") {
        (Box::new(io::stdout().lock()), None)
    } else {
        let (file, naming) = output_file::create(target)?;
        (Box::new(file), Some(naming))
    };
    let mut output = BufWriter::with_capacity(1 << 16, output);
    let mut exported = Exported::default();
    for names in groups {
        let written = export_partition(documents, names, stop, &mut exported, |_, bytes| {
            let line: Vec<u8> =
                bytes.iter().map(|&byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }).collect();
            output
                .write_all(line.trim_ascii())
                .and_then(|()| output.write_all(b"\n"))
                .or_error(ErrorKind::Input, cannot)?;
            Ok(true)
        });
        match written {
            // The reader of the pipe closed it.
            Err(error) if is_closed_pipe(&error) => return Ok(exported),
            written => written?,
        }
    }
    match output.flush().or_error(ErrorKind::Input, cannot) {
        Err(error) if is_closed_pipe(&error) => return Ok(exported),
        flushed => flushed?,
    }
    if let Some(naming) = naming.filter(|_| !exported.is_interrupted) {
        naming.finish()?;
    }
    Ok(exported)
}

/// Passes the documents of one partition to `write`, which returns whether it had to write anything.
fn export_partition(
    documents: &LakeDocuments,
    names: &[PackageName],
    stop: &CancellationToken,
    exported: &mut Exported,
    mut write: impl FnMut(&PackageName, &[u8]) -> Result<bool>,
) -> Result<()> {
    if exported.is_interrupted {
        return Ok(());
    }
    let mut missing: BTreeSet<PackageName> = names.iter().cloned().collect();
    let read = documents.read(names, |document| {
        if stop.is_cancelled() {
            return Err(Error::interrupted());
        }
        missing.remove(&document.name);
        if write(&document.name, &document.bytes).doing(|| format!("exporting {}", document.name))? {
            exported.written += 1;
            exported.size_bytes += document.bytes.len() as u64;
        } else {
            exported.unchanged += 1;
        }
        Ok(())
    });
    match read {
        Err(error) if error.kind() == ErrorKind::Interrupted => exported.is_interrupted = true,
        read => {
            read?;
            exported.missing.append(&mut missing);
        }
    }
    Ok(())
}

/// Writes a document's file unless it already holds the same bytes. Returns whether it wrote.
fn write_file(folder: &Path, name: &PackageName, bytes: &[u8]) -> Result<bool> {
    let path = folder.join(file_name(name.as_str()));
    let is_there = std::fs::metadata(&path).is_ok_and(|held| held.len() == bytes.len() as u64)
        && std::fs::read(&path).is_ok_and(|held| held == bytes);
    if !is_there {
        output_file::write(&path, bytes)?;
    }
    Ok(!is_there)
}

fn file_name(name: &str) -> String {
    format!("{}.json", utf8_percent_encode(name, COMPONENT))
}

fn is_closed_pipe(error: &Error) -> bool {
    use std::error::Error as _;
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_javascript_would() {
        assert_eq!(file_name("@types/node"), "%40types%2Fnode.json");
        assert_eq!(file_name("a.b_c-d!~*'()"), "a.b_c-d!~*'().json");
        assert_eq!(file_name("\u{e4} "), "%C3%A4%20.json");
    }
}
