//! `all-docs query`: one statement, its answer on standard output or in a file.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::args::QueryArgs;
use super::exit::Code;
use super::log;
use super::origin::given_name;
use super::output_file;
use super::printer::Printer;
use super::settings::Settings;
use crate::error::{Context, Doing, Error, ErrorKind, Result};
use crate::pipeline::read_lake;
use crate::query::{AttachedLake, Format, Session, SessionOptions, TableOptions, no_lake, write};
use crate::store::Store;

/// Bytes that are gathered before they go to the output.
const OUTPUT_BUFFER_BYTES: usize = 1 << 16;

pub(super) async fn run(
    args: QueryArgs,
    settings: &Settings,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Code> {
    let format = output_format(&args)?;
    let store = Store::open(settings.lake())?;
    let Some(info) = read_lake(&store).await? else { return Err(no_lake(settings.lake())) };
    let options = SessionOptions { attached: attached(&args.attach).await?, ..SessionOptions::default() };
    let session = Session::open(store.object_store(), store.root_url(), &info, &options)?;
    if args.explain {
        let plan = session.explain(&args.sql).await?;
        printer.result(&format!("{plan}\n"))?;
        return Ok(Code::Done);
    }
    let answer = session.query(&args.sql).await?;
    let options = TableOptions { width: table_width(&args, printer), styled: printer.stdout_width().is_some() };
    let work = async {
        match &args.output {
            Some(path) => {
                let (file, staged) = output_file::create(path)?;
                let mut output = BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, file);
                let written = write(answer, format, &mut output, &options).await?;
                output.flush().or_error(ErrorKind::Input, || format!("cannot write {}", path.display()))?;
                drop(output);
                staged.persist(path).or_error(ErrorKind::Input, || format!("cannot write {}", path.display()))?;
                printer.note(&format!("{} rows written to {}", log::count(written.rows), path.display()));
            }
            None => {
                let mut output = BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, io::stdout());
                write(answer, format, &mut output, &options).await?;
                // The reader may have closed the pipe after the last row that it wanted.
                let _ = output.flush();
            }
        }
        Ok(Code::Done)
    };
    match stop.run_until_cancelled(work).await {
        Some(result) => result.doing(|| "answering the statement".to_owned()),
        None => Ok(Code::Interrupted),
    }
}

/// The lakes of `--attach NAME=LAKE`.
async fn attached(texts: &[String]) -> Result<Vec<AttachedLake>> {
    let mut lakes = Vec::new();
    for text in texts {
        let Some((name, place)) = given_name(text) else {
            return Err(Error::input(format!("--attach {text:?} does not say how the lake is to be called"))
                .hint("as in: --attach old=lakes/2025; the name is small letters, digits and _"));
        };
        let store = Store::open(place)?;
        let Some(info) = read_lake(&store).await? else { return Err(no_lake(place)) };
        let (root_url, store) = (store.root_url().clone(), store.object_store());
        lakes.push(AttachedLake { name: name.to_owned(), store, root_url, info });
    }
    Ok(lakes)
}

/// The format that was asked for, else the one of the output file's suffix, else a table.
fn output_format(args: &QueryArgs) -> Result<Format> {
    let by_suffix = || args.output.as_deref().and_then(Path::extension)?.to_str()?.parse().ok();
    let format = match &args.format {
        Some(name) => name.parse()?,
        None => by_suffix().unwrap_or(Format::Table),
    };
    if format.is_binary() && args.output.is_none() && io::stdout().is_terminal() {
        return Err(Error::input(format!("{} is not for a terminal", format.as_str())).hint("add --output FILE"));
    }
    Ok(format)
}

fn table_width(args: &QueryArgs, printer: &Printer) -> Option<u16> {
    if args.output.is_some() { None } else { printer.stdout_width() }
}
