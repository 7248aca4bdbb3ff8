//! `all-docs packument`: fetches documents into the lake, and shows and exports documents of the lake.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Subcommand;
use tokio_util::sync::CancellationToken;

use super::exit::Code;
use super::export::{self, ExportArgs};
use super::ingest::{Wish, crawl};
use super::names_file::read_names;
use super::printer::Printer;
use super::registry_args::{Packuments, RegistryArgs};
use super::settings::Settings;
use super::show::{self, ShowArgs};
use crate::diff::Selection;
use crate::error::Result;
use crate::npm::PackageName;
use crate::pipeline::Scope;

#[derive(Debug, Subcommand)]
pub(super) enum PackumentCommand {
    /// Fetch the documents of some packages into the lake
    #[command(after_help = "\
The command lists the partitions of the names again. It then fetches the documents that the lake does not hold at the \
listed revision. A new lake gets a balanced set of partitions first, which costs a few requests a partition, once.

Examples:
  all-docs packument fetch react lodash '@types/node'
  all-docs packument fetch react --refresh          ask again, by its ETag")]
    Fetch(FetchArgs),
    /// Fetch the documents of a list of packages into the lake
    #[command(after_help = "\
The list is a JSON array of names, or a name (or name@version) a line with # comments; - reads standard input.

Examples:
  all-docs packument fetch-list high-impact.json
  all-docs query \"select distinct dependency from dependencies where is_latest\" --format csv | tail -n +2 | all-docs packument fetch-list -")]
    FetchList(FetchListArgs),
    /// Print a document, a version of it, or some of its values, from the lake
    Show(ShowArgs),
    /// Write documents as files, byte for byte, from the lake
    Export(ExportArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct FetchArgs {
    /// Names of packages; the version of name@version is dropped
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    how: HowArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct FetchListArgs {
    /// The list
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    how: HowArgs,
}

#[derive(Debug, clap::Args)]
struct HowArgs {
    #[command(flatten)]
    registry: RegistryArgs,
    /// Fetch the smaller install-v1 form; columns that it cannot know are null
    #[arg(long)]
    abbreviated: bool,
    /// Request documents that the lake holds again, by their ETag: an unchanged document costs no body
    #[arg(long)]
    refresh: bool,
    /// Show what would be fetched, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the summary as JSON on standard output
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    command: PackumentCommand,
    settings: &Settings,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Code> {
    let (names, how) = match command {
        PackumentCommand::Show(args) => return show::run(args, settings, printer).await,
        PackumentCommand::Export(args) => return export::run(args, settings, printer, stop).await,
        PackumentCommand::Fetch(args) => {
            let names: BTreeSet<PackageName> =
                args.names.iter().map(|name| PackageName::from_spec(name.trim())).collect();
            (names, args.how)
        }
        PackumentCommand::FetchList(args) => (read_names(&args.file)?, args.how),
    };
    let wish = Wish {
        pivots: None,
        scope: Scope::Selected,
        partitions: None,
        partition_rows: None,
        packuments: if how.abbreviated { Packuments::Abbreviated } else { Packuments::Full },
        selection: Selection::Names(names),
        refresh: how.refresh,
        dry_run: how.dry_run,
        accept_removals: false,
        keep_events: None,
        fleet: None,
        json: how.json,
    };
    crawl(wish, &how.registry, settings, printer, stop).await
}
