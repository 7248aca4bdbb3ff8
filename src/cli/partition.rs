//! `all-docs partition`: lists the registry partition by partition, and shows the partitions. It fetches no documents.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::exit::Code;
use super::ingest::{Wish, crawl};
use super::lake_origin::{LakeArgs, LakeOrigin};
use super::log;
use super::printer::Printer;
use super::registry_args::{Packuments, RegistryArgs};
use super::settings::Settings;
use crate::diff::Selection;
use crate::error::{Error, Result};
use crate::lake::Partition;
use crate::pipeline::{PartitionState, Scope, partition_states};

#[derive(Debug, Subcommand)]
pub(super) enum PartitionCommand {
    /// List all names and revisions again: an ingest that fetches no document
    #[command(after_help = "\
The same as `all-docs ingest --packuments none`: it brings the table docs up to date. Documents and the tables made of \
them stay as they are until an ingest or `packument fetch`.

Examples:
  all-docs partition refresh --pivots pivots.js
  all-docs partition refresh                      by the lake's own partitions
  all-docs partition refresh --dry-run            show what was added, changed and removed since")]
    Refresh(RefreshArgs),
    /// List the names of a range again
    #[command(after_help = "\
A partition is listed whole or not at all: the command brings every partition of the lake that may hold names of the \
range up to date. A new lake gets a balanced set of partitions first, which costs a few requests a partition, once.

Examples:
  all-docs partition fetch --start-key react --end-key reacu
  all-docs partition fetch --start-key '@babel/' --end-key '@babel0'")]
    Fetch(FetchArgs),
    /// Show the partitions of the lake: their ranges, rows, bytes, and when they were written
    List(ListArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct RefreshArgs {
    /// The pivots file [default: the lake's own partitions; for a new lake, balanced pivots]
    #[arg(long, value_name = "FILE", env = "ALL_DOCS_PIVOTS")]
    pivots: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    crawl: CrawlArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct FetchArgs {
    /// The first name of the range [default: the first name of all]
    #[arg(long, visible_alias = "start", value_name = "K")]
    start_key: Option<String>,
    /// The first name above the range [default: none, so up to the last]
    #[arg(long, visible_alias = "end", value_name = "K")]
    end_key: Option<String>,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    crawl: CrawlArgs,
}

/// The options that all listings share.
#[derive(Debug, clap::Args)]
struct CrawlArgs {
    /// The number of rows per partition in a new lake. A lake with partitions keeps them, with a warning if this value
    /// asks for others [default: 10000]
    #[arg(long, value_name = "N", env = "ALL_DOCS_PARTITION_ROWS")]
    partition_rows: Option<NonZeroU64>,
    /// Show what changed, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Accept that the registry no longer has many of the lake's names or documents
    #[arg(long)]
    accept_removals: bool,
    /// Print the summary as JSON on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    lake: LakeArgs,
    /// Print the partitions as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    command: PartitionCommand,
    settings: &Settings,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Code> {
    let (registry, crawl_args, pivots, scope) = match command {
        PartitionCommand::List(args) => return list(args, settings, printer).await,
        PartitionCommand::Refresh(args) => {
            let pivots = settings.pivots(args.pivots.as_deref()).map(Path::to_owned);
            (args.registry, args.crawl, pivots, Scope::All)
        }
        PartitionCommand::Fetch(args) => {
            let scope = Scope::Range(range(args.start_key, args.end_key)?);
            (args.registry, args.crawl, None, scope)
        }
    };
    let wish = Wish {
        pivots,
        scope,
        partitions: None,
        partition_rows: crawl_args.partition_rows,
        packuments: Packuments::None,
        selection: Selection::None,
        refresh: false,
        dry_run: crawl_args.dry_run,
        accept_removals: crawl_args.accept_removals,
        keep_events: None,
        fleet: None,
        json: crawl_args.json,
    };
    crawl(wish, &registry, settings, printer, stop).await
}

fn range(start: Option<String>, end: Option<String>) -> Result<Partition> {
    match (&start, &end) {
        (None, None) => Err(Error::input("a range needs --start-key, --end-key or both")
            .hint("all-docs partition refresh lists all names")),
        (Some(start), Some(end)) if start >= end => {
            Err(Error::input(format!("no name is at or above {start:?} and below {end:?}"))
                .hint("names sort by their bytes: signs and digits, @, capital letters, _, small letters"))
        }
        _ => Ok(Partition { start, end }),
    }
}

/// A partition in the output of `--json`.
#[derive(Serialize)]
struct Listed<'a> {
    key: String,
    start: Option<&'a str>,
    end: Option<&'a str>,
    rows: u64,
    packuments: u64,
    size_bytes: u64,
    written_at: Option<&'a str>,
}

async fn list(args: ListArgs, settings: &Settings, printer: &Printer) -> Result<Code> {
    let lake = LakeOrigin::open(&args.lake, settings).await?;
    let states = partition_states(&lake.store, &lake.layout).await?;
    let listed: Vec<Listed<'_>> = states.iter().map(|state| of_state(state, lake.layout.name())).collect();
    if args.json {
        return printer.json(&listed).map(|()| Code::Done);
    }
    let name = |end: Option<&str>| end.map_or_else(|| "…".to_owned(), |end| format!("{end:?}"));
    let ranges: Vec<[String; 2]> = listed.iter().map(|one| [name(one.start), name(one.end)]).collect();
    let widest = |column: usize| ranges.iter().map(|range| range[column].chars().count()).max().unwrap_or(0);
    let (start_width, end_width) = (widest(0), widest(1));
    let mut text = String::new();
    for (one, [start, end]) in listed.iter().zip(&ranges) {
        text.push_str(&format!(
            "{start:<start_width$}  {end:<end_width$}  {:>9} rows  {:>9} packuments  {:>9}  {}\n",
            log::count(one.rows),
            log::count(one.packuments),
            log::bytes(one.size_bytes),
            one.written_at.unwrap_or("never committed"),
        ));
    }
    printer.result(&text)?;
    let committed = listed.iter().filter(|one| one.written_at.is_some()).count();
    printer.note(&format!(
        "{} partitions of {}, {committed} committed, {} rows",
        log::count(listed.len() as u64),
        lake.layout.name(),
        log::count(listed.iter().map(|one| one.rows).sum()),
    ));
    Ok(Code::Done)
}

fn of_state<'a>(state: &'a PartitionState, origin: &str) -> Listed<'a> {
    Listed {
        key: state.partition.key(origin),
        start: state.partition.start.as_deref(),
        end: state.partition.end.as_deref(),
        rows: state.rows(),
        packuments: state.packuments(),
        size_bytes: state.size_bytes(),
        written_at: state.manifest.as_ref().map(|manifest| manifest.written_at.as_str()),
    }
}
