//! `all-docs cache create-index`: streams every name and its revision, sorted, or the changes since an older index.

mod line;
mod old;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::ValueEnum;
use tokio_util::sync::CancellationToken;

use super::exit::Code;
use super::lake_origin::{LakeArgs, LakeOrigin};
use super::log;
use super::output_file;
use super::printer::Printer;
use super::settings::Settings;
use crate::diff::diff;
use crate::error::{Error, Result};
use crate::npm::ChangeKind;
use crate::pipeline::LakeRows;
use crate::store::blocking;
use line::{write_change, write_row};

/// Bytes that are buffered before they go to the output.
const OUTPUT_BUFFER_BYTES: usize = 1 << 16;
/// Rows between two checks whether the user wants to stop.
const ROWS_BETWEEN_LOOKS: u64 = 10_000;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Lines are `name,rev`, sorted by the bytes of the names; a name with a comma, a quote or a line end is quoted. \
JSON is an array with one object per line. An index of millions of names takes constant memory.

--diff reads an older index in either format, sorted or not, and prints `added,name,rev`, `changed,name,rev` or \
`removed,name,rev`. rev is the current revision, or the last one of a removed name.

Examples:
  all-docs cache create-index > npm.csv
  all-docs cache create-index --diff npm.csv
  all-docs cache create-index --format json --output npm.json")]
pub(super) struct IndexArgs {
    /// The format of the index
    #[arg(long, value_enum, default_value_t = IndexFormat::Csv)]
    format: IndexFormat,
    /// Print the changes since this index instead
    #[arg(long, value_name = "OLD_INDEX")]
    diff: Option<PathBuf>,
    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    lake: LakeArgs,
}

/// The format of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum IndexFormat {
    /// `name,rev` lines.
    Csv,
    /// An array of objects, one a line.
    Json,
}

pub(super) async fn run(
    args: IndexArgs,
    settings: &Settings,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Code> {
    let lake = LakeOrigin::open(&args.lake, settings).await?;
    let rows = LakeRows::open(&lake.store, &lake.layout).await?;
    if rows.shards().is_empty() {
        return Err(Error::lake(format!("the lake holds no names of {} yet", lake.layout.name()))
            .hint(format!("list them: all-docs partition refresh{}", lake.flag())));
    }
    let missing = rows.partitions_missing();
    let written = blocking("writing the index", move || write_index(&args, &rows, &stop)).await?;
    let Some(lines) = written else { return Ok(Code::Interrupted) };
    printer.note(&format!("{} lines", log::count(lines)));
    if missing > 0 {
        printer.warn(&format!(
            "{} partitions were never listed, and their names are not in it",
            log::count(missing as u64)
        ));
        return Ok(Code::Incomplete);
    }
    Ok(Code::Done)
}

/// Writes the index or the difference. Returns its number of lines, or `None` if the user stopped it.
fn write_index(args: &IndexArgs, rows: &LakeRows, stop: &CancellationToken) -> Result<Option<u64>> {
    let (output, naming): (Box<dyn Write>, _) = match output_file::named(args.output.as_deref()) {
        None => (Box::new(io::stdout().lock()), None),
        Some(path) => {
            let (file, naming) = output_file::create(path)?;
            (Box::new(file), Some(naming))
        }
    };
    let mut lines =
        Lines { output: BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, output), format: args.format, count: 0, stop };
    let written = match &args.diff {
        None => rows.iter().try_for_each(|row| {
            let row = row.map_err(Stopped::Error)?;
            lines.push(|output, format| write_row(output, format, row.name.as_str(), row.rev.as_str()))
        }),
        Some(old) => diff(old::read_index(old)?, rows.iter()).try_for_each(|change| {
            let change = change.map_err(Stopped::Error)?;
            let kind = match change.kind {
                ChangeKind::Added => "added",
                ChangeKind::Changed => "changed",
                ChangeKind::Removed | ChangeKind::Deleted => "removed",
            };
            lines.push(|output, format| write_change(output, format, kind, change.name.as_str(), change.rev.as_str()))
        }),
    };
    match written.and_then(|()| lines.finish()) {
        Ok(()) => {}
        Err(Stopped::ByUser) => return Ok(None),
        Err(Stopped::ByReader) => return Ok(Some(lines.count)),
        Err(Stopped::Error(error)) => return Err(error),
    }
    let count = lines.count;
    drop(lines);
    if let Some(naming) = naming {
        naming.finish()?;
    }
    Ok(Some(count))
}

/// Why the writing of an index ended early.
enum Stopped {
    ByUser,
    /// The reader of the pipe closed it.
    ByReader,
    Error(Error),
}

/// An index that is being written.
struct Lines<'a> {
    output: BufWriter<Box<dyn Write>>,
    format: IndexFormat,
    count: u64,
    stop: &'a CancellationToken,
}

impl Lines<'_> {
    fn push(
        &mut self,
        write: impl FnOnce(&mut dyn Write, IndexFormat) -> io::Result<()>,
    ) -> std::result::Result<(), Stopped> {
        if self.count.is_multiple_of(ROWS_BETWEEN_LOOKS) && self.stop.is_cancelled() {
            return Err(Stopped::ByUser);
        }
        let before = match (self.format, self.count) {
            (IndexFormat::Csv, _) => "",
            (IndexFormat::Json, 0) => "[\n",
            (IndexFormat::Json, _) => ",\n",
        };
        self.count += 1;
        self.output.write_all(before.as_bytes()).and_then(|()| write(&mut self.output, self.format)).map_err(stopped)
    }

    fn finish(&mut self) -> std::result::Result<(), Stopped> {
        let end = match (self.format, self.count) {
            (IndexFormat::Csv, _) => "",
            (IndexFormat::Json, 0) => "[]\n",
            (IndexFormat::Json, _) => "\n]\n",
        };
        self.output.write_all(end.as_bytes()).and_then(|()| self.output.flush()).map_err(stopped)
    }
}

fn stopped(error: io::Error) -> Stopped {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Stopped::ByReader,
        _ => Stopped::Error(Error::input("cannot write the index").source(error)),
    }
}
