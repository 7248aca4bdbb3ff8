//! `all-docs packument export`: writes documents of the lake as files, byte for byte.

use std::collections::{BTreeMap, BTreeSet, HashSet};
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
a stopped export resumes. The command lists names that have no document in the lake, and names that cannot be a file: \
too long for the file system, the same as another one but for capital letters where the file system ignores these, or \
the name of a folder. It writes the others, and exits with code 6.

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
    /// Documents whose names cannot be a file, each with the reason.
    unwritten: BTreeMap<PackageName, &'static str>,
    is_interrupted: bool,
}

/// The outcome of a document.
enum Outcome {
    Written,
    Unchanged,
    /// Its name cannot be a file, for this reason.
    Unwritten(&'static str),
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
    if !exported.missing.is_empty() {
        let names = exported.missing.iter().map(|name| name.as_str().to_owned());
        printer.warn(&format!(
            "the lake has no document of {} names: {}",
            log::count(exported.missing.len() as u64),
            shown(names)
        ));
        printer.note(&format!(
            "  fetch them first: all-docs packument fetch-list {}{}",
            args.file.display(),
            lake.flag()
        ));
    }
    if !exported.unwritten.is_empty() {
        let names = exported.unwritten.iter().map(|(name, reason)| format!("{name} ({reason})"));
        printer.warn(&format!(
            "{} documents could not become files: {}",
            log::count(exported.unwritten.len() as u64),
            shown(names)
        ));
        printer.note("  --format ndjson writes all documents into one file");
    }
    let is_whole = exported.missing.is_empty() && exported.unwritten.is_empty();
    Ok(if is_whole { Code::Done } else { Code::Incomplete })
}

/// Lists the first names of many.
fn shown(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = if names.len() > MISSING_SHOWN { ", …" } else { "" };
    format!("{}{more}", names.take(MISSING_SHOWN).collect::<Vec<_>>().join(", "))
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
    let clashing = clashing(groups.iter().flatten());
    let clashing = Arc::new(if clashing.is_empty() || !ignores_case(&folder)? { BTreeSet::new() } else { clashing });
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let waiting = Arc::new(Mutex::new(groups.into_iter()));
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let (documents, waiting) = (documents.clone(), Arc::clone(&waiting));
            let (folder, stop, clashing) = (folder.clone(), stop.clone(), Arc::clone(&clashing));
            tokio::spawn(blocking("an export's thread", move || {
                let mut exported = Exported::default();
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(names) = next else { return Ok(exported) };
                    export_partition(&documents, &names, &stop, &mut exported, |name, bytes| {
                        match clashing.contains(name) {
                            true => Ok(Outcome::Unwritten("another name differs only in capital letters")),
                            false => write_file(&folder, name, bytes),
                        }
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
        all.unwritten.extend(part.unwritten);
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
            Ok(Outcome::Written)
        });
        match written {
            // The reader of the pipe closed it.
            Err(error) if error.is_closed_pipe() => return Ok(exported),
            written => written?,
        }
    }
    match output.flush().or_error(ErrorKind::Input, cannot) {
        Err(error) if error.is_closed_pipe() => return Ok(exported),
        flushed => flushed?,
    }
    if let Some(naming) = naming.filter(|_| !exported.is_interrupted) {
        naming.finish()?;
    }
    Ok(exported)
}

/// Passes the documents of one partition to `write`, which returns what became of each.
fn export_partition(
    documents: &LakeDocuments,
    names: &[PackageName],
    stop: &CancellationToken,
    exported: &mut Exported,
    mut write: impl FnMut(&PackageName, &[u8]) -> Result<Outcome>,
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
        match write(&document.name, &document.bytes).doing(|| format!("exporting {}", document.name))? {
            Outcome::Written => {
                exported.written += 1;
                exported.size_bytes += document.bytes.len() as u64;
            }
            Outcome::Unchanged => exported.unchanged += 1,
            Outcome::Unwritten(reason) => drop(exported.unwritten.insert(document.name.clone(), reason)),
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

/// Writes a document's file unless it already holds the same bytes. Fails if the folder takes no file at all.
fn write_file(folder: &Path, name: &PackageName, bytes: &[u8]) -> Result<Outcome> {
    let path = folder.join(file_name(name.as_str()));
    let held = match std::fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::InvalidFilename => {
            return Ok(Outcome::Unwritten("too long for a file's name"));
        }
        Ok(held) if held.is_dir() => return Ok(Outcome::Unwritten("a folder has the file's name")),
        held => held.ok(),
    };
    let is_there = held.is_some_and(|held| held.len() == bytes.len() as u64)
        && std::fs::read(&path).is_ok_and(|held| held == bytes);
    if is_there {
        return Ok(Outcome::Unchanged);
    }
    output_file::write(&path, bytes)?;
    Ok(Outcome::Written)
}

/// Returns the names that differ from an earlier one only in capital letters.
fn clashing<'n>(names: impl Iterator<Item = &'n PackageName>) -> BTreeSet<PackageName> {
    let mut seen = HashSet::new();
    names.filter(|name| !seen.insert(file_name(name.as_str()).to_ascii_lowercase())).cloned().collect()
}

/// Returns whether the folder's file system takes names that differ only in capital letters for the same, as those of
/// macOS and Windows do.
fn ignores_case(folder: &Path) -> Result<bool> {
    let cannot = || format!("cannot write into the folder {}", folder.display());
    let probe = tempfile::Builder::new().prefix(".all-docs-case-").tempfile_in(folder);
    let probe = probe.or_error(ErrorKind::Input, cannot)?;
    let name = probe.path().file_name().unwrap_or_default().to_string_lossy().to_uppercase();
    Ok(folder.join(name).exists())
}

fn file_name(name: &str) -> String {
    format!("{}.json", utf8_percent_encode(name, COMPONENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_javascript_would() {
        assert_eq!(file_name("@types/node"), "%40types%2Fnode.json");
        assert_eq!(file_name("a.b_c-d!~*'()"), "a.b_c-d!~*'().json");
        assert_eq!(file_name("\u{e4} "), "%C3%A4%20.json");
        // No name leaves the folder, or ends early.
        for (name, file) in [("..", "...json"), (".", "..json"), ("../a", "..%2Fa.json"), ("a\0b", "a%00b.json")] {
            assert_eq!(file_name(name), file);
        }
    }

    #[test]
    fn names_that_differ_only_in_capital_letters_are_found() {
        let names = ["JSONStream", "a", "jsonstream", "\u{c4}", "\u{e4}"].map(PackageName::from);
        let found = clashing(names.iter());
        assert_eq!(found, BTreeSet::from(["jsonstream"].map(PackageName::from)));
        assert!(clashing(["a", "b"].map(PackageName::from).iter()).is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_probe_tells_the_file_system_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(!ignores_case(folder.path()).expect("a folder that can be written"));
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    #[test]
    fn a_name_that_cannot_be_a_file_is_told_and_a_folder_that_takes_none_fails() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str| write_file(folder.path(), &PackageName::from(name), b"{}");
        std::fs::create_dir(folder.path().join("taken.json")).expect("a folder");
        assert!(matches!(write("a"), Ok(Outcome::Written)));
        assert!(matches!(write("a"), Ok(Outcome::Unchanged)));
        assert!(matches!(write("taken"), Ok(Outcome::Unwritten(_))));
        assert!(matches!(write(&"x".repeat(250)), Ok(Outcome::Written)));
        assert!(matches!(write(&"x".repeat(251)), Ok(Outcome::Unwritten(_))));
        let nowhere = write_file(&folder.path().join("gone"), &PackageName::from("a"), b"{}");
        assert_eq!(nowhere.err().map(|error| error.kind()), Some(ErrorKind::Input));
    }
}
