//! `all-docs cache`: prints a lake's index and keys, checks whether the lake is intact, and clears it. The command uses
//! the terms of the system that this one replaces.

use std::io::{BufRead, IsTerminal};

use clap::Subcommand;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::exit::Code;
use super::index::{self, IndexArgs};
use super::lake_origin::{LakeArgs, LakeOrigin};
use super::log;
use super::printer::Printer;
use super::settings::Settings;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::lake::{Layout, OriginLayout, hex_key};
use crate::pipeline::{
    ClearPart, Clearing, LakeDocuments, PartitionState, no_lake, partition_states, read_lake, validate_partitions,
};
use crate::store::{Store, blocking};

/// The number of files that the question before a deletion shows.
const FILES_SHOWN: usize = 5;

#[derive(Debug, Subcommand)]
pub(super) enum CacheCommand {
    /// Print every name and its revision, sorted; or what changed since an older index
    CreateIndex(IndexArgs),
    /// Print the key of each partition, or of each document, that the lake holds
    #[command(after_help = "\
Keys are v1:partition:{origin}:{hex(start)}:{hex(end)}, with _ for an open end, and v1:packument:{origin}:{hex(name)}. \
The rows, documents and bytes of a partition follow its key.

Examples:
  all-docs cache list
  all-docs cache list --packuments --origin npm")]
    List(ListArgs),
    /// Check that partitions, manifests and shards fit together
    #[command(after_help = "\
Partitions must cover all names once. Each manifest must belong to one of them. Each shard that a manifest names must \
exist and have the manifest's size. The rows of docs must be in order, in range, and as many as the manifest says. The \
command lists each fault and exits with code 4.")]
    ValidatePartitions(ValidateArgs),
    /// Delete an origin from the lake, or only its uncommitted files
    #[command(after_help = "\
The command asks before it deletes, unless --yes is given. It refuses a lake that a run is writing.

Examples:
  all-docs cache clear --dry-run
  all-docs cache clear --origin mirror --yes
  all-docs cache clear --staging                     only what was fetched and is not committed")]
    Clear(ClearArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Print the keys of documents instead of partitions
    #[arg(long, conflicts_with = "json")]
    packuments: bool,
    /// Print the keys as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lake: LakeArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ValidateArgs {
    /// Print the faults as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lake: LakeArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ClearArgs {
    /// Delete only files that were fetched or built and are not committed
    #[arg(long)]
    staging: bool,
    /// List the files that would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Which of the lake's origins [default: all of them]
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
}

pub(super) async fn run(
    command: CacheCommand,
    settings: &Settings,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Code> {
    match command {
        CacheCommand::CreateIndex(args) => index::run(args, settings, printer, stop).await,
        CacheCommand::List(args) => list(args, settings, printer).await,
        CacheCommand::ValidatePartitions(args) => validate(args, settings, printer).await,
        CacheCommand::Clear(args) => clear(args, settings, printer).await,
    }
}

/// Returns the named origin, or all origins of the lake.
async fn origins(args: &LakeArgs, settings: &Settings) -> Result<(Store, Vec<OriginLayout>)> {
    if settings.given_origin(args.origin.as_deref()).is_some() {
        let lake = LakeOrigin::open(args, settings).await?;
        return Ok((lake.store, vec![lake.layout]));
    }
    let store = settings.open_lake()?;
    let Some(info) = read_lake(&store).await? else { return Err(no_lake(settings.lake())) };
    Ok((store, info.origins.keys().map(|name| Layout::origin(name)).collect()))
}

/// A partition in the output of `--json`.
#[derive(Serialize)]
struct Entry {
    key: String,
    rows: u64,
    packuments: u64,
    size_bytes: u64,
}

async fn list(args: ListArgs, settings: &Settings, printer: &Printer) -> Result<Code> {
    let (store, layouts) = origins(&args.lake, settings).await?;
    let mut entries = Vec::new();
    for layout in &layouts {
        let states = partition_states(&store, layout).await?;
        let committed = states.iter().filter(|state| state.manifest.is_some());
        if !args.packuments {
            entries.extend(committed.map(|state| entry(state, layout.name())));
            continue;
        }
        if states.is_empty() {
            continue;
        }
        let documents = LakeDocuments::open(&store, layout).await?;
        for state in committed {
            let (documents, partition) = (documents.clone(), state.partition.clone());
            let names = blocking("reading the names", move || documents.names(&partition)).await?;
            let key =
                |name: &crate::npm::PackageName| format!("v1:packument:{}:{}\n", layout.name(), hex_key(name.as_str()));
            printer.result(&names.iter().map(key).collect::<String>())?;
        }
    }
    if args.json {
        return printer.json(&entries).map(|()| Code::Done);
    }
    let line = |entry: &Entry| format!("{}\t{}\t{}\t{}\n", entry.key, entry.rows, entry.packuments, entry.size_bytes);
    printer.result(&entries.iter().map(line).collect::<String>())?;
    Ok(Code::Done)
}

fn entry(state: &PartitionState, origin: &str) -> Entry {
    Entry {
        key: state.partition.key(origin),
        rows: state.rows(),
        packuments: state.packuments(),
        size_bytes: state.size_bytes(),
    }
}

async fn validate(args: ValidateArgs, settings: &Settings, printer: &Printer) -> Result<Code> {
    let (store, layouts) = origins(&args.lake, settings).await?;
    let (mut faults, mut partitions, mut committed) = (Vec::new(), 0, 0);
    for layout in &layouts {
        let states = partition_states(&store, layout).await?;
        partitions += states.len();
        committed += states.iter().filter(|state| state.manifest.is_some()).count();
        faults.extend(validate_partitions(&store, layout).await?);
    }
    if args.json {
        let shown: Vec<_> =
            faults.iter().map(|fault| serde_json::json!({ "path": fault.path, "fault": fault.what })).collect();
        printer.json(&shown)?;
    } else {
        let lines: String = faults.iter().map(|fault| format!("{}: {}\n", fault.path, fault.what)).collect();
        printer.result(&lines)?;
    }
    if faults.is_empty() {
        printer.note(&format!("{committed} of {partitions} partitions are committed, and all of them are intact"));
        return Ok(Code::Done);
    }
    Err(Error::lake(format!("{} faults in {} partitions", faults.len(), partitions))
        .hint("all-docs verify checks every byte, and with --repair rebuilds broken partitions"))
}

async fn clear(args: ClearArgs, settings: &Settings, printer: &Printer) -> Result<Code> {
    let lake_args = LakeArgs { origin: args.origin.clone() };
    let (store, layouts) = match &args.origin {
        Some(_) => origins(&lake_args, settings).await?,
        None => {
            // Only the command line selects the origin to delete, never a setting that the user may have forgotten.
            let store = settings.open_lake()?;
            let Some(info) = read_lake(&store).await? else { return Err(no_lake(settings.lake())) };
            (store, info.origins.keys().map(|name| Layout::origin(name)).collect())
        }
    };
    let part = if args.staging { ClearPart::Staging } else { ClearPart::Everything };
    let mut clearings = Vec::new();
    for layout in &layouts {
        clearings.push(Clearing::plan(&store, layout, part).await?);
    }
    let paths: Vec<&str> = clearings.iter().flat_map(Clearing::paths).map(String::as_str).collect();
    let names: Vec<&str> = layouts.iter().map(OriginLayout::name).collect();
    let what = format!("{} files of {} in {}", log::count(paths.len() as u64), names.join(", "), store.location());
    if args.dry_run {
        printer.result(&paths.iter().map(|path| format!("{path}\n")).collect::<String>())?;
        printer.note(&format!("would delete {what}; nothing was deleted"));
        return Ok(Code::Done);
    }
    if !args.yes && !is_wanted(&what, &paths, printer)? {
        printer.note("nothing was deleted");
        return Ok(Code::Done);
    }
    for clearing in clearings {
        clearing.run().await?;
    }
    printer.note(&format!("deleted {what}"));
    Ok(Code::Done)
}

/// Asks the user whether to delete the files.
fn is_wanted(what: &str, paths: &[&str], printer: &Printer) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::input(format!("this would delete {what}, and standard input is no terminal to ask on"))
            .hint("add --yes to delete them, or --dry-run to list them"));
    }
    for path in paths.iter().take(FILES_SHOWN) {
        printer.ask(&format!("to be deleted: {path}"));
    }
    printer.ask(&format!("delete {what}? Type yes to delete them:"));
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .or_error(ErrorKind::Input, || "cannot read the answer".to_owned())?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
}
