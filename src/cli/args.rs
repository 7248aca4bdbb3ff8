//! The arguments of the whole command line: the commands and their common flags. Not here: the arguments of one
//! command; they are in that command's module.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[cfg(feature = "array")]
use super::arrays::ArraysArgs;
use super::cache::CacheCommand;
use super::copy::CopyArgs;
use super::documentation::{CompletionsArgs, ManArgs};
#[cfg(feature = "array")]
use super::downloads::DownloadsArgs;
use super::fold::FoldCommandArgs;
use super::follow::FollowArgs;
use super::ingest::IngestArgs;
use super::log_format::LogFormat;
use super::packument::PackumentCommand;
use super::partition::PartitionCommand;
use super::pivots::PivotsArgs;
#[cfg(all(feature = "plot", feature = "query"))]
use super::plot::PlotCommand;
#[cfg(feature = "distributed")]
use super::query::QueryWorkerArgs;
#[cfg(feature = "query")]
use super::query::{QueryArgs, ViewsArgs};
use super::rebuild::RebuildArgs;
use super::sample::SampleArgs;
use super::status::StatusArgs;
use super::store_args::StoreArgs;
use super::verify::VerifyArgs;
use super::worker::WorkerArgs;

/// The npm registry as columns: crawl it into a lake of Parquet files, and query the lake in SQL.
#[derive(Debug, Parser)]
#[command(
    name = "all-docs",
    version,
    propagate_version = true,
    max_term_width = 110,
    after_help = "Settings, in order of precedence: the flag, its environment variable, all-docs.toml in the current \
    folder (members: lake, endpoint, lake-option, scratch, cache-dir, origin, registry, downloads, pivots, concurrency, rate, partition-rows, cafile, proxy, header, user-agent-contact, patience), the default.\n\n\
                  Exit codes: 0 done · 1 failed · 2 invalid arguments or input · 3 network · 4 lake · 5 rate limit did \
                  not lift in time · 6 done, but not complete (the table outcomes says which names and why) · \
                  130 interrupted."
)]
pub(super) struct Args {
    /// The location of the lake: a folder, a file:// URL, or a bucket (gs://BUCKET/FOLDER, r2://…, s3://…; see
    /// docs/buckets.md) [default: lake]
    #[arg(long, global = true, value_name = "PLACE", env = "ALL_DOCS_LAKE")]
    pub(super) lake: Option<String>,
    #[command(flatten)]
    pub(super) store: StoreArgs,
    /// Read this settings file instead of ./all-docs.toml
    #[arg(long, global = true, value_name = "FILE", env = "ALL_DOCS_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Print only results and errors: no progress, notes or warnings; the exit code gives the outcome
    #[arg(long, short, global = true)]
    pub(super) quiet: bool,
    /// Show events on standard error: retries, refusals, pauses, leases, commits and repairs, and at the end the
    /// operations in a bucket with their price; -vv shows every request.
    /// ALL_DOCS_LOG=registry=debug,pipeline=trace chooses by module
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    /// The format of standard error: lines for people, or a JSON object per line
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t, env = "ALL_DOCS_LOG_FORMAT")]
    pub(super) log_format: LogFormat,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Crawl a registry into a lake, or bring a lake up to date
    Ingest(IngestArgs),
    /// Do work items that are pushed over HTTP: one machine of a fleet
    Worker(WorkerArgs),
    /// Follow a registry's feed of changes, and keep a lake up to date
    Follow(FollowArgs),
    /// Query a lake: in SQL, or by the name of a view or report
    #[cfg(feature = "query")]
    Query(QueryArgs),
    /// Help the queries of other machines, which name this one in query --workers
    #[cfg(feature = "distributed")]
    QueryWorker(QueryWorkerArgs),
    /// List the views and reports, with an example of each
    #[cfg(feature = "query")]
    Views(ViewsArgs),
    /// Draw downloads, releases or dependents over time: as SVG, as PNG, or in the terminal
    #[cfg(all(feature = "plot", feature = "query"))]
    #[command(subcommand)]
    Plot(PlotCommand),
    /// Not in this build, which has no SQL
    #[cfg(not(feature = "query"))]
    #[command(hide = true, alias = "views", disable_help_flag = true)]
    Query(AnythingArgs),
    /// Ask for download counts, and keep them in an array of the lake
    #[cfg(feature = "array")]
    Downloads(DownloadsArgs),
    /// Show what a lake holds, and what a running ingest does
    Status(StatusArgs),
    /// Check that a lake is complete and intact, or report what is wrong; --repair repairs it
    Verify(VerifyArgs),
    /// Rebuild a lake's tables from its raw documents, without a request
    Rebuild(RebuildArgs),
    /// Build the Zarr arrays of releases and of the dependency graph
    #[cfg(feature = "array")]
    Arrays(ArraysArgs),
    /// Take the changes that follow has put beside the tables into them
    Fold(FoldCommandArgs),
    /// Copy a lake to another place, or bring the copy up to date
    Copy(CopyArgs),
    /// List the registry's names into partitions, and show the partitions
    #[command(subcommand)]
    Partition(PartitionCommand),
    /// Fetch, show and export documents
    #[command(subcommand)]
    Packument(PackumentCommand),
    /// Index, list, check and clear what a lake holds
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Make pivots that divide all names evenly, from a lake or by asking a registry
    Pivots(PivotsArgs),
    /// Serve the sample registry on loopback: a small npm that can change and misbehave
    Sample(SampleArgs),
    /// Print a shell's completions
    Completions(CompletionsArgs),
    /// Write the man pages into a folder
    Man(ManArgs),
}

/// The arguments of a command that this build does not have.
#[cfg(not(feature = "query"))]
#[derive(Debug, clap::Args)]
pub(super) struct AnythingArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    _all: Vec<std::ffi::OsString>,
}
